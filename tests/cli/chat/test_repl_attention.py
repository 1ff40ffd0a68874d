"""What a chat shows of thoughts, and how it calls a user who looks elsewhere."""

import pytest
from model_server import Gate, chunk, stream, text
from swarmchat.cli.render.thoughts import Thoughts
from swarmchat.cli.terminal.notification import notification
from terminal import ENTER, at_prompt, say

THOUGHTS = "I look at it.\nIt is simple: a plain answer will do, there is no trap."


def thinking(answer="42."):
    deltas = [{"reasoning_content": word} for word in THOUGHTS.replace(" ", " \0").split("\0")]
    return stream(*map(chunk, [*deltas, {"content": answer}]), chunk({}, "stop"))


def test_thoughts_are_folded_and_shown(program, server):
    server.reply(thinking(), thinking("43."), thinking())
    with program.chat("-s", "s") as screen:
        screen.wait_for(at_prompt)
        say(screen, "why?", "42.")
        assert "thought: I look at it. It is simple: a plain" in screen.words
        say(screen, "/thoughts", "thoughts are shown from now on; swarmchat config set thoughts shown keeps it")
        assert "it. It is simple: a plain answer will do, there is no trap. thoughts are" in screen.words
        say(screen, "again", "43.")
        assert screen.words.count("a plain answer will do, there is no trap.") == 2
        say(screen, "/thoughts hidden", "thoughts are hidden from now on")
        say(screen, "/thoughts loud", "expected folded, shown, hidden, or nothing to toggle")
    # Off a terminal, only the answer counts.
    done = program.run("why?")
    assert (done.out, "I look" in done.err) == ("42.\n", False)


@pytest.mark.parametrize("width", [20, 80])
def test_shown_thoughts_are_whole_and_fit_the_width(width):
    thoughts = Thoughts(lambda: width, lambda: 0.0)
    thoughts.mode = "shown"
    rows = [row for piece in THOUGHTS for row in thoughts.add(piece)] + list(thoughts.end())
    assert " ".join(rows) == THOUGHTS.replace("\n", " ")
    assert max(map(len, rows)) <= width - 2
    assert (list(thoughts.end()), thoughts.last) == ([], THOUGHTS)


@pytest.mark.parametrize("looks_away", [True, False])
def test_the_end_of_a_turn_is_told_to_a_user_who_looks_elsewhere(looks_away, program, server):
    gate = Gate()
    server.reply(text("Well, ", gate, "yes."), text("Sure."))
    program.env |= {"SWARMCHAT_NOTIFY": "osc9", "SWARMCHAT_NOTIFY_AFTER": "0.01"}
    with program.chat("-s", "s") as screen:
        screen.wait_for(at_prompt)
        screen.send("really?" + ENTER)
        screen.wait_for("Well,")
        assert b"\x1b[?1004h" in screen.raw
        screen.send("\x1b[O" if looks_away else "\x1b[O\x1b[I")
        screen.send("typed")
        screen.wait_for("❯ typed")
        gate.release()
        screen.wait_for("yes.")
        screen.wait_for(at_prompt)
        assert (b"\x1b]9;assistant has finished in session s\a" in screen.raw) == looks_away
        assert screen.raw.count(b"\x1b[?1004h") == screen.raw.count(b"\x1b[?1004l")


def test_notifications_are_plain_text_and_pass_through_tmux():
    assert notification("bell", "x", {}) == "\a"
    assert notification("osc777", "a;b\x1b[2J", {}) == "\x1b]777;notify;swarmchat;a,b␛[2J\a"
    assert notification("osc9", "x", {"TMUX": "1"}) == "\x1bPtmux;\x1b\x1b]9;x\a\x1b\\"
    assert notification("off", "x", {}) == ""
