"""What stops, clears, leaves, suspends, allows and queues, as the user sees it on a real terminal."""

import os
import signal

import pytest
from model_server import Gate, ModelServer, hang, text
from terminal import (
    CTRL_C,
    CTRL_D,
    CTRL_Z,
    ENTER,
    ESCAPE,
    LEFT,
    UP,
    at_prompt,
    say,
    terminal,
)

QUESTION = "allow? y/n/a/e/? then Enter"

WORKSHOP = '''\
import asyncio
from pathlib import Path

from swarmchat.swarm import Agent, DemoRule, Swarm, tool


@tool(approve="ask")
def drill(place: str, depth: int = 1) -> str:
    """Drill a hole."""
    with open("holes", "a") as holes:
        holes.write(f"{place}:{depth} ")
    return f"drilled {place} {depth}"


@tool
async def grind() -> str:
    """Grind, and listen to nobody."""
    while not Path("enough").exists():
        try:
            await asyncio.sleep(0.02)
        except asyncio.CancelledError:
            Path("asked").touch()
    return "ground"


swarm = Swarm(
    "workshop",
    [Agent("smith", "You are a smith.", tools=[drill, grind])],
    demo=[
        DemoRule(r"^drill (?P<place>.+)", "drill", {"place": "{place}"}, reply="Done: {result}"),
        DemoRule(r"^grind", "grind"),
    ],
)
'''


@pytest.fixture
def workshop(program):
    """The program in a folder with a swarm that has obstinate tools."""
    (program.folder / "workshop.py").write_text(WORKSHOP)
    return program


def sent(server: ModelServer) -> list[str]:
    """Return what the user said in each request last."""
    return [chat["messages"][-1]["content"] for chat in server.chats]


def test_ctrl_c_and_ctrl_d_at_the_prompt(program):
    with program.chat("-s", "s") as screen:
        screen.wait_for(at_prompt)
        screen.send("abc" + LEFT + CTRL_D)
        screen.wait_for(lambda screen: "you ❯ ab" in screen.screen_lines)
        screen.send(CTRL_C)
        screen.wait_for(lambda screen: "you ❯" in screen.screen_lines)
        screen.send(UP)
        screen.wait_for(lambda screen: "you ❯ ab" in screen.screen_lines)
        screen.send(CTRL_C + CTRL_C)
        screen.wait_for("Ctrl-C again within 2 s or Ctrl-D leaves; the session stays you ❯")
        say(screen, "hello", "Hello")
        screen.send(CTRL_D)
        screen.wait_for("resume with: swarmchat")
        assert screen.wait_for_end() == 0


def test_a_second_ctrl_c_leaves_a_tool_behind(workshop):
    with workshop.chat("-S", "workshop.py", "-s", "s") as screen:
        screen.wait_for(at_prompt)
        screen.send("grind" + ENTER)
        screen.wait_for("smith · running grind · ")
        screen.send(CTRL_C)
        screen.wait_for(lambda screen: (workshop.folder / "asked").exists())
        assert not at_prompt(screen)
        screen.send(CTRL_C)
        screen.wait_for("stopped; interrupted, may have taken effect: grind you ❯")
        say(screen, "hello", "smith ❯ Hello")
        (workshop.folder / "enough").touch()
        screen.send(CTRL_D)
        assert screen.wait_for_end() == 0
    shown = workshop.invoke("sessions", "export", "s", "--format", "openai")
    assert "interrupted" in shown.out


def test_what_can_be_said_to_a_tool_that_asks(workshop):
    holes = workshop.folder / "holes"
    with workshop.chat("-S", "workshop.py", "-s", "s") as screen:

        def ask(message: str) -> None:
            screen.wait_for(at_prompt)
            before = screen.words.count(QUESTION)
            screen.send(message + ENTER)
            screen.wait_for(lambda screen: screen.words.count(QUESTION) > before and not at_prompt(screen))

        ask("drill wood")
        screen.send("?" + ENTER)
        screen.wait_for('drill: Drill a hole. { "place": "wood" }')
        screen.wait_for(f"show the call in full {QUESTION}")
        # Arguments that do not fit are told, and can be changed again or given up.
        screen.send("e" + ENTER)
        screen.wait_for('arguments: {"place": "wood"}')
        screen.send("\x15" + '{"place": []}' + ENTER)
        screen.wait_for("error: place: ")
        screen.send(CTRL_C)
        screen.wait_for(lambda screen: screen.words.endswith(QUESTION))
        screen.send("e" + ENTER)
        screen.wait_for(lambda screen: screen.words.endswith('arguments: {"place": "wood"}'))
        screen.send("\x15" + '{"place": "stone", "depth": 3}' + ENTER)
        screen.wait_for('smith · drill({"place": "stone", "depth": 3}) ok')
        screen.wait_for("drilled stone 3")
        assert holes.read_text() == "stone:3 "
        for answer in (CTRL_C, CTRL_D, "n" + ENTER):
            ask("drill glass")
            screen.send(answer)
            screen.wait_for(lambda screen: screen.lines[-2:-1] != [QUESTION] and at_prompt(screen))
        ask("drill tin")
        os.kill(screen.process.pid, signal.SIGINT)
        screen.wait_for('drill({"place": "tin"}) denied')
        ask("drill iron")
        # Terminals report that the window has lost the focus, and has it again.
        screen.send("\x1b[O\x1b[Ia" + ENTER)
        screen.wait_for("Done: drilled iron 1")
        say(screen, "drill gold", "Done: drilled gold 1")
        assert holes.read_text() == "stone:3 iron:1 gold:1 "
    assert "The user changed the arguments to" in workshop.invoke("sessions", "export", "s", "--format", "openai").out


def test_messages_in_the_queue(program, server):
    gate = Gate()
    server.reply(hang(gate, "wait"))
    with program.chat("-s", "s", columns=100) as screen:
        screen.wait_for(at_prompt)
        screen.send("first" + ENTER)
        screen.wait_for("assistant ❯ wait")
        screen.send("second" + ENTER + "/session" + ENTER + "fourth" + ENTER)
        screen.wait_for("3 queued: Up takes back, Esc drops")
        screen.send(UP)
        screen.wait_for("2 queued · ❯ fourth")
        screen.send("!" + ENTER)
        screen.wait_for("3 queued: Up")
        screen.send("fifth" + ENTER)
        screen.wait_for("4 queued: Up")
        screen.send(ESCAPE)
        screen.wait_for("3 queued: Up")
        screen.send("a draft")
        screen.wait_for("3 queued · ❯ a draft")
        # Ctrl-C stops the answer, and nothing is sent before the user says so.
        screen.send(CTRL_C)
        screen.wait_for("3 queued: Enter sends, Up takes the last one back, Ctrl-C drops you ❯ a draft")
        screen.wait_for(lambda screen: "   3 queued   " in screen.lines[-1])
        screen.send(CTRL_C)
        screen.wait_for(lambda screen: "you ❯" in screen.screen_lines)
        screen.send(UP)
        screen.wait_for("you ❯ fourth!")
        screen.send(CTRL_C + ENTER)
        screen.wait_for("you ❯ second assistant ❯ You said: second you ❯ /session session s")
        screen.wait_for(at_prompt)
        assert sent(server) == ["first", "second"]
        # What was let go of can be had back.
        screen.send(UP)
        screen.wait_for("you ❯ fourth!")
        screen.send(UP)
        screen.wait_for("you ❯ a draft")


def test_ctrl_d_during_an_answer_leaves_after_it_and_the_queue(program, server):
    gate = Gate()
    server.reply(hang(gate, "wait"))
    with program.chat("-s", "s") as screen:
        screen.wait_for(at_prompt)
        screen.send("first" + ENTER)
        screen.wait_for("assistant ❯ wait")
        screen.send("second" + ENTER + CTRL_D)
        screen.wait_for("1 queued · leaves then")
        gate.release()
        screen.wait_for("you ❯ second assistant ❯ You said: second")
        assert screen.wait_for_end() == 0
    assert sent(server) == ["first", "second"]


def test_no_key_typed_around_the_end_of_an_answer_is_lost(program, server):
    with program.chat("-s", "s") as screen:
        screen.wait_for(at_prompt)
        for text in ("one", "two", "three"):
            # The end of the answer is on the screen before the prompt is.
            screen.send(text + ENTER)
            screen.wait_for(f"You said: {text}")
        screen.send("rest" + CTRL_D)
        screen.wait_for(lambda screen: "you ❯ rest" in screen.screen_lines)
        screen.send(CTRL_C + "four" + ENTER + CTRL_D)
        assert screen.wait_for_end() == 0
    assert sent(server) == ["one", "two", "three", "four"]


def test_keys_of_newer_terminals(program, server):
    gate = Gate()
    server.reply(hang(gate, "wait"))
    shift_enter, focus, colour = "\x1b[13;2u", "\x1b[O\x1b[I", "\x1b]11;rgb:0000/0000/0000\x1b\\"
    with program.chat("-s", "s") as screen:
        screen.wait_for(at_prompt)
        screen.send(f"{focus}one{shift_enter}{colour}two{ENTER}")
        screen.wait_for("assistant ❯ wait")
        screen.send(f"three\x1b[27;2;13~{focus}four{ENTER}{colour}")
        screen.wait_for("1 queued: Up")
        gate.release()
        screen.wait_for("You said: three four")
        screen.wait_for(at_prompt)
        screen.send(CTRL_D)
        assert screen.wait_for_end() == 0
    assert sent(server) == ["one\ntwo", "three\nfour"]


def test_dropping_the_queue(program, server):
    gate = Gate()
    server.reply(hang(gate, "wait"))
    with program.chat("-s", "s", columns=100) as screen:
        screen.wait_for(at_prompt)
        screen.send("first" + ENTER)
        screen.wait_for("assistant ❯ wait")
        screen.send("second" + ENTER + "third" + ENTER + CTRL_C)
        screen.wait_for("2 queued: Enter sends")
        screen.wait_for(at_prompt)
        screen.send(CTRL_C)
        screen.wait_for("2 queued were not sent; Up brings them back")
        say(screen, "fourth", "You said: fourth")
        assert sent(server) == ["first", "fourth"]


@pytest.mark.parametrize("busy", [False, True])
def test_a_program_that_was_stopped_has_its_terminal_again_after_fg(busy, program, server):
    gate = Gate()
    server.reply(text("half", gate, " and half"))
    env = {**program.env, "PS1": "shell> ", "PS2": ""}
    with terminal(["/bin/bash", "--norc", "--noprofile", "-i"], env=env, cwd=program.folder) as screen:
        screen.wait_for("shell>")
        screen.send(f"{' '.join((*program.command, '-s', 's'))} & echo pid=$!=; fg\n")
        screen.wait_for(at_prompt)
        pid = int(screen.text.split("pid=")[-1].split("=")[0])
        if busy:
            screen.send("hello" + ENTER)
            screen.wait_for("assistant ❯ half")
        os.kill(pid, signal.SIGSTOP)
        screen.wait_for("Stopped")
        stopped = len(screen.raw)
        screen.send("fg\n")
        gate.release()
        # What is typed before it is drawn again is still the shell's way of reading.
        screen.wait_for(lambda screen: "❯".encode() in screen.raw[stopped:] and at_prompt(screen))
        # Enter and Ctrl-J are different keys only in the mode of the prompt.
        screen.send("one\ntwo" + ENTER)
        screen.wait_for(lambda screen: len(server.chats) == 1 + busy)
        assert sent(server)[-1] == "one\ntwo"


@pytest.mark.parametrize("busy", [False, True])
def test_ctrl_z_suspends_and_fg_continues(busy, program, server):
    gate = Gate()
    server.reply(text("half", gate, " and half"))
    env = {**program.env, "PS1": "shell> ", "PS2": ""}
    with terminal(["/bin/bash", "--norc", "--noprofile", "-i"], env=env, cwd=program.folder) as screen:
        screen.wait_for("shell>")
        screen.send(" ".join((*program.command, "-s", "s")) + "\n")
        screen.wait_for(at_prompt)
        if busy:
            screen.send("hello" + ENTER)
            screen.wait_for("assistant ❯ half")
        else:
            screen.send("a dra")
            screen.wait_for("you ❯ a dra")
        screen.send(CTRL_Z)
        screen.wait_for("Stopped")
        screen.send("echo shell is $((1 + 1))\n")
        screen.wait_for("shell is 2")
        screen.send("fg\n")
        if busy:
            gate.release()
            screen.wait_for("and half")
        else:
            screen.wait_for(
                lambda screen: at_prompt(screen) and "you ❯ a dra" in screen.screen_lines[-2:] + screen.lines
            )
            screen.send("ft" + ENTER)
            screen.wait_for("you ❯ a draft assistant ❯ half")
            gate.release()
        screen.wait_for(at_prompt)
        say(screen, "more", "You said: more")


def test_a_terminal_that_closes_loses_nothing(program, server):
    gate = Gate()
    server.reply(hang(gate, "partly"))
    with program.chat("-s", "s") as screen:
        screen.wait_for(at_prompt)
        screen.send("hello" + ENTER)
        screen.wait_for("assistant ❯ partly")
        screen.send("queued" + ENTER + "a draft")
        screen.wait_for("1 queued · ❯ a draft")
        screen.process.close(force=False)
        screen.process.wait()
    assert program.messages("s") == ["hello", "partly"]
    entered = (program.home / ".local/share/swarmchat/prompts").read_text()
    assert entered.index("+hello") < entered.index("+queued") < entered.index("+a draft")
