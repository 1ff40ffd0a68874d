"""Turns that are taken back, brought back, asked again and forked, as the user sees it on a real terminal."""

import json
import os
import signal

from model_server import ModelServer, failure, text
from redis_server import free_port, start_redis
from terminal import CTRL_C, CTRL_D, CTRL_X, ENTER, UP, at_prompt, say

STAYS = "memory, storages and bans stay as they are"


def sent(server: ModelServer) -> list[str]:
    """Return what the newest request holds, without the system message."""
    return [message["content"] for message in server.chats[-1]["messages"][1:]]


def test_undo_and_redo(program):
    where = ["chat", "-S", "helpdesk", "-s", "s"]
    with program.chat(*where, columns=40, rows=10) as screen:
        say(screen, "/undo", "error: nothing to undo")
        say(screen, "play 5", "O 2 3")
        say(screen, "I want to buy a phone", "triage → sales")
        say(screen, "a red one", "Still missing: quantity, name.")
        say(screen, "/undo", f"turn 3 is undone; now 2 turns; active agent: sales; {STAYS}")
        say(screen, "/undo 1", f"turn 2 is undone; now 1 turn; active agent: triage; {STAYS}")
        screen.wait_for(lambda screen: screen.lines[-1].startswith(" triage   "))
        say(screen, "/redo 5", "turns 2 to 3 are back; now 3 turns; active agent: sales")
        screen.wait_for(lambda screen: screen.lines[-1].startswith(" sales ‹ triage   "))
        say(screen, "/state order", '"colour": "red"')
        say(screen, "/redo", "error: nothing to redo")
        say(screen, "/undo x", "error: 'x' is not a number of turns, expected 1 or more")
        say(screen, "/undo 2", f"turns 2 to 3 are undone; now 1 turn; active agent: triage; {STAYS}")
        say(screen, "/context", "message")
        assert "a red one" not in screen.words.rsplit("/context", 1)[1]
        screen.send(CTRL_D)
        assert screen.wait_for_end() == 0
    with program.chat(*where) as screen:
        screen.wait_for("resumed after 1 turn;")
        screen.wait_for("you: play 5")
        assert "a red one" not in screen.words
        say(screen, "/redo", "turn 2 is back")
        say(screen, "/state game", "O23")


def test_retry_and_edit(program, server):
    server.reply(text("first answer"), text("second answer"), failure(401, "Incorrect API key"), text("third answer"))
    with program.chat("-s", "s", env={"EDITOR": "true"}) as screen:
        say(screen, "/retry", "error: no question to ask again")
        say(screen, "/edit", "error: no question to edit")
        say(screen, "//etc is what?", "first answer")
        say(screen, "/retry", f"turn 1 is undone; {STAYS} assistant ❯ second answer")
        assert sent(server) == ["/etc is what?"]
        say(screen, "more", "Incorrect API key")
        screen.send("/edit" + ENTER)
        screen.wait_for(f"turn 3 is undone; now 1 turn; active agent: assistant; {STAYS} you ❯ more")
        screen.wait_for(at_prompt)
        screen.send(" of it" + ENTER)
        screen.wait_for("third answer")
        screen.wait_for(at_prompt)
        assert sent(server) == ["/etc is what?", "second answer", "more of it"]
        # A slash at the start of a message is two at the prompt.
        say(screen, "/undo", "turn 4 is undone")
        screen.send("/edit" + ENTER)
        screen.wait_for(f"{STAYS} you ❯ //etc is what?")
        # Giving up brings the turn back, also with a command.
        screen.send(CTRL_C)
        screen.wait_for("not edited: turn 2 is back")
        screen.wait_for(at_prompt)
        say(screen, "done", "You said: done")
        assert sent(server) == ["/etc is what?", "second answer", "done"]
        screen.send("/edit" + ENTER)
        screen.wait_for(f"{STAYS} you ❯ done")
        screen.wait_for(at_prompt)
        screen.send(CTRL_X + "\x05")
        screen.wait_for("not edited: turn 5 is back")


def test_an_answer_that_was_to_be_replaced_is_found_again(program, server):
    server.reply(text("first answer"), failure(401, "Incorrect API key"), failure(401, "Incorrect API key"))
    with program.chat("-s", "s") as screen:
        say(screen, "one", "first answer")
        say(screen, "/retry", "turn 1 with its answer is in the log: swarmchat sessions fork s --turn 1 continues it")
        say(screen, "/retry", "turn 2 is undone")
        screen.wait_for(lambda screen: screen.words.count("Incorrect API key") == 2)
        assert "turn 2 with its answer" not in screen.words
    assert program.invoke("sessions", "fork", "s", "--turn", "1").out == "s-2\n"
    assert program.messages("s-2") == ["one", "first answer"]


def test_a_signal_during_an_edit_brings_the_turn_back(program, server):
    with program.chat("-s", "s") as screen:
        say(screen, "one", "You said: one")
        screen.send("/edit" + ENTER)
        screen.wait_for(f"{STAYS} you ❯ one")
        screen.wait_for(at_prompt)
        os.kill(screen.process.pid, signal.SIGTERM)
        assert screen.wait_for_end() == 143
        assert "not edited: turn 1 is back" in screen.words
    with program.chat("-s", "s") as screen:
        say(screen, "/undo", "turn 1 is undone")
        screen.send(CTRL_D)
        assert screen.wait_for_end() == 0
    with program.chat("-s", "s") as screen:
        screen.wait_for("undone: turn 1; /redo brings back what was undone")


def test_a_reset_is_taken_back_alone(program, server):
    server.reply(text("first answer"), text("second answer"))
    with program.chat("-s", "s") as screen:
        say(screen, "one", "first answer")
        say(screen, "/reset", "earlier messages are no longer sent; /undo takes the reset back")
        say(screen, "/retry", "no question to ask again since the reset")
        say(screen, "/undo", "the reset is undone; now 1 turn")
        say(screen, "two", "second answer")
        assert sent(server) == ["one", "first answer", "two"]


def test_the_demo_model_writes_no_summaries(program):
    with program.chat("-s", "s") as screen:
        say(screen, "hello", "Hello!")
        say(screen, "/compact", "error: the demo model cannot write summaries")


def test_a_banned_client_changes_nothing_and_its_message_is_in_the_history(program):
    with program.chat("chat", "-S", "helpdesk", "-s", "s") as screen:
        say(screen, "hello", "triage ❯")
        say(screen, "who will win the election?", "I do not talk about politics.")
        screen.send("/edit" + ENTER)
        screen.wait_for("it can read, but change nothing")
        screen.wait_for(at_prompt)
        screen.send(UP + UP + ENTER)
        screen.wait_for(lambda screen: screen.words.count("you are banned") == 2)
        screen.wait_for(at_prompt)


def test_a_fork_is_continued_and_the_old_session_stays(program, server):
    with program.chat("-s", "my box") as screen:
        say(screen, "/fork", "error: this session has no messages yet")
        say(screen, "one", "You said: one")
        say(screen, "two", "You said: two")
        say(screen, "/undo", "turn 2 is undone")
        say(
            screen,
            "/fork",
            "this is now session 'my box-2'; 'my box' is unchanged; /resume my box goes back",
        )
        screen.wait_for(lambda screen: "my box-2" in screen.lines[-1])
        say(screen, "three", "You said: three")
        assert sent(server) == ["one", "You said: one", "three"]
        say(screen, "/fork my box", "error: ann already has a session 'my box': choose another name")
        # The old one is free again.
        other = program.invoke("-s", "my box", "four")
        assert (other.out, other.code) == ("You said: four\n", 0)
        assert sent(server) == ["one", "You said: one", "four"]
        say(screen, "/export", "wrote my-box-2.md: markdown, ")
        say(screen, "/export", "error: my-box-2.md already exists: /export ! my-box-2.md overwrites it")
        screen.send("/export ! my-box-2.md" + ENTER)
        screen.wait_for(lambda screen: screen.words.count("wrote my-box-2.md") == 2)
        screen.wait_for(at_prompt)
        screen.send(CTRL_D)
        screen.wait_for("-s 'my box-2'")
        assert screen.wait_for_end() == 0
    names = {each["name"] for each in json.loads(program.invoke("sessions", "list", "--json").out)}
    assert names == {"my box", "my box-2"}
    assert program.messages("my box-2")[-2:] == ["three", "You said: three"]


def test_a_question_to_be_asked_again_that_cannot_be_stored_is_back_at_the_prompt(program, server, tmp_path):
    port = free_port()
    where = ["-b", "redis", "--redis-url", f"redis://127.0.0.1:{port}/0", "-s", "s"]
    durable = ("--appendonly", "yes", "--appendfsync", "always")
    with start_redis(tmp_path, *durable, port=port):
        chat = program.chat(*where)
        screen = chat.__enter__()
        say(screen, "first", "You said: first")
    try:
        say(screen, "/undo", f"error: redis://127.0.0.1:{port}/0 cannot be reached")
        with start_redis(tmp_path, *durable, port=port):
            say(screen, "/undo", "turn 1 is undone; now no turns")
            say(screen, "/redo", "turn 1 is back")
            say(screen, "second", "You said: second")
            assert sent(server) == ["first", "You said: first", "second"]
    finally:
        chat.__exit__(None, None, None)
