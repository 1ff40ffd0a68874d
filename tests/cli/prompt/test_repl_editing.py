"""Writing at the prompt, as the user sees it on a real terminal."""

from pathlib import Path

import pytest
from model_server import ModelServer
from terminal import (
    BACKSPACE,
    CTRL_C,
    CTRL_J,
    CTRL_L,
    CTRL_R,
    CTRL_X,
    ENTER,
    ESCAPE,
    F3,
    F4,
    RIGHT,
    TAB,
    UP,
    at_prompt,
    say,
)

ALT_ENTER, CTRL_E, CTRL_P = ESCAPE + ENTER, "\x05", "\x10"


def newest(server: ModelServer) -> str:
    """Return the message that was sent last."""
    return server.chats[-1]["messages"][-1]["content"]


def gone(text: str):
    """Return what holds once ``text`` is not on the screen any more."""
    return lambda screen: text not in screen.text


def test_when_enter_sends(program, server):
    with program.chat("-s", "s") as screen:
        # A code block, and three quotation marks, are written to their end.
        say(screen, f"see{CTRL_J}```py{ENTER}x = 1{ENTER}```", "assistant ❯ You said: see")
        assert newest(server) == "see\n```py\nx = 1\n```"
        say(screen, f'"""{ENTER}one{ENTER}two{ENTER}"""', "assistant ❯ You said: one two")
        assert newest(server) == "one\ntwo"
        screen.send("```open" + ALT_ENTER)
        screen.wait_for("assistant ❯ You said: ```open")
        screen.wait_for(at_prompt)
        assert newest(server) == "```open"
        # F3 swaps the two; a command is sent all the same.
        screen.send(F3)
        screen.wait_for("Alt-Enter sends, Enter inserts a line break; F3 swaps them")
        screen.send(f"three{ENTER}four{ALT_ENTER}")
        screen.wait_for("assistant ❯ You said: three four")
        say(screen, "/session", "kept in disk:")
        screen.send(F3)
        screen.wait_for("Enter sends, Alt-Enter inserts a line break; F3 swaps them")
        say(screen, "five", "assistant ❯ You said: five")
        assert [each["messages"][-1]["content"] for each in server.chats][-2:] == ["three\nfour", "five"]


def test_a_long_paste_is_folded(program, server):
    pasted = "".join(f"line {number}\n" for number in range(214))
    with program.chat("-s", "s") as screen:
        screen.wait_for(at_prompt)
        screen.paste(pasted)
        screen.wait_for("you ❯ [paste 214 lines]")
        screen.send(BACKSPACE)
        screen.wait_for(gone("paste"))
        screen.send("see ")
        screen.paste(pasted)
        screen.send("!")
        screen.wait_for("you ❯ see [paste 214 lines]!")
        # Shown in full, cleared, and brought back.
        screen.send(CTRL_X + CTRL_P)
        screen.wait_for("line 213")
        screen.send(CTRL_C)
        screen.wait_for(gone("line 213"))
        screen.paste(pasted)
        screen.send("what is it?" + ENTER)
        screen.wait_for("assistant ❯ You said: line 0")
        screen.wait_for("line 213 what is it?")
        screen.wait_for(at_prompt)
        assert newest(server) == pasted + "what is it?"
        screen.paste("x" * 1_000_000)
        screen.wait_for("you ❯ [paste 1,000,000 characters]")
        screen.send(CTRL_C)
        screen.wait_for(gone("letters"))
    assert "see line 0" in (program.home / ".local/share/swarmchat/prompts").read_text().replace("+", "")


def test_what_was_entered_before(program, server):
    with program.chat("-s", "one") as screen:
        say(screen, "Alpha particles", "You said: Alpha particles")
        say(screen, "beta", "You said: beta")
    with program.chat("-s", "two") as screen:
        screen.wait_for(at_prompt)
        # Within the lines first, then back in time.
        screen.send(f"x{CTRL_J}y{UP}z{ENTER}")
        screen.wait_for("You said: xz y")
        screen.wait_for(at_prompt)
        assert newest(server) == "xz\ny"
        screen.send(CTRL_R + "ALPHA")
        screen.wait_for("you ❯ Alpha particles")
        screen.send(ENTER)
        screen.wait_for(at_prompt)
        say(screen, "", "You said: Alpha particles")
        screen.send("bet")
        screen.wait_for("you ❯ beta")
        say(screen, RIGHT, "You said: beta")
        assert newest(server) == "beta"
        screen.send(CTRL_L)
        screen.wait_for(lambda screen: screen.screen_lines[0] == "you ❯")


def test_the_users_own_editor(program, server):
    script = Path(program.folder, "editor")
    script.write_text('#!/bin/sh\nprintf " and more\\nlines\\n" >> "$1"\n')
    script.chmod(0o755)
    with program.chat("-s", "s", env={"EDITOR": str(script)}) as screen:
        screen.wait_for(at_prompt)
        screen.send("some" + CTRL_X + CTRL_E)
        screen.wait_for("you ❯ some and more lines")
        screen.wait_for(at_prompt)
        assert not server.chats
        say(screen, "", "You said: some and more lines")
        script.unlink()
        screen.send("kept" + CTRL_X + CTRL_E)
        screen.wait_for("cannot be started; set your editor in $EDITOR")
        screen.wait_for("you ❯ kept")


def test_vi(program, server):
    with program.chat("-s", "s", columns=120, env={"SWARMCHAT_EDITING": "vi", "SWARMCHAT_MULTILINE": "true"}) as screen:
        screen.wait_for("vi: insert")
        screen.send("helx" + ESCAPE)
        screen.wait_for("vi: navigation")
        screen.send("xalo")
        screen.wait_for("you ❯ hello")
        screen.wait_for("vi: insert")
        screen.send(ENTER + "two" + ALT_ENTER)
        screen.wait_for("You said: hello two")
        screen.wait_for(at_prompt)
        screen.send(F4)
        screen.wait_for(gone("vi: "))
        screen.send("ab\x01c" + ALT_ENTER)
        screen.wait_for("You said: cab")
        assert newest(server) == "cab"


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (40, 10)])
def test_tab_completes_commands_and_their_arguments(columns, rows, program):
    with program.chat("-S", "helpdesk", "-s", "s", columns=columns, rows=rows) as screen:
        screen.wait_for(at_prompt)
        screen.send("/agen" + TAB)
        screen.wait_for("/agents")
        screen.wait_for(lambda screen: "list the agents" in screen.text)
        screen.send(TAB)
        screen.wait_for("you ❯ /agents")
        # Enter takes the choice, and only a second one sends it.
        screen.send(ENTER)
        screen.wait_for(gone("list the agents"))
        assert "* triage" not in screen.text
        say(screen, "", "* triage")
        say(screen, "/agent sa" + TAB, "you ❯ /agent sales sales ‹ triage")
        say(screen, "/agen refunds", "error: /agen is ambiguous: /agent, /agents")
        say(screen, "/stac", "sales ‹ triage")
        say(screen, "/agnt refunds", "error: unknown command /agnt; did you mean /agent?")
        assert all(len(line) <= columns for line in screen.lines)


def test_tab_completes_what_commands_take(program):
    (program.folder / "log.jsonl").touch()
    with program.chat("-S", "helpdesk", "-s", "s", columns=100) as screen:
        screen.wait_for(at_prompt)
        # There is nothing to bring back, and nothing to take back.
        screen.send("/re" + TAB)
        screen.wait_for("/rename")
        assert "/redo" not in screen.text
        assert "/retry" not in screen.text
        screen.send(CTRL_C)
        say(screen, "my name is Ann", "remember_client")
        for typed, shown in (
            ("/call fin", "/call find_fact"),
            ("/call find_fact ", '/call find_fact {"about": ""}'),
            ("/storage ", "/storage facts"),
            ("/import l", "/import log.jsonl"),
            ("/set temp", "/set temperature"),
            ("/memory name ", '/memory name "Ann"'),
            ("/approve play d", "/approve play deny"),
            ("/model ", "/model demo"),
            ("/undo ", "/undo 1"),
            ("/pin ", "/pin 1"),
        ):
            screen.send(typed + TAB)
            screen.wait_for(f"you ❯ {shown}")
            screen.send(CTRL_C)
            screen.wait_for(gone(f"you ❯ {shown}"))
        say(screen, "/undo", "turn 1 is undone")
        screen.send("/red" + TAB)
        screen.wait_for("you ❯ /redo")
        screen.send(" " + TAB)
        screen.wait_for("you ❯ /redo 1")


def test_wide_letters_and_a_window_that_changes(program, server):
    with program.chat("-s", "s", columns=60) as screen:
        screen.wait_for(at_prompt)
        screen.send("漢字 und 🦦 é")
        screen.wait_for("you ❯ 漢字 und 🦦")
        screen.resize(30, 12)
        screen.send(BACKSPACE + "ü" + BACKSPACE * 3)
        screen.wait_for(lambda screen: screen.text.rstrip().count("漢字 und") >= 1 and "é" not in screen.lines[-2])
        screen.resize(90, 24)
        screen.send("!" + ENTER)
        screen.wait_for("You said: 漢字 und !")
        screen.wait_for(at_prompt)
    assert newest(server) == "漢字 und !"


def test_what_is_missing_on_the_system(program, tmp_path):
    nowhere = {"HOME": str(tmp_path / "nowhere")}
    with program.chat("-b", "memory", env=nowhere) as screen:
        say(screen, "hello", "assistant ❯ Hello")
        screen.send(UP)
        screen.wait_for(lambda screen: screen.text.count("you ❯ hello") == 2)
    # Where nothing can be written, nothing can be kept: that is said at once.
    with program.chat("--data-dir", "/proc/swarmchat") as screen:
        assert screen.wait_for_end() != 0
        assert "error: " in screen.text
        assert "Traceback" not in screen.text
