"""The chat as its user sees it, on a real terminal, with a real model server."""

import os
import re
import signal

import pytest
from model_server import Gate, ModelServer, Reply, failure, hang, text
from redis_server import RedisServer, free_port, start_redis
from terminal import CTRL_C, CTRL_D, CTRL_J, ENTER, ESCAPE, UP, Terminal, at_prompt, say, terminal


def leave(screen: Terminal) -> str:
    """Press Ctrl-D at the prompt; return the command that is printed."""
    screen.wait_for(at_prompt)
    screen.send(CTRL_D)
    assert screen.wait_for_end() == 0
    return screen.raw.decode().split("resume with: ")[1].split("\x1b")[0].strip()


def sent(server: ModelServer) -> list[str]:
    """Return what the newest request holds, without the system message."""
    return [message["content"] for message in server.chats[-1]["messages"][1:]]


def place(kind: str, redis_url: str) -> list[str]:
    return ["-b", "redis", "--redis-url", redis_url] if kind == "redis" else ["-b", kind]


@pytest.mark.parametrize("kind", ["disk", "redis"])
def test_a_chat_and_how_it_is_resumed(kind, program, server, redis_url):
    gate = Gate()
    server.reply(text("\n\nOne", gate, " two\n\n"))
    with program.chat(*place(kind, redis_url), "-s", "my box") as screen:
        screen.wait_for(at_prompt)
        assert f"test-model · {kind} · session my box" in screen.words
        screen.send("hello" + ENTER)
        screen.wait_for("assistant ❯ One")
        assert not at_prompt(screen)
        gate.release()
        screen.wait_for(at_prompt)
        command = leave(screen)
        start = screen.lines.index("you ❯ hello")
        assert screen.lines[start : start + 3] == ["you ❯ hello", "assistant ❯ One two", "you ❯"]

    with terminal(["/bin/sh", "-c", command], env=program.env, cwd=program.folder) as screen:
        screen.wait_for("resumed after 1 turn")
        screen.wait_for("you: hello assistant: One two you ❯")
        say(screen, "more", "You said: more")
    assert sent(server) == ["hello", "\n\nOne two\n\n", "more"]


def test_a_session_in_memory_says_that_it_is_gone(program):
    with program.chat("-b", "memory") as screen:
        say(screen, "hello", "assistant ❯ Hello")
        screen.send(CTRL_D)
        screen.wait_for("this session was only in memory and is now gone")
        assert screen.wait_for_end() == 0


def test_a_chat_without_a_turn_leaves_nothing_to_resume(program):
    with program.chat("-s", "s") as screen:
        screen.wait_for(at_prompt)
        screen.send(CTRL_D)
        assert screen.wait_for_end() == 0
        assert "resume" not in screen.text


def test_ctrl_c_and_ctrl_d(program, server):
    gate = Gate()
    server.reply(hang(gate, "partly"))
    with program.chat("-s", "s") as screen:
        # With text: it is cleared, and comes back with the up arrow.
        screen.wait_for(at_prompt)
        screen.send("a draft")
        screen.wait_for("you ❯ a draft")
        screen.send(CTRL_C)
        screen.wait_for(lambda screen: "a draft" not in screen.text)
        screen.send(UP)
        screen.wait_for("you ❯ a draft")
        # While an answer comes: Ctrl-D does nothing, Ctrl-C stops it, and what is typed meanwhile is not lost.
        screen.send(ENTER)
        screen.wait_for("assistant ❯ partly")
        screen.send(CTRL_D + "typed ahead" + CTRL_C)
        screen.wait_for("stopped; the partial answer is kept you ❯ typed ahead")
        server.wait_for(lambda server: server.disconnects == 1)
        assert screen.text.count("typed ahead") == 1
        say(screen, "", "You said: typed ahead")
        assert sent(server) == ["a draft", "partly", "typed ahead"]
        # With nothing: a hint, and the second time it leaves.
        screen.send(CTRL_C)
        screen.wait_for("Ctrl-C again within 2 s or Ctrl-D leaves; the session stays you ❯")
        screen.send(CTRL_C)
        screen.wait_for("resume with: ")
        assert screen.wait_for_end() == 0


def test_messages_typed_while_an_answer_comes_are_sent_in_their_turn(program, server):
    gate = Gate()
    server.reply(hang(gate, "wait"))
    with program.chat("-s", "s") as screen:
        screen.wait_for(at_prompt)
        screen.send("first" + ENTER)
        screen.wait_for("assistant ❯ wait")
        screen.send("second" + ENTER + "third" + ENTER)
        screen.paste("fourth\rpasted")
        gate.release()
        screen.wait_for("You said: second")
        screen.wait_for("You said: third")
        screen.wait_for("you ❯ fourth pasted")
        say(screen, "", "assistant ❯ You said: fourth pasted")
    assert [chat["messages"][-1]["content"] for chat in server.chats] == ["first", "second", "third", "fourth\npasted"]


def test_what_is_typed_before_the_first_prompt_is_not_lost(program):
    with program.chat("-s", "s") as screen:
        screen.send("early" + ENTER)
        screen.wait_for('You said "early"')


def test_new_lines_and_pastes(program, server):
    with program.chat("-s", "s") as screen:
        screen.wait_for(at_prompt)
        screen.send("one" + ESCAPE + ENTER + "two" + CTRL_J + "three" + ENTER)
        screen.wait_for("assistant ❯ You said: one two three")
        screen.wait_for(at_prompt)
        screen.paste("four\r\nfive\rsix\x1b[31m\x07")
        screen.wait_for("you ❯ four five six^[[31m^G")
        say(screen, "", "assistant ❯ You said: four five six␛[31m␇")
    messages = [chat["messages"][-1]["content"] for chat in server.chats]
    assert messages == ["one\ntwo\nthree", "four\nfive\nsix\x1b[31m\x07"]


def test_a_model_that_cannot_call_tools_is_named_at_the_first_prompt(program, server):
    server.props_reply = Reply([b'{"chat_template_caps": {"supports_tools": false}}'], headers={})
    with program.chat("-b", "memory", "-S", "helpdesk") as screen:
        screen.wait_for("does not support tools: only calls written as text are found")
    assert not server.chats


def test_commands_never_reach_the_model(program, server):
    with program.chat("-s", "s") as screen:
        say(screen, "/help", "/context show the next request")
        say(screen, "/hlep", "error: unknown command /hlep; did you mean /help?")
        say(screen, "/ses", "error: /ses is ambiguous: /session, /sessions")
        say(screen, "/session", "kept in disk:")
        say(screen, "/context", "tokens message")
        assert not server.chats
        say(screen, "//etc is a folder", "assistant ❯ You said: /etc is a folder")
        assert sent(server) == ["/etc is a folder"]
        screen.send("/exit" + ENTER)
        screen.wait_for("resume with: ")
        assert screen.wait_for_end() == 0


def test_the_up_arrow_knows_other_sessions(program):
    with program.chat("-s", "one") as screen:
        say(screen, "a long question", 'You said "a long question"')
        leave(screen)
    with program.chat("-s", "two") as screen:
        screen.wait_for(at_prompt)
        screen.send(UP)
        screen.wait_for("you ❯ a long question")
    assert (program.home / ".local/share/swarmchat/prompts").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (40, 10)])
def test_each_line_is_on_the_screen_once(columns, rows, program, server):
    lines = [f"line {number:02} 漢字 🦦" for number in range(30)]
    server.reply(text(*("\n".join(lines)[start : start + 7] for start in range(0, 600, 7))))
    with program.chat("-s", "s", columns=columns, rows=rows) as screen:
        say(screen, "all of it", lines[-1])
        say(screen, "again", "You said: again")
        command = leave(screen)
        shown = screen.text
        assert [line for line in lines if shown.count(line) != 1] == []
        for once in ("you ❯ all of it", "you ❯ again", "You said: again", "resume with: ", "/help lists"):
            assert shown.count(once) == 1, once
        assert "assistant ❯ line 00" in shown
        assert "tokens" not in shown
        assert all(len(line) <= columns for line in screen.lines)
        assert command == "swarmchat --client ann -s s"


def test_a_window_that_changes_its_size_in_an_answer(program, server):
    gate = Gate()
    server.reply(text("before", gate, " after"))
    with program.chat("-s", "s") as screen:
        screen.wait_for(at_prompt)
        screen.send("hello" + ENTER)
        screen.wait_for("assistant ❯ before")
        screen.resize(60, 24)
        gate.release()
        screen.wait_for("assistant ❯ before after")
        screen.wait_for(at_prompt)
        say(screen, "more", "You said: more")


def test_an_answer_cannot_control_the_terminal(program, server):
    server.reply(text("\x1b]0;owned\x07", "\x1b[2J\x1b[H", "\x9b31m", "\x1b", "[31mred", "\x08\x08\r\nend"))
    with program.chat("-s", "s") as screen:
        say(screen, "hello", "end")
        assert "assistant ❯ ␛]0;owned␇␛[2J␛[H\ufffd31m␛[31mred␈␈ end" in screen.words
        answer = screen.raw[screen.raw.index("␛]0;".encode()) :].split(b"end")[0]
        # The program itself goes back over a line that has not ended.
        answer = re.sub(rb"\r?\x1b\[(?:[0-9]+C|[KA])", b"", answer)
        assert not re.search(rb"[\x00-\x09\x0b\x0c\x0e-\x1f\x7f]", answer)
        leave(screen)
        assert "you ❯ hello" in screen.lines


def test_an_error_of_the_server_leaves_the_chat_going(program, server):
    server.reply(failure(401, "Incorrect API key"))
    with program.chat("-s", "s") as screen:
        say(screen, "hello", "Next: the server requires an API key: set one")
        # The question without an answer is asked along with the next one.
        say(screen, "more", "You said: hello more")
        assert screen.text.count("error: ") == 1


@pytest.mark.parametrize("kind", ["disk", "redis"])
def test_a_second_process_is_refused_and_a_killed_one_is_taken_over_at_once(kind, program, server, redis_url):
    where = [*place(kind, redis_url), "-s", "s"]
    gate = Gate()
    server.reply(hang(gate, "half"))
    with program.chat(*where) as first:
        first.wait_for(at_prompt)
        first.send("hello" + ENTER)
        first.wait_for("assistant ❯ half")
        with program.chat(*where) as second:
            assert second.wait_for_end() == 75
            assert f"session 's' is open in process {first.process.pid}" in second.words
        first.process.kill(signal.SIGKILL)
        assert first.wait_for_end() == 137
    with program.chat(*where) as screen:
        screen.wait_for("you: hello")
        say(screen, "more", "You said: hello more")
        leave(screen)
    assert sent(server) == ["hello\n\nmore"]


def test_redis_that_goes_and_comes_back(program, server, tmp_path):
    port = free_port()
    where = ["-b", "redis", "--redis-url", f"redis://127.0.0.1:{port}/0", "-s", "s"]
    durable = ("--appendonly", "yes", "--appendfsync", "always")
    with start_redis(tmp_path, *durable, port=port):
        with program.chat(*where) as screen:
            say(screen, "first", "You said: first")
            leave(screen)
        chat = program.chat(*where)
        screen = chat.__enter__()
        screen.wait_for(at_prompt)
    try:
        screen.send("second" + ENTER)
        screen.wait_for("your message could not be stored; it is back at the prompt you ❯ second")
        assert f"error: redis://127.0.0.1:{port}/0 cannot be reached" in screen.words
        assert len(server.chats) == 1
        with start_redis(tmp_path, *durable, port=port):
            say(screen, "", "You said: second")
            assert sent(server) == ["first", "You said: first", "second"]
            leave(screen)
    finally:
        chat.__exit__(None, None, None)


def test_a_redis_with_another_password_is_reported_without_it(program, redis_server: RedisServer):
    url = f"redis://:hunter2@127.0.0.1:{redis_server.port}/0"
    with program.chat("-b", "redis", "--redis-url", url) as screen:
        assert screen.wait_for_end() == 69
        assert screen.lines[0].startswith("error: redis://:***@127.0.0.1:")
        assert "hunter2" not in screen.text


@pytest.mark.parametrize("busy", [False, True])
def test_sigterm_leaves_a_terminal_that_can_be_used(busy, program, server):
    gate = Gate()
    server.reply(hang(gate, "half"))
    command = ["/bin/bash", "-c", '"$@"; echo code=$?; stty -a', "bash", *program.command, "-s", "s"]
    with terminal(command, env=program.env, cwd=program.folder) as screen:
        screen.wait_for(at_prompt)
        if busy:
            screen.send("hello" + ENTER)
            screen.wait_for("assistant ❯ half")
            screen.send("and then?" + ENTER + "a draft")
            screen.wait_for("1 queued · ❯ a draft")
        os.kill(child_of(screen.process.pid), signal.SIGTERM)
        assert screen.wait_for_end() == 0
        assert "code=143" in screen.lines
        modes = screen.text.replace(";", " ").split()
        assert {"echo", "icanon", "isig", "icrnl"} <= set(modes)
        assert ("not sent: 2 messages: Up brings them back in the next chat" in screen.words) == busy
    if busy:
        assert program.messages("s") == ["hello", "half"]


def child_of(pid: int) -> int:
    with open(f"/proc/{pid}/task/{pid}/children") as children:
        return int(children.read().split()[0])


def test_a_signal_at_the_prompt_is_the_key(program):
    with program.chat("-s", "s") as screen:
        screen.wait_for(at_prompt)
        os.kill(screen.process.pid, signal.SIGINT)
        screen.wait_for("Ctrl-C again within 2 s or Ctrl-D leaves")
        screen.wait_for(at_prompt)
        say(screen, "hello", "assistant ❯ Hello")


def test_a_terminal_that_can_do_nothing(program, server):
    gate = Gate()
    server.reply(hang(gate, "half"))
    with program.chat("-s", "s", env={"TERM": "dumb", "NO_COLOR": "1"}) as screen:
        screen.wait_for("you ❯")
        screen.send("hello" + ENTER)
        screen.wait_for("assistant ❯ half")
        screen.send(CTRL_C)
        screen.wait_for("stopped; the partial answer is kept you ❯")
        screen.send(CTRL_C)
        screen.wait_for("Ctrl-C again within 2 s or Ctrl-D leaves; the session stays you ❯")
        screen.send(CTRL_D)
        screen.wait_for("resume with: swarmchat --client ann")
        assert screen.wait_for_end() == 0


def test_no_colour_where_none_is_wanted(program):
    with program.chat("-s", "s", env={"NO_COLOR": "1"}) as screen:
        say(screen, "hello", "assistant ❯ Hello")
        assert b"\x1b[1m" not in screen.raw
        assert b"\x1b[2m" not in screen.raw
        assert b"\x1b[31m" not in screen.raw


def test_an_ascii_terminal_gets_an_ascii_prompt(program):
    environment = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    with program.chat("-s", "s", env=environment) as screen:
        screen.wait_for("you >")
        say(screen, "hello", "assistant > Hello")


def test_a_paste_of_a_megabyte(program):
    with program.chat("-s", "s") as screen:
        screen.wait_for(at_prompt)
        screen.paste("lorem ipsum\n" * 90_000)
        screen.send(ENTER)
        screen.wait_for("error: the last message and what belongs to it take")
        say(screen, "hello", "assistant ❯ Hello")
