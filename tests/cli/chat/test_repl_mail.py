"""Messages from outside in a chat, and messages to a turn that is running."""

import json

import pytest
from model_server import Gate, text
from terminal import CTRL_C, CTRL_D, ENTER, LEFT, at_prompt, say


def sent(server):
    return [message["content"] for message in server.chats[-1]["messages"][1:]]


def place(kind, redis_url):
    return ["-b", "redis", "--redis-url", redis_url] if kind == "redis" else ["-b", kind]


@pytest.mark.parametrize("kind", ["disk", "redis"])
def test_an_open_chat_shows_a_message_at_once_and_keeps_what_is_typed(kind, program, server, redis_url):
    store = place(kind, redis_url)
    with program.chat(*store, "-s", "box") as screen:
        say(screen, "hello", "You said: hello")
        screen.wait_for(at_prompt)
        screen.send("half a sentnce" + LEFT * 3)
        screen.wait_for("half a sentnce")
        assert program.invoke("sessions", "tell", "box", "Your order has shipped.", "--from", "shop", *store).code == 0
        screen.wait_for("message from shop ❯ Your order has shipped.")
        screen.wait_for("you ❯ half a sentnce")
        server.reply(text("I have heard of it."))
        assert program.invoke("sessions", "tell", "box", "-", "--wake", *store, piped="It came back.\n").code == 0
        screen.wait_for("message ❯ It came back. assistant ❯ I have heard of it.")
        screen.wait_for("you ❯ half a sentnce")
        say(screen, "e", "You said: half a sentence")
        assert [line for line in screen.lines if "half" in line] == [
            "you ❯ half a sentence",
            "assistant ❯ You said: half a sentence",
        ]
    assert "shipped" in sent(server)[2]
    assert "came back" in sent(server)[2]
    assert sent(server)[3:] == ["I have heard of it.", "half a sentence"]


def test_a_closed_session_receives_at_its_next_opening(program, server):
    assert program.invoke("run", "-b", "disk", "-s", "box", "hello").code == 0
    assert program.invoke("sessions", "tell", "box", "One.", "-b", "disk").code == 0
    assert program.invoke("sessions", "tell", "box", "Two.", "--wake", "--agent", "nobody", "-b", "disk").code == 0
    assert "2 messages from outside waiting" in program.invoke("sessions", "show", "box", "-b", "disk").err
    server.reply(text("Noted."))
    with program.chat("-b", "disk", "-s", "box") as screen:
        screen.wait_for("message ❯ One.")
        screen.wait_for("message ❯ Two.")
        screen.wait_for("not in the swarm: assistant got it")
        screen.wait_for("assistant ❯ Noted.")
        screen.wait_for(at_prompt)
        screen.send(CTRL_D)
        assert screen.wait_for_end() == 0
    shown = program.invoke("sessions", "show", "box", "-b", "disk").out
    assert shown.count("message from outside: One.") == 1
    assert shown.count("message from outside: Two.") == 1


def test_a_script_receives_at_its_start(program, server):
    assert program.invoke("run", "-b", "disk", "-s", "box", "hello").code == 0
    for text_, *options in (["One.", "--from", "shop"], ["Two.", "--wake"], ["Three."]):
        assert program.invoke("sessions", "tell", "box", text_, *options, "-b", "disk").code == 0
    done = program.invoke("run", "-b", "disk", "-s", "box", "and now?", "--output", "json")
    first, second = json.loads(done.out)["turns"]
    assert [message["text"] for message in first["messages"]] == ["One.", "Two.", "Three."]
    assert first["messages"][0] == {"text": "One.", "sender": "shop", "agent": "assistant", "wake": False}
    assert (first["question"], first["turn"], second["turn"], second["messages"]) == ("", 2, 3, [])
    assert "message from shop ❯ One." in done.err
    assert program.invoke("sessions", "tell", "box", "Four.", "-b", "disk").code == 0
    alone = program.invoke("run", "-b", "disk", "-s", "box", "and now?")
    assert ("\f" in alone.out, "Four." in alone.err) == (False, True)


def test_mistakes_in_tell(program, server):
    assert program.invoke("run", "-b", "disk", "-s", "box", "hello").code == 0
    missing = program.invoke("sessions", "tell", "bax", "hi", "-b", "disk")
    assert (missing.code, "no session 'bax'" in missing.err) == (66, True)
    empty = program.invoke("sessions", "tell", "box", " ", "-b", "disk")
    assert (empty.code, "the message is empty" in empty.err) == (1, True)
    long = program.invoke("sessions", "tell", "box", "-", "-b", "disk", piped="é" * 40_000)
    assert (long.code, "40,000 characters, expected at most 32,000" in long.err) == (1, True)
    cut = program.invoke("sessions", "tell", "box", "-", "-b", "disk", piped="a" + " " * 200_000 + "b")
    assert (cut.code, "more than 128,000 bytes, expected at most 32,000 characters" in cut.err) == (1, True)
    told = json.loads(program.invoke("sessions", "tell", "box", "hi", "-b", "disk", "--json").out)
    assert (told["session"], told["text"], told["wake"]) == ("box", "hi", False)


SLOW = '''\
from pathlib import Path
import asyncio
from swarmchat.swarm import Agent, Context, DemoRule, Swarm, tool


@tool
async def bake(ctx: Context, what: str) -> str:
    """Bake something."""
    while not Path("ready").exists():
        await asyncio.sleep(0.01)
    return f"baked {what}"


RULES = [DemoRule(r"^bake (?P<what>\\w+)", "bake", {"what": "{what}"}), DemoRule("instead", reply="All right: {text}.")]
swarm = Swarm("bakery", [Agent("baker", "Bake.", tools=[bake])], demo=RULES)
'''


@pytest.mark.parametrize("how", ["/now a cake instead" + ENTER, "a cake instead\x18\x0e"])
def test_a_message_to_the_running_turn(how, program):
    (program.folder / "slow.py").write_text(SLOW)
    with program.chat("-S", "slow.py", "-m", "demo", "-b", "disk", "-s", "box") as screen:
        screen.wait_for(at_prompt)
        screen.send("bake bread" + ENTER)
        screen.wait_for("running bake")
        screen.send(how)
        screen.wait_for("1 with the next request")
        screen.send("then this" + ENTER)
        screen.wait_for("1 queued")
        (program.folder / "ready").touch()
        screen.wait_for("you ❯ a cake instead baker ❯ All right: a cake instead. you ❯ then this")
        screen.wait_for(at_prompt)
        screen.send("/undo" + ENTER + "/undo" + ENTER)
        screen.wait_for("now no turns")


def test_a_message_to_a_turn_that_needs_no_further_request_comes_next(program, server):
    gate = Gate()
    server.reply(text("One", gate, " two"))
    with program.chat("-b", "disk", "-s", "box") as screen:
        screen.wait_for(at_prompt)
        screen.send("hello" + ENTER)
        screen.wait_for("assistant ❯ One")
        screen.send("/now wait" + ENTER)
        screen.wait_for("1 with the next request")
        screen.send(CTRL_C)
        screen.wait_for("1 queued: Enter sends")
        gate.release()
        screen.wait_for(at_prompt)
        screen.send(ENTER)
        screen.wait_for("you ❯ wait assistant ❯ You said: wait")
        say(screen, "/now again", "You said: again")
