"""What a chat survives: windows that change, homes and stores that cannot be used, terminals of any kind, Ctrl-C."""

import json
import os
import random
import resource
import socket
import sys
from itertools import chain, pairwise
from typing import Any

import pytest
from chat_rules import check_messages
from model_server import Gate, ModelServer, hang, text
from redis_server import free_port, start_redis
from terminal import CTRL_C, CTRL_D, CTRL_L, ENTER, Terminal, at_prompt, say, terminal

GREETED = "Hello! I am the demo model"
BACK = "your message could not be stored; it is back at the prompt"


def last_said(server: ModelServer) -> list[str]:
    """Return what the last message of each request was."""
    return [chat["messages"][-1]["content"] for chat in server.chats]


def prompts(screen: Terminal) -> list[str]:
    return [line for line in screen.screen_lines if line.startswith("you ❯")]


@pytest.mark.parametrize(("columns", "rows"), [(120, 40), (80, 24), (40, 10)])
def test_a_window_that_changes_again_and_again_in_mid_stream(columns, rows, program, server):
    lines = [f"line {number:02} 漢字 🦦" for number in range(24)]
    document = "  \n".join(lines)
    gates = [Gate(), Gate(), Gate()]
    # In the middle of a line, between two wide letters.
    cuts = [document.index(lines[at]) + 9 for at in (0, 8, 16)]
    parts = [document[start:end] for start, end in pairwise([*cuts, len(document)])]
    server.reply(text(document[: cuts[0]], *chain(*zip(gates, parts, strict=True))))
    with program.chat("-s", "s", columns=columns, rows=rows) as screen:
        screen.wait_for(at_prompt)
        screen.send("all of it" + ENTER)
        for gate, width in zip(gates, (columns - 9, columns + 30, columns), strict=True):
            screen.wait_for(lambda screen, gate=gate: gate.reached.is_set() and "waiting for" in screen.text)
            screen.resize(width, rows)
            gate.release()
        screen.wait_for(lines[-1])
        screen.wait_for(at_prompt)
        shown = screen.text
        assert [line for line in lines if shown.count(line) != 1] == []
        assert "Ctrl-C stops" not in shown
        assert prompts(screen)[-1:] == ["you ❯"]
        assert shown.count(" tokens ") == 1
        say(screen, "again 漢字", "You said: again 漢字")
        assert screen.text.count(" tokens ") == 1


@pytest.mark.parametrize(("reflows", "up"), [(True, "\x1b[3A"), (False, "\x1b[A")])
def test_a_draft_in_a_window_that_becomes_narrower(reflows, up, program):
    with program.chat("-s", "s", env={"TMUX": "/tmp/tmux,1,0"} if reflows else {}) as screen:
        screen.wait_for(at_prompt)
        screen.send("x" * 120)
        screen.wait_for(lambda screen: screen.text.count("x") == 120)
        drawn = len(screen.raw)
        screen.resize(40, 24)
        # The two rows are four on a terminal that breaks them anew, and the cursor is in the last one.
        screen.wait_for(lambda screen: f"{up}\x1b[J".encode() in screen.raw[drawn:].replace(b"\r", b""))
        assert reflows or b"\x1b[3A" not in screen.raw[drawn:]


def test_clearing_the_screen(program, server):
    gate = Gate()
    server.reply(hang(gate, "half"))
    with program.chat("-s", "s") as screen:
        screen.wait_for(at_prompt)
        screen.send("a draft" + CTRL_L)
        screen.wait_for(lambda screen: screen.screen_lines[0] == "you ❯ a draft" and at_prompt(screen))
        assert prompts(screen) == ["you ❯ a draft"]
        # While an answer comes there is no screen to clear: it is done at the next prompt.
        screen.send(ENTER)
        screen.wait_for("assistant ❯ half")
        screen.send(CTRL_L)
        gate.release()
        screen.wait_for(lambda screen: screen.screen_lines[0] == "you ❯" and at_prompt(screen))
        say(screen, "more", "You said: more")
        screen.send("/clear" + ENTER)
        screen.wait_for(lambda screen: screen.screen_lines[0] == "you ❯" and at_prompt(screen))
        say(screen, "still there?", "You said: still there?")
    assert last_said(server) == ["a draft", "more", "still there?"]


def as_owner(program: Any, *arguments: str) -> Any:
    """Run the program on a terminal as a user whom permissions bind. Root loses the right to override them.

    Not as another user: that one may not be able to reach the interpreter, in a private home folder.
    """
    command = [*program.command, *arguments]
    if os.getuid() == 0:
        # PR_CAPBSET_DROP of CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH, which counts from the next exec on.
        drop = "import ctypes, os, sys; drop = ctypes.CDLL(None, use_errno=True).prctl; "
        drop += "assert drop(24, 1, 0, 0, 0) == drop(24, 2, 0, 0, 0) == 0; os.execv(sys.argv[1], sys.argv[1:])"
        command = [sys.executable, "-c", drop, *command]
    return terminal(command, env=program.env, cwd=program.folder)


def test_a_folder_that_may_not_be_written(program):
    say_once = program.run("-s", "s", "hello")
    assert say_once.code == 0
    for path in (program.home, *program.home.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        with as_owner(program, "-s", "s") as screen:
            assert screen.wait_for_end() == 69
            # The terminal breaks lines anywhere, by the length of the path.
            letters = "".join(screen.text.split())
            assert "share/swarmchat/sessionscannotbeopened(Permissiondenied)" in letters
            assert "checkitspermissions,ornameanotherfolder" in letters
            assert "Traceback" not in screen.text
        # Without a place for anything else, a chat in memory goes on: without what was typed before, that is all.
        with as_owner(program, "-b", "memory") as screen:
            say(screen, "hello", GREETED)
            screen.send(CTRL_D)
            assert screen.wait_for_end() == 0
    finally:
        for path in (program.home, *program.home.rglob("*")):
            path.chmod(0o755)


@pytest.mark.parametrize("home", [None, "", "nowhere/deep"])
def test_a_home_that_is_not_there(home, program, tmp_path):
    env = {**program.env, "SWARMCHAT_DATA_DIR": str(tmp_path / "data")}
    del env["HOME"]
    if home is not None:
        env["HOME"] = home and str(tmp_path / home)
    with terminal([*program.command, "-s", "s"], env=env, cwd=program.folder) as screen:
        say(screen, "hello", GREETED)
        screen.send(CTRL_D)
        assert screen.wait_for_end() == 0
        assert "Traceback" not in screen.text


def test_a_store_that_becomes_full_in_mid_chat(program, server):
    with program.chat("-s", "s") as screen:
        say(screen, "first", "You said: first")
        unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.prlimit(screen.process.pid, resource.RLIMIT_FSIZE, (1024, resource.RLIM_INFINITY))
        screen.send("second" + ENTER)
        screen.wait_for(f"{BACK} you ❯ second")
        screen.wait_for(at_prompt)
        assert screen.words.count("error: disk:") == 1
        # It is as often at the prompt as it was sent.
        screen.send(" try" + ENTER)
        screen.wait_for(lambda screen: screen.words.count(BACK) == 2)
        screen.wait_for("you ❯ second try")
        screen.wait_for(at_prompt)
        resource.prlimit(screen.process.pid, resource.RLIMIT_FSIZE, unlimited)
        say(screen, "", "You said: second try")
        screen.send(CTRL_D)
        assert screen.wait_for_end() == 0
    assert last_said(server) == ["first", "second try"]
    assert program.messages("s") == ["first", "You said: first", "second try", "You said: second try"]


def test_stopping_before_the_message_is_stored_gives_it_back(program, server, tmp_path):
    port = free_port()
    with start_redis(tmp_path, port=port):
        chat = program.chat("-b", "redis", "--redis-url", f"redis://127.0.0.1:{port}/0", "-s", "s")
        screen = chat.__enter__()
        say(screen, "first", "You said: first")
    try:
        screen.send("second" + ENTER)
        screen.wait_for(f"{BACK} you ❯ second")
        screen.wait_for(at_prompt)
        # A server that takes connections and says nothing.
        with socket.create_server(("127.0.0.1", port)) as silent:
            screen.send(ENTER)
            connection, _ = silent.accept()
            screen.send(CTRL_C)
            screen.wait_for("your message was not stored yet; it is back at the prompt you ❯ second")
            connection.close()
        screen.wait_for(at_prompt)
    finally:
        chat.__exit__(None, None, None)
    assert last_said(server) == ["first"]


@pytest.mark.parametrize("term", ["dumb", "unknown", None, "nonsense"])
def test_messages_queued_on_any_terminal(term, program, server):
    gate = Gate()
    server.reply(text("wait", gate, " over"))
    env = {**program.env, "TERM": term or ""}
    if term is None:
        del env["TERM"]
    with terminal([*program.command, "-s", "s"], env=env, cwd=program.folder) as screen:
        screen.wait_for("you ❯")
        screen.send("first" + ENTER)
        screen.wait_for("assistant ❯ wait")
        screen.send("second" + ENTER + "third" + ENTER + "a draft")
        gate.release()
        screen.wait_for("you ❯ second assistant ❯ You said: second you ❯ third assistant ❯ You said: third")
        screen.wait_for("you ❯ a draft")
        screen.send(CTRL_C + CTRL_D)
        screen.wait_for("resume with: ")
        assert screen.wait_for_end() == 0
        assert "wait over" in screen.text
        if term in ("dumb", "unknown"):
            assert "\x1b[" not in screen.raw.decode().split("assistant ❯ wait")[1].split("you ❯")[0]
    assert last_said(server) == ["first", "second", "third"]


def test_a_megabyte_is_sent_as_it_was_pasted(program, server):
    pasted = "".join(f"{number} lorem ipsum 漢字\n" for number in range(40_000))
    with program.chat("-s", "s", env={"SWARMCHAT_MAX_CONTEXT": "2000000"}) as screen:
        screen.wait_for(at_prompt)
        screen.paste(pasted)
        screen.wait_for("you ❯ [paste 40")
        server.reply(text("read"))
        say(screen, "", "assistant ❯ read")
        say(screen, "more", "You said: more")
    assert [message.strip() for message in last_said(server)] == [pasted.strip(), "more"]


TOOLS = '''\
import asyncio
import random

from swarmchat.swarm import Agent, Context, DemoRule, Swarm, tool


@tool
async def saw(ctx: Context) -> str:
    """Saw for a while."""
    await ctx.memory.set("sawn", random.random())
    await asyncio.sleep(0.05)
    return "sawn"


@tool
def sand(ctx: Context) -> str:
    """Sand until it is smooth."""
    ctx.cancelled.wait(0.05)
    return "sanded"


rules = [DemoRule("saw", "saw", reply="It is {result}, as was asked for in so many words."), DemoRule("sand", "sand")]
swarm = Swarm("yard", [Agent("joiner", "You are a joiner.", tools=[saw, sand])], demo=rules)
'''


def test_ctrl_c_again_and_again_at_any_moment(program):
    (program.folder / "yard.py").write_text(TOOLS)
    rng = random.Random(20260102)
    struck = 0

    def left(screen: Terminal) -> bool:
        return "resume with: " in screen.text

    while struck < 25:
        with program.chat("-S", "yard.py", "-s", "s") as screen:
            screen.wait_for(at_prompt)
            while struck < 25 and not left(screen):
                screen.send(rng.choice(["saw it", "sand it", "tell me something", "/compact", "/undo"]) + ENTER)
                screen.wait_for(lambda screen: not at_prompt(screen))
                for _ in range(rng.randint(1, 3)):
                    # As much later as it takes to write so many bytes, if something is written still.
                    until = len(screen.raw) + rng.randint(0, 150)
                    screen.wait_for(
                        lambda screen, until=until: len(screen.raw) > until or at_prompt(screen) or left(screen)
                    )
                    screen.send(CTRL_C)
                    struck += 1
                screen.wait_for(lambda screen: at_prompt(screen) or left(screen))
            # Two at an empty prompt have left, and more have come while it left.
            while not left(screen):
                screen.wait_for(lambda screen: at_prompt(screen) or left(screen))
                screen.send(CTRL_C + CTRL_D + CTRL_C * 3)
                screen.wait_for(left)
            assert screen.wait_for_end() == 0
            assert "Traceback" not in screen.text
    with program.chat("-S", "yard.py", "-s", "s") as screen:
        say(screen, "hello", "Hello")
    sent = json.loads(program.invoke("sessions", "export", "s", "--format", "openai").out)["messages"]
    assert check_messages(sent) is None
    assert '"interrupted"' in program.invoke("sessions", "export", "s", "--format", "jsonl").out


@pytest.mark.parametrize("command", [[], ["/bin/sh", "-c", 'trap : HUP; "$@"; code=$?; exit $code', "sh"]])
def test_a_closed_terminal_ends_a_chat_at_its_prompt_without_a_report(command, program, tmp_path):
    # A shell may keep SIGHUP for itself: then only reads and writes fail.
    env = {**program.env, "TMPDIR": str(tmp_path)}
    with terminal([*command, *program.command, "-s", "s"], env=env, cwd=program.folder) as screen:
        say(screen, "hello", GREETED)
        assert screen.close() == 129
    assert list(tmp_path.glob("swarmchat-crash-*")) == []
    assert program.messages("s")[0] == "hello"


def test_a_closed_terminal_ends_an_answer_and_what_was_said_is_kept(program, server, tmp_path):
    gate = Gate()
    server.reply(hang(gate, "half ", "of it"))
    with program.chat("-s", "s", env={"TMPDIR": str(tmp_path)}) as screen:
        screen.wait_for(at_prompt)
        screen.send("tell me" + ENTER)
        screen.wait_for("half")
        assert screen.close() == 129
    gate.release()
    assert list(tmp_path.glob("swarmchat-crash-*")) == []
    assert program.messages("s")[:2] == ["tell me", "half of it"]


def test_output_that_a_closed_terminal_did_not_take(program):
    shell = ["/bin/sh", "-c", 'trap : HUP; read line; "$@"; code=$?; exit $code', "sh"]
    with terminal([*shell, *program.command, "--help"], env=program.env, cwd=program.folder) as screen:
        assert screen.close() == 129
