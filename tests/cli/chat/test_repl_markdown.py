"""Answers as their reader sees them: Markdown on a real terminal, each line on it once."""

import re

import pytest
from model_server import Gate, text
from terminal import ENTER, Terminal, at_prompt, say

SIZES = pytest.mark.parametrize(("columns", "rows"), [(120, 40), (80, 24), (40, 10)])

PARAGRAPHS = "\n\n".join(
    f"## Part p{number:02}\n\nIn part q{number:02} there are **several bold words b{number:02}**, `code c{number:02}`, "
    f"漢字の文章 k{number:02} 🦦 and more than one line of plain words.\n\n- point r{number:02} with a *slanted* word\n"
    f"  1. inner s{number:02}"
    for number in range(6)
)
CODE = "```python\n" + "".join(f'def f{n:02}(x):\n    return "t{n:02}"  # {"long " * 20}\n' for n in range(8)) + "```"
TABLE = "| what | how |\n| --- | --- |\n" + "".join(f"| u{n:02} | **v{n:02}** 漢字 |\n" for n in range(8))
DOCUMENT = f"{PARAGRAPHS}\n\n{CODE}\n\n{TABLE}\nThe end."
MARKS = re.findall(r"\b[bcfkpqrstuv]\d\d\b", DOCUMENT)


def pieces(document: str) -> list[str]:
    return [document[start : start + 5] for start in range(0, len(document), 5)]


def everything_once(screen: Terminal) -> None:
    shown = screen.text
    assert [mark for mark in MARKS if len(re.findall(rf"\b{mark}\b", shown)) != 1] == []
    assert shown.count("The end.") == 1
    assert "**" not in shown
    assert "Ctrl-C stops" not in shown


@SIZES
def test_each_line_is_in_the_scrollback_once(columns, rows, program, server):
    gate = Gate()
    start = DOCUMENT.index("**several bold words b03") + 12
    server.reply(text(*pieces(DOCUMENT[:start]), gate, *pieces(DOCUMENT[start:])))
    with program.chat("-s", "s", columns=columns, rows=rows) as screen:
        screen.wait_for(at_prompt)
        screen.send("all of it" + ENTER)
        screen.wait_for("**several b")
        screen.wait_for("waiting for the model")
        assert all(len(line) <= columns for line in screen.lines)
        gate.release()
        screen.wait_for("The end.")
        screen.wait_for(at_prompt)
        everything_once(screen)
        assert "what │ how" in screen.lines
        say(screen, "again", "You said: again")


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (40, 10)])
def test_a_window_that_becomes_wider_in_mid_stream(columns, rows, program, server):
    gates = [Gate(), Gate()]
    first, middle = len(DOCUMENT) // 3, DOCUMENT.index("t03")
    parts = DOCUMENT[:first], DOCUMENT[first:middle], DOCUMENT[middle:]
    server.reply(text(*pieces(parts[0]), gates[0], *pieces(parts[1]), gates[1], *pieces(parts[2])))
    with program.chat("-s", "s", columns=columns, rows=rows) as screen:
        screen.wait_for(at_prompt)
        screen.send("all of it" + ENTER)
        for number, gate in enumerate(gates, 1):
            screen.wait_for("waiting for the model")
            screen.resize(columns + 20 * number, rows)
            gate.release()
            screen.wait_for(["f03(x)", "The end."][number - 1])
        screen.wait_for(at_prompt)
        everything_once(screen)


def test_a_window_that_becomes_narrower(program, server):
    gate = Gate()
    server.reply(text("some words in **bo", gate, "ld** and so on until the line is full and another one begins."))
    with program.chat("-s", "s", columns=80, rows=10) as screen:
        screen.wait_for(at_prompt)
        screen.send("hello" + ENTER)
        screen.wait_for("some words in **bo")
        screen.resize(40, 10)
        gate.release()
        screen.wait_for("another one begins.")
        screen.wait_for(at_prompt)
        start = screen.lines.index("you ❯ hello")
        assert screen.lines[start + 1 : start + 4] == [
            "assistant ❯ some words in bold and so",
            "on until the line is full and another",
            "one begins.",
        ]


def test_code_is_coloured_and_copied_as_it_is(program, server):
    line = 'print("' + "x" * 100 + '")'
    server.reply(text(*pieces(f"Look:\n\n```python\n{line}\n```\n")))
    with program.chat("-s", "s", columns=40, rows=12) as screen:
        say(screen, "hello", "Look:")
        shown = re.sub(rb"\x1b\[[0-9;]*m", b"", screen.raw).replace(b"\r\n", b"\n").decode()
        assert f"\n{line}\n" in shown  # no break of ours within the line; a live row may come and go behind it
        assert b'\x1b[36mprint\x1b[0m(\x1b[32m"' in screen.raw


def test_without_colours_the_structure_stays(program, server):
    server.reply(text("# Head\n\n- **bold**\n\n| a | b |\n|---|---|\n| c | d |\n\n```python\nx = 1\n```"))
    with program.chat("-s", "s", env={"NO_COLOR": "1"}) as screen:
        say(screen, "hello", "x = 1")
        lines = screen.lines
        start = lines.index("assistant ❯")
        assert lines[start + 1 : start + 11] == [
            "# Head",
            "",
            "• **bold**",
            "",
            "a │ b",
            "──┼──",
            "c │ d",
            "",
            "```python",
            "x = 1",
        ]
        answer = screen.raw.split("assistant ❯".encode())[1].split(b"x = 1")[0]
        assert not re.search(rb"\x1b\[[0-9;]*m", answer)


@pytest.mark.parametrize("how", ["--plain", "dumb", "SWARMCHAT_PLAIN"])
def test_plain_is_the_text_as_it_is(how, program, server):
    document = "# Head\n\n- **bold** `code`\n\n| a | b |\n|---|---|\n\n\x1b[2Jend"
    gate = Gate()
    server.reply(text(document[:20], gate, document[20:]))
    environment = {"dumb": {"TERM": "dumb"}, "SWARMCHAT_PLAIN": {"SWARMCHAT_PLAIN": "true"}}.get(how, {})
    with program.chat("-s", "s", *([how] if how == "--plain" else []), env=environment) as screen:
        screen.wait_for("you ❯")
        screen.send("hello" + ENTER)
        screen.wait_for("assistant ❯ # Head")
        gate.release()
        screen.wait_for("␛[2Jend you ❯")
        written = screen.raw.decode().replace("\r\n", "\n")
        assert "assistant ❯ " + document.replace("\x1b", "␛") + "\n" in written
        assert not re.search(r"\x1b(?!\[\?)", written), repr(written)


def test_in_a_pipe_an_answer_is_as_it_came(program, server):
    document = "# Head\n\n**bold** and a | table |\n|---|\n"
    server.reply(text(*pieces(document)))
    assert program.run("hello!").out == document


def test_the_activity_is_shown_and_leaves_no_trace(program, server):
    gate = Gate()
    server.reply(text(gate, "answer"))
    with program.chat("-s", "s", columns=40, rows=10) as screen:
        screen.wait_for(at_prompt)
        screen.send("hello" + ENTER)
        screen.wait_for("assistant · waiting for the model")
        gate.release()
        screen.wait_for("assistant ❯ answer")
        screen.wait_for(at_prompt)
        start = screen.lines.index("you ❯ hello")
        assert screen.lines[start + 1 : start + 3] == ["assistant ❯ answer", "you ❯"]


def test_ctrl_o_shows_results_in_full(program):
    with program.chat("-S", "helpdesk", "-s", "s") as screen:
        say(screen, "I want to buy a phone", "triage → sales")
        assert "transfer_to" not in screen.text
        say(screen, "a red one", "sales ❯ Noted.")
        screen.send("\x0f")
        screen.wait_for('sales · fill_order({"colour": "red"}) ok: The order: item: phone, colour: red, status: open.')
        screen.wait_for(lambda screen: screen.words.count("Still missing: quantity, name.") == 3)
        screen.wait_for(at_prompt)
        say(screen, "two", "quantity: 2")
