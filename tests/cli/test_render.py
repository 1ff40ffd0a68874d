"""What is printed for each event, and on which stream."""

import io
import os

import pytest
from swarmchat.cli.errors import OutputLost
from swarmchat.cli.render import Renderer
from swarmchat.swarm.events import (
    ReasoningDelta,
    Retrying,
    Rotated,
    TextDelta,
    ToolFinished,
    ToolStarted,
    TurnEnded,
    Warned,
)


def shown(*events, **options) -> tuple[str, str]:
    answers, remarks = io.StringIO(), io.StringIO()
    renderer = Renderer(answers, remarks, **options)
    for event in events:
        renderer.show(event)
    return answers.getvalue(), remarks.getvalue()


def said(*pieces: str) -> list[TextDelta]:
    return [TextDelta(piece, "assistant") for piece in pieces]


def end(text: str = "done", finish: str = "stop") -> TurnEnded:
    return TurnEnded(1, text, finish, 10, None)


@pytest.mark.parametrize(
    ("event", "remark"),
    [
        (ReasoningDelta("hm", "assistant"), ""),
        (Retrying(2, 0.53, "no connection"), "  no connection; attempt 2 in 0.5 s\n"),
        (Retrying(3, 30.0, "rate limited"), "  rate limited; attempt 3 in 30 s\n"),
        (
            Rotated(4, 31_000, 21_000),
            "  context: the 4 oldest messages are no longer sent (31,000 to 21,000 tokens); the session keeps them\n",
        ),
        (ToolFinished("add", '{"a": 1}', "ok", "3", "assistant"), '  assistant · add({"a": 1})  ok: 3\n'),
        (Warned("odd\x1b[2J"), "  warning: odd␛[2J\n"),
        (end(finish="length"), "  the answer was cut off: the model reached its limit of tokens\n"),
        (end(finish="content_filter"), "  the answer was cut off by the provider's content filter\n"),
        (end(" \n"), "  the model answered with nothing: ask again, or ask differently\n"),
        (end(), ""),
    ],
)
def test_what_is_said_about_an_answer_goes_to_remarks_only(event, remark):
    assert shown(event) == ("", remark)


def test_the_answer_goes_to_answers_only_and_ends_its_line():
    assert shown(*said("One ", "two"), end()) == ("One two\n", "")


@pytest.mark.parametrize("pieces", [["\n\n", "\nA\n\nb", "\n", "\n"], ["\n\n\nA\n\nb\n\n"], ["A", "\n", "\nb"]])
def test_lines_that_are_empty_at_either_end_are_dropped(pieces):
    assert shown(*said(*pieces), end()) == ("A\n\nb\n", "")


def test_in_a_chat_each_answer_begins_with_a_name():
    answers, _ = shown(*said("\n", "Hi", " you"), end(), *said("Again"), end(), chat=True)
    assert answers == "assistant ❯ Hi you\nassistant ❯ Again\n"


def test_colour_is_on_names_and_remarks_only():
    answers, remarks = shown(*said("Hi"), Warned("x"), chat=True, colour=True)
    assert answers == "\x1b[1massistant\x1b[0m ❯ Hi\n"
    assert remarks == "\x1b[2m  warning: x\x1b[0m\n"


def test_a_remark_never_joins_the_line_of_an_answer():
    stream = io.StringIO()
    renderer = Renderer(stream, stream)
    for event in (*said("half"), Warned("careful"), *said(" done"), end()):
        renderer.show(event)
    assert stream.getvalue() == "half\n  warning: careful\n done\n"


def test_in_a_chat_remarks_and_errors_break_between_words(monkeypatch):
    monkeypatch.setenv("COLUMNS", "30")
    stream = io.StringIO()
    renderer = Renderer(stream, stream, chat=True)
    renderer.remark("a remark of more than thirty letters")
    renderer.error("an error that does not fit into one line")
    renderer.page("name  what it is and does, at length\n\nlast")
    renderer.verbatim("resume with: a command that is to be copied")
    assert stream.getvalue().split("\n") == [
        "  a remark of more than thirty",
        "  letters",
        "error: an error that does not",
        "       fit into one line",
        "name  what it is and does, at",
        "      length",
        "",
        "last",
        "  resume with: a command that is to be copied",
        "",
    ]


def test_a_reader_that_left_is_no_error_and_the_rest_is_dropped():
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w", encoding="utf-8", closefd=False) as answers:
        renderer = Renderer(answers, io.StringIO())
        for event in (*said("a", "b"), end()):
            renderer.show(event)
        renderer.check_output()
        os.dup2(os.open(os.devnull, os.O_WRONLY), writer)
    os.close(writer)


def test_an_answer_that_nothing_took_is_an_error():
    with open("/dev/full", "w", encoding="utf-8") as answers:
        renderer = Renderer(answers, io.StringIO())
        renderer.show(said("a")[0])
        with pytest.raises(OutputLost, match="the answer could not be written: No space left on device"):
            renderer.check_output()
        os.dup2(os.open(os.devnull, os.O_WRONLY), answers.fileno())


def test_a_stream_that_knows_ascii_only_gets_an_ascii_mark():
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, "ascii", errors="replace")
    renderer = Renderer(stream, io.StringIO(), chat=True)
    renderer.show(said("naïve 漢")[0])
    renderer.end_answer()
    assert raw.getvalue() == b"assistant > na?ve ?\n"


def test_what_runs_is_told_until_it_has_ended():
    started = [ToolStarted(name, "{}", "desk") for name in ("dig", "look")]
    ended = [ToolFinished(name, "{}", "ok", "found", "desk", 0.0) for name in ("dig", "look")]
    assert shown(*started, *ended, chat=True) == ("", "  desk · dig({})  ok: found\n  desk · look({})  ok: found\n")
    clear = "\r\x1b[K"
    assert shown(*started, *ended, chat=True, live=True)[0] == (
        f"  desk · dig({{}}) …{clear}  desk · look({{}}) and 1 more …{clear}  desk · look({{}}) …{clear}"
    )


def test_what_a_result_says_to_the_model_is_not_said_twice():
    failed = ToolFinished("dig", "{}", "error", "Error: too deep", "desk", 0.0)
    denied = ToolFinished("dig", "{}", "denied", "Denied: do not", "desk", 0.0)
    assert shown(failed, denied, chat=True)[1] == "  desk · dig({})  error: too deep\n  desk · dig({})  denied\n"
    assert shown(denied)[1] == "  desk · dig({})  denied (--approve auto allows it)\n"
