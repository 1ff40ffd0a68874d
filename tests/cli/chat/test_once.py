"""One question in a pipe: the answer on stdout, all else on stderr, and an exit code that tells what happened."""

import re
import resource
import shlex
import signal
import subprocess
from pathlib import Path

import pexpect
import pytest
import warm
from model_server import Cut, Gate, failure, hang, text, too_long

KEY = "sk-test-1234567890abcdef"


def test_the_answer_is_on_stdout_and_nothing_else_anywhere(program, server):
    server.reply(text("Forty", "-two", ".\n"))
    asked = program.run("what", "is it?", piped="six times seven\n")
    assert (asked.out, asked.err, asked.code) == ("Forty-two.\n", "", 0)
    assert server.chats[0]["messages"][-1]["content"] == "what is it?\n\nsix times seven"


def test_a_piped_question_needs_no_words(program, server):
    assert program.invoke(piped="  hello\n").out == "You said: hello\n"


def test_words_in_another_encoding_are_read_or_refused(program, server):
    """Python holds the bytes of an argument that the locale cannot decode as surrogates."""
    assert program.invoke("a caf\udcc3\udca9?").out == "You said: a café?\n"
    refused = program.invoke("run", "a caf\udce9?")
    assert (refused.code, server.chats[1:]) == (2, [])
    assert "the question, line 1: byte 0xe9 is not UTF-8 text" in refused.err


def test_a_hostile_answer_is_made_safe(program, server):
    server.reply(text("\x1b]0;owned\x07\x1b[2J", "\x9b31mred\r\n", "end\x1b"))
    assert program.invoke("hi!").out == "␛]0;owned␇␛[2J\ufffd31mred\nend␛\n"


def test_a_session_continues_and_the_last_one_is_found(program, server):
    program.invoke("-s", "one", "first")
    program.invoke("-s", "two", "second")
    program.invoke("-s", "one", "third")
    program.invoke("-c", "fourth")
    messages = [message["content"] for message in server.chats[-1]["messages"][1:]]
    assert messages == ["first", "You said: first", "third", "You said: third", "fourth"]


def test_continuing_without_a_session_says_so_and_begins_one(program):
    asked = program.invoke("-c", "hello", "--client", "ann")
    assert asked.out.startswith("Hello!")
    assert asked.err == "  ann has no session on disk; a new one starts\n"


@pytest.mark.parametrize("name", ["two  words", "a/../b", "🦦", "a\nb", "\x1b[31mred", "x" * 4096, "-x", "it's"])
def test_any_name_of_a_session_will_do(name, program):
    assert program.invoke("-s", name, "hello").code == 0
    assert program.messages(name)[0] == "hello"


@pytest.mark.parametrize(
    ("replies", "code", "complaint"),
    [
        ([failure(401, f"Incorrect API key provided: {KEY}.")], 77, "check the API key"),
        ([failure(404, "The model `test-model` does not exist", code="model_not_found")], 66, "Check the model's name"),
        ([failure(429, "slow down", {"Retry-After": "3600"})], 75, "asks to wait 3600 s"),
        ([failure(429, "You exceeded your current quota", code="insufficient_quota")], 75, "quota is used up"),
        ([failure(400, "no such parameter")], 1, "The same request would be refused again"),
        ([too_long(4096), too_long(4096)], 5, "the context is too long"),
        ([failure(500, "oops", {"retry-after-ms": "1"})] * 5, 69, "server error 500; attempt 5 in 0.0 s"),
        ([text("some", Cut())], 69, "was cut off before its end"),
    ],
)
def test_what_the_server_refuses(replies, code, complaint, program, server):
    program.env["OPENAI_API_KEY"] = KEY
    server.reply(*replies)
    asked = program.invoke("-s", "s", "hello there")
    assert asked.code == code
    assert complaint in asked.err
    assert asked.err.splitlines()[-1].startswith("error: ")
    assert KEY not in asked.err
    assert "Traceback" not in asked.err
    assert program.messages("s")[0] == "hello there"


def test_an_unreachable_server_is_retried_and_reported(program):
    asked = program.invoke("-m", "m", "--base-url", "http://127.0.0.1:1/v1", "hi", env={"SWARMCHAT_RETRIES": "1"})
    lines = asked.err.splitlines()
    assert re.fullmatch(r"  no connection; attempt 2 in \d(\.\d)? s", lines[0])
    assert len(lines) == 2
    assert lines[-1].startswith("error: cannot connect to http://127.0.0.1:1/v1")
    assert (asked.out, asked.code) == ("", 69)


def test_a_server_that_hangs_is_given_up_on(program, server):
    gate = Gate()
    server.reply(hang(gate, "so far"))
    asked = program.invoke("-s", "s", "hi", env={"SWARMCHAT_TIMEOUT": "0.3"})
    gate.release()
    assert asked.out == "so far\n"
    assert "sent nothing for 0.3 s" in asked.err
    assert asked.code == 69


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        ([], 2, "nothing to ask: give a PROMPT, or pipe one in"),
        (["-s", " ", "hi"], 2, "-s needs the name of a session"),
        (["-m", "demo", "-s"], 2, "-s needs the name of a session"),
        (["-s", "x", "-c", "hi"], 2, "use only one of them"),
        (["-m", "demo", "/undo 2"], 2, "/undo is a command of the chat"),
        (["-b", "disc", "hi"], 78, "did you mean disk:"),
        (["-m", "m", "--base-url", "ftp://x", "hi"], 78, "--base-url: base_url is 'ftp://x': expected an address"),
        (["-m", "m", "hi"], 77, "set OPENAI_API_KEY"),
        (["--max-context", "10", "hi"], 5, "set a larger --max-context"),
        (["-b", "redis", "--redis-url", "redis://me:hunter2@127.0.0.1:1/0", "hi"], 69, "redis://me:***@127.0.0.1:1/0"),
        (["-b", "redis", "--redis-url", "redis://me:hunter2@127.0.0.1:x/0", "hi"], 78, "HOST:PORT"),
    ],
)
def test_what_cannot_be_done_is_one_line(arguments, code, complaint, program):
    asked = program.invoke(*arguments)
    assert (asked.out, asked.code) == ("", code)
    assert complaint in asked.err
    assert asked.err.startswith("error: ")
    assert asked.err.count("\n") == 1
    assert "hunter2" not in asked.err


@pytest.mark.parametrize(
    ("content", "complaint"),
    [("bakend = 'disk'", "did you mean 'backend'?"), ("not toml", "is not valid TOML"), ("model = 5", "expected text")],
)
def test_a_bad_settings_file_exits_78(content, complaint, program):
    (program.folder / "swarmchat.toml").write_text(content)
    asked = program.invoke("hi!")
    assert (asked.out, asked.code) == ("", 78)
    assert complaint in asked.err
    assert asked.err.startswith(f"error: {program.folder}/swarmchat.toml")


def test_a_folder_does_not_get_the_users_key(program, server):
    program.env = {name: value for name, value in program.env.items() if not name.startswith("SWARMCHAT_")}
    (program.folder / "swarmchat.toml").write_text(f'model = "m"\nbase_url = "{server.base_url}"')
    program.invoke("trust", "--yes")
    asked = program.invoke("hi!", env={"OPENAI_API_KEY": KEY})
    assert asked.code == 78
    assert "a folder must not choose who gets your key" in asked.err
    assert not server.requests


def test_a_session_that_is_open_elsewhere_exits_75(program, server):
    gate = Gate()
    server.reply(hang(gate, "wait"))
    first = program.start("-s", "s", "hello")
    assert gate.reached.wait(20)
    second = program.invoke("-s", "s", "me too")
    gate.release()
    assert second.code == 75
    assert f"session 's' is open in process {first.pid}" in second.err
    assert first.communicate(timeout=20) == ("wait\n", "")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_it_and_the_partial_answer_is_stored(number, code, program, server):
    gate = Gate()
    server.reply(hang(gate, "half an ", "answer"))
    asked = program.start("-s", "s", "hello")
    assert gate.reached.wait(20)
    assert asked.stdout
    assert asked.stdout.read(14) == "half an answer"
    asked.send_signal(number)
    out, err = asked.communicate(timeout=20)
    assert (out, err, asked.returncode) == ("\n", "", code)
    server.wait_for(lambda server: server.disconnects == 1)
    assert program.messages("s") == ["hello", "half an answer"]


def test_a_reader_that_leaves_is_no_error_and_the_answer_is_stored(program, server):
    gate = Gate()
    server.reply(text("first line\n", "x", gate, "rest"))
    asked = program.start("-s", "s", "hello")
    assert asked.stdout
    assert asked.stdout.read(4) == "firs"
    asked.stdout.close()
    gate.release()
    assert asked.stderr
    assert asked.stderr.read() == ""
    assert asked.wait(20) == 0
    asked.stderr.close()
    assert program.messages("s") == ["hello", "first line\nxrest"]


def test_an_answer_that_nothing_takes_is_an_error_and_is_stored(program):
    with open("/dev/full", "w") as full:
        asked = program.start("-s", "s", "hello", stdout=full)
    assert asked.communicate(timeout=20)[1] == "error: standard output cannot be written: No space left on device\n"
    assert asked.returncode == 1
    assert program.messages("s")[1].startswith("Hello!")


CLOSED = "error: standard output cannot be written: Bad file descriptor\n"


@pytest.mark.parametrize(
    ("closed", "outcome"), [("<&-", (0, "")), (">&-", (1, CLOSED)), ("2>&-", (0, "")), ("<&- >&- 2>&-", (1, ""))]
)
def test_streams_that_are_closed(closed, outcome, program):
    command = [
        "sh",
        "-c",
        f'"$@" {closed}',
        "sh",
        *warm.line(*program.command[1:], "-s", "s", "hello", env=program.env),
    ]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", env=program.env, timeout=60)
    assert (done.returncode, done.stderr) == outcome
    assert done.stdout == "" if ">&-" in closed.split() else done.stdout.startswith("Hello!")
    assert program.messages("s")[1].startswith("Hello!")


def test_a_full_disk_is_reported_and_what_was_stored_stays(program):
    assert program.run("-s", "s", "hello").code == 0

    def no_room() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

    asked = program.run("-s", "s", "are you there?", preexec_fn=no_room)
    assert (asked.out, asked.code) == ("", 69)
    assert re.fullmatch(r"error: disk:\S+ .*make room.*\n", asked.err)
    assert program.messages("s")[0] == "hello"


def test_a_home_that_is_a_file_is_reported(program, tmp_path):
    file = tmp_path / "file"
    file.touch()
    asked = program.run("hi!", env={"HOME": str(file)})
    assert (asked.out, asked.code) == ("", 69)
    assert "check its permissions, or name another folder" in asked.err


def test_text_that_the_locale_cannot_show_is_replaced(program, server):
    server.reply(text("naïve 漢"))
    environment = {"PYTHONIOENCODING": "ascii"}
    assert program.run("hi!", env=environment).out == "na?ve ?\n"


def test_files_are_the_users_alone(program):
    program.run("-s", "s", "hello")
    paths = [path for path in Path(program.home).rglob("*") if "sessions" in str(path)]
    assert paths
    assert all(path.stat().st_mode & 0o077 == 0 for path in paths)


@pytest.mark.parametrize("goes", ["| cat", "| true", ">&-"])
def test_a_question_typed_at_a_terminal_whose_answer_goes_elsewhere(goes, program):
    words = shlex.join(warm.line(*program.command[1:], "-m", "demo", "-s", "s", env=program.env))
    child = pexpect.spawn("/bin/sh", ["-c", f"{words} {goes}"], env=program.env, cwd=program.folder, timeout=20)
    child.expect("type a question, and Ctrl-D")
    child.send("hello\n\x04")
    child.expect(pexpect.EOF)
    child.close()
    assert (b"demo model" in child.before) == (goes == "| cat")
    assert child.exitstatus == (1 if goes == ">&-" else 0)
    question, answer = program.messages("s")
    assert (question, "demo model" in answer) == ("hello", True)
