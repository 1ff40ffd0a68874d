"""What is printed for each event, and on which stream."""

import asyncio
import io
import os
import re

import pyte
import pytest
from swarmchat.cli.errors import OutputLost
from swarmchat.cli.render.renderer import Renderer
from swarmchat.swarm.conversation.events import (
    HandedOver,
    ReasoningDelta,
    Refused,
    TaskEnded,
    TaskProgress,
    TaskStarted,
    TextDelta,
    ToolFinished,
    ToolStarted,
    TurnEnded,
    Warned,
)
from terminal import Screen


def shown(*events, **options) -> tuple[str, str]:
    answers, remarks = io.StringIO(), io.StringIO()
    renderer = Renderer(answers, remarks, **options)
    for event in events:
        renderer.show(event)
    return answers.getvalue(), remarks.getvalue()


def texts(*pieces: str) -> list[TextDelta]:
    return [TextDelta(piece, "assistant") for piece in pieces]


def end(text: str = "done", finish: str = "stop") -> TurnEnded:
    return TurnEnded(1, text, finish, 10, None)


def test_remarks_about_an_answer_go_to_remarks_only():
    assert shown(Warned("odd\x1b[2J")) == ("", "  warning: odd␛[2J\n")
    assert shown(end(finish="length"))[1] == "  the answer was cut off: the model reached its limit of tokens\n"
    assert shown(ReasoningDelta("hm", "assistant"), end()) == ("", "")


def test_the_message_of_a_policy_is_the_answer_to_a_refused_question():
    asked = shown(Refused("polite", "input", True, "Please stay polite."))
    assert asked == ("Please stay polite.", "  policy polite refused your message; you are banned\n")
    assert shown(Refused("polite", "output", False, "No."))[0] == ""


def test_the_answer_goes_to_answers_only_and_ends_its_line():
    assert shown(*texts("One ", "two"), end()) == ("One two\n", "")


@pytest.mark.parametrize("pieces", [["\n\n", "\nA\n\nb", "\n", "\n"], ["\n\n\nA\n\nb\n\n"], ["A", "\n", "\nb"]])
def test_lines_that_are_empty_at_either_end_are_dropped(pieces):
    assert shown(*texts(*pieces), end()) == ("A\n\nb\n", "")


def test_in_a_chat_each_answer_begins_with_a_name():
    answers, _ = shown(*texts("\n", "Hi", " you"), end(), *texts("Again"), end(), chat=True)
    assert answers == "assistant ❯ Hi you\nassistant ❯ Again\n"


def test_colour_is_on_names_and_remarks_only():
    answers, remarks = shown(*texts("Hi"), Warned("x"), chat=True, colour=True)
    assert answers == "\x1b[1massistant\x1b[0m ❯ Hi\n"
    assert remarks == "\x1b[2m  warning: x\x1b[0m\n"


def test_a_remark_never_joins_the_line_of_an_answer():
    stream = io.StringIO()
    renderer = Renderer(stream, stream)
    for event in (*texts("half"), Warned("careful"), *texts(" done"), end()):
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
        for event in (*texts("a", "b"), end()):
            renderer.show(event)
        renderer.check_output()
        os.dup2(os.open(os.devnull, os.O_WRONLY), writer)
    os.close(writer)


def test_an_answer_that_nothing_took_is_an_error():
    with open("/dev/full", "w", encoding="utf-8") as answers:
        renderer = Renderer(answers, io.StringIO())
        renderer.show(texts("a")[0])
        with pytest.raises(OutputLost, match="standard output cannot be written: No space left on device"):
            renderer.check_output()
        os.dup2(os.open(os.devnull, os.O_WRONLY), answers.fileno())


def test_a_stream_that_knows_ascii_only_gets_an_ascii_mark():
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, "ascii", errors="replace")
    renderer = Renderer(stream, io.StringIO(), chat=True)
    renderer.show(texts("naïve 漢")[0])
    renderer.end_answer()
    assert raw.getvalue() == b"assistant > na?ve ?\n"


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Following:
    """A turn on a live terminal, event by event, and what is on its screen."""

    def __init__(self, **options) -> None:
        self.clock, self._written, self._shown = Clock(), io.StringIO(), 0
        self.renderer = Renderer(self._written, self._written, chat=True, live=True, clock=self.clock, **options)
        self._screen = Screen(60, 10)
        self._stream = pyte.Stream(self._screen)

    def follow(self, *steps) -> None:
        """Show events, and let a number of seconds pass: then what is live is looked at."""

        async def events():
            for step in steps:
                if isinstance(step, float):
                    self.clock.now += step
                    self.renderer.tick()
                elif callable(step):
                    step(self.lines)
                else:
                    yield step

        asyncio.run(self.renderer.follow(events(), "desk"))

    def written(self) -> str:
        """Return all that was ever written."""
        return self._written.getvalue()

    def lines(self) -> list[str]:
        new = self._written.getvalue()[self._shown :]
        self._shown += len(new)
        self._stream.feed(new.replace("\n", "\r\n"))
        # Which of its pictures is shown depends on the time.
        return [re.sub("[\u2800-\u28ff]", "*", line) for line in self._screen.shown if line]


def on_screen(*lines: str):
    def check(lines_now) -> None:
        assert lines_now() == list(lines)

    return check


@pytest.fixture
def wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("LINES", "10")


def test_the_activity_is_shown_until_there_is_output(wide):
    following = Following()
    dig, look = (ToolStarted(name, "{}", "desk") for name in ("dig", "look"))
    dug, looked = (ToolFinished(name, "{}", "ok", "found", "desk", 0.0) for name in ("dig", "look"))
    following.follow(
        0.2,
        on_screen(),
        0.2,
        on_screen("* desk · waiting for the model · Ctrl-C stops"),
        2.0,
        on_screen("* desk · waiting for the model · 2 s · Ctrl-C stops"),
        ReasoningDelta("hm", "desk"),
        1.0,
        on_screen("* desk · thinking · 1 s · Ctrl-C stops"),
        dig,
        look,
        1.0,
        on_screen("* desk · running look and 1 more · 1 s · Ctrl-C stops"),
        looked,
        on_screen("  desk · look({})  ok: found"),
        1.0,
        on_screen("  desk · look({})  ok: found", "* desk · running dig · 1 s · Ctrl-C stops"),
        dug,
        TextDelta("It is **all", "desk"),
        0.1,
        on_screen("  desk · look({})  ok: found", "  desk · dig({})  ok: found", "desk ❯ It is **all"),
        1.0,
        on_screen(
            "  desk · look({})  ok: found",
            "  desk · dig({})  ok: found",
            "desk ❯ It is **all",
            "* desk · waiting for the model · 1 s · Ctrl-C stops",
        ),
        TextDelta(" there**", "desk"),
        end(),
    )
    last = ["  desk · look({})  ok: found", "  desk · dig({})  ok: found", "desk ❯ It is **all there**"]
    assert following.lines() == last


def test_nothing_is_live_behind_an_emoji_of_unknown_width(wide):
    following = Following()
    following.follow(
        TextDelta("So \U0001f469\u200d\U0001f469\u200d\U0001f467 **fa", "desk"),
        1.0,
        TextDelta("mily**  \nand", "desk"),
        1.0,
        end(),
    )
    written = following.written()
    family = written[written.index("So ") : written.index("family")]
    assert "\x1b[" not in family.replace("\x1b[1m", "")
    assert "waiting for the model" in written[written.index("family") :]


def test_what_is_live_is_gone_while_somebody_else_has_the_terminal(wide):
    following = Following()

    def held(lines_now) -> None:
        with following.renderer.suspended():
            following.clock.now += 5
            following.renderer.tick()
            assert lines_now() == ["  asked"]

    following.follow(1.0, Warned("x"), 1.0, lambda _: following.renderer.remark("asked"), 1.0, end())
    assert following.lines() == ["  warning: x", "  asked"]
    following = Following()
    following.follow(1.0, lambda _: following.renderer.remark("asked"), held, 0.1, on_screen("  asked"))


def test_a_handoff_is_one_line():
    failed = ToolFinished("transfer_to_till", "{}", "error", "Error: no", "desk", 0.0)
    assert shown(HandedOver("desk", "till", ("desk",)))[1] == "  desk → till\n"
    assert shown(failed)[1] == "  desk · transfer_to_till({})  error: no\n"


def test_results_can_be_had_in_full():
    stream = io.StringIO()
    renderer = Renderer(stream, stream, chat=True)
    renderer.show_results()
    long = "long \x1b[2J " * 30
    renderer.show(ToolFinished("dig", "{}", "ok", long, "desk", 0.0))
    assert "  no tool has been called in this chat yet\n  desk · dig({})  ok, 300 characters: long" in stream.getvalue()
    renderer.show_results()
    assert stream.getvalue().split("ok:\n")[1].split() == "long ␛[2J".split() * 30


def test_what_a_result_says_to_the_model_is_not_said_twice():
    failed = ToolFinished("dig", "{}", "error", "Error: too deep", "desk", 0.0)
    denied = ToolFinished("dig", "{}", "denied", "Denied: do not", "desk", 0.0)
    assert shown(failed, denied, chat=True)[1] == "  desk · dig({})  error: too deep\n  desk · dig({})  denied\n"
    assert shown(denied)[1] == "  desk · dig({})  denied (--approve auto allows it)\n"


def task_events(task: str = "1.1") -> list:
    dug = ToolFinished("dig", "{}", "ok", "found", "digger", 0.0)
    inner = [ToolStarted("dig", "{}", "digger"), dug, TextDelta("gold", "digger")]
    return [
        TaskStarted(task, "digger", "Dig here."),
        *(TaskProgress(task, "digger", event, 1, 1200) for event in inner),
        TaskEnded(task, "digger", "ok", 2, 1300, 4.04),
    ]


def test_each_task_has_a_live_line_and_only_warnings_are_printed(wide):
    following = Following()
    started, running, dug, answering, ended = task_events()
    warned = TaskProgress("1.1", "digger", Warned("odd"), 1, 1200)
    call = ToolFinished("digger", '{"task":"Dig here."}', "ok", "gold", "desk", 0.0)
    following.follow(
        ToolStarted("digger", "{}", "desk"),
        started,
        TaskStarted("1.2", "digger", "Dig there."),
        1.0,
        on_screen(
            "  1.1 digger · waiting for the model · 1 s",
            "  1.2 digger · waiting for the model · 1 s",
            "* desk · running digger · 1 s · Ctrl-C stops",
        ),
        running,
        1.0,
        lambda lines: lines()[0] == "  1.1 digger · running dig · 1,200 tokens · 2 s" or pytest.fail(str(lines())),
        dug,
        answering,
        warned,
        ended,
        1.0,
        on_screen(
            "  task 1.1: warning: odd",
            "  1.2 digger · waiting for the model · 3 s",
            "* desk · running digger · 3 s · Ctrl-C stops",
        ),
        call,
        TurnEnded(1, "done", "stop", 10, None),
    )
    assert "found" not in following.written()


def test_tasks_are_lines_where_nothing_is_live_and_when_they_are_unfolded(wide):
    lines = [
        "  task 1.1: digger begins: Dig here.",
        "  task 1.1: digger · dig({})  ok: found",
        "  task 1.1: digger  ok, 2 requests, 1,300 tokens, 4.0 s",
    ]
    assert shown(*task_events())[1].splitlines() == lines
    following = Following()
    following.renderer.unfold_tasks()
    following.follow(*task_events())
    assert following.lines() == ["  what agents do in tasks is shown", *lines]


def test_what_happens_while_a_question_has_the_terminal_is_printed_after_it():
    remarks = io.StringIO()
    renderer = Renderer(io.StringIO(), remarks)
    with renderer.suspended():
        renderer.show(Warned("odd"))
        assert remarks.getvalue() == ""
    assert remarks.getvalue() == "  warning: odd\n"


def test_what_was_entered_wraps_between_words_and_loses_none(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    for name in ("you", "message from check_stock, task b1", "a name that is much longer than the window is"):
        out = io.StringIO()
        text = 'Done: check_stock({"item":"red phones"})\nThe warehouse has 6 red phones.'
        Renderer(out, out, chat=True).entered(name, text)
        assert out.getvalue().split() == f"{name} ❯ {text}".split()
        assert all(len(line) <= 40 for line in out.getvalue().splitlines()[1:])
    out = io.StringIO()
    Renderer(out, out, chat=True).entered("you", "")
    assert out.getvalue() == "you ❯ \n"
