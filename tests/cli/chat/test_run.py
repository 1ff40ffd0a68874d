"""Runs: one message or a script of them, what is printed, and the exit code that tells what happened."""

import json
import signal
import subprocess

import pytest
from model_server import Gate, failure, hang, text
from swarmchat.cli.chat.script import Step, read_script
from swarmchat.cli.errors import UsageError
from swarmchat.swarm import Agent, State, Swarm
from terminal import at_prompt

OFFICE = '''\
from swarmchat.swarm import Agent, Context, DemoRule, State, Swarm, tool


@tool
async def note(ctx: Context, what: str) -> str:
    """Note something."""
    return ", ".join(await ctx.state("notes").update(lambda notes: [*notes, what]))


swarm = Swarm(
    "office",
    [Agent("clerk", "You are a clerk.", tools=[note], handoffs=["boss"]), Agent("boss", "You are the boss.")],
    states=[State("notes", default=list)],
    demo=[
        DemoRule(r"^note (?P<what>.+)", "note", {"what": "{what}"}, reply="Noted: {result}"),
        DemoRule(r"^boss", "transfer_to_boss", reply="Here is the boss."),
    ],
)
'''
SWARM = Swarm("office", [Agent("clerk"), Agent("boss")], states=[State("notes", default=list)])


@pytest.fixture
def office(program):
    """The program in a folder with a swarm, and a way to run a script."""
    (program.folder / "office.py").write_text(OFFICE)
    return program


def script(program, content, *arguments, **more):
    (program.folder / "script").write_text(content, "utf-8", newline="")
    return program.invoke("run", "--script", "script", *arguments, **more)


# Reading scripts.


def test_a_script_is_read_line_by_line():
    lines = [
        "# a comment",
        "",
        "  hello  \r",
        "/agent boss",
        "//etc/hosts is a file",
        "\\# a heading",
        "\\/not a command",
        '"""',
        "def f():",
        "    # not skipped",
        "",
        '    return "x"',
        '"""',
        '"""in one line"""',
        '"""first',
        'last"""',
        "\\\\ and \\alpha",
        "\\alpha",
        '\\"""',
    ]
    assert read_script("\n".join(lines), "s").steps == [
        Step("hello", 3),
        Step("/agent boss", 4, command=True),
        Step("/etc/hosts is a file", 5),
        Step("# a heading", 6),
        Step("/not a command", 7),
        Step('def f():\n    # not skipped\n\n    return "x"', 8),
        Step("in one line", 14),
        Step("first\nlast", 15),
        Step("\\ and \\alpha", 17),
        Step("\\alpha", 18),
        Step('"""', 19),
    ]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("# nothing\n\n", "s: it contains no message and no command"),
        ('hello\n"""\nno end', 's, line 2: the message that begins here has no """ at its end'),
        ('"""\n\n"""', "s, line 1: the message is empty"),
        ("hello\n/hlep", r"s, line 2: unknown command /hlep; did you mean /help\?"),
        ("/re", "s, line 1: /re is ambiguous: /redo, /rename, /reset, /resume, /retry"),
        ("/edit", "s, line 1: /edit needs a prompt"),
        ("/undo two", "s, line 1: 'two' is not a number of turns"),
        ("/redo 0", "s, line 1: '0' is not a number of turns"),
        ("/agent bos", "s, line 1: swarm 'office' has no agent 'bos'; did you mean 'boss'"),
        ("/state note", "s, line 1: swarm 'office' has no state 'note'; did you mean 'notes'"),
        ("/export it.doc", "s, line 1: 'it.doc' has no known format"),
    ],
)
def test_a_script_is_checked_in_full(content, problem):
    with pytest.raises(UsageError, match=problem):
        read_script(content, "s").check(SWARM)


def test_nothing_is_sent_if_a_line_is_wrong(office):
    done = script(office, "hello\n\n/udno\n", "-S", "office.py", "-s", "s")
    assert (done.out, done.code) == ("", 2)
    assert done.err.startswith("error: script, line 3: unknown command /udno; did you mean /undo?")
    assert office.messages("s") == []


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "nothing to send: give a PROMPT"),
        (["hello", "--script", "x"], "one of them"),
        (["--script", "nowhere"], "nowhere cannot be read: No such file"),
        (["-"], "nothing to send: the message is empty"),
        (["hello", "--output", "xml"], "--output is 'xml', expected one of text, json, jsonl"),
        (["hello", "-s", "a", "-c"], "use only one of them"),
    ],
)
def test_invalid_arguments_are_reported(arguments, problem, program):
    done = program.invoke("run", *arguments)
    assert (done.out, done.code) == ("", 2)
    assert problem in done.err


def test_a_script_must_be_text(program):
    (program.folder / "bad").write_bytes(b"hello\n\xff\n")
    done = program.invoke("run", "--script", "bad")
    assert (done.code, done.err) == (
        2,
        "error: bad, line 2: byte 0xff is not UTF-8 text: convert it to UTF-8, or leave it out\n",
    )


@pytest.mark.parametrize(
    "words", [["run", "-"], ["run", "--script", "-"], ["chat", "--model", "demo", "what is this?"]]
)
def test_what_is_piped_in_must_be_text(words, program):
    done = program.invoke(*words, piped=b"\x89PNK\r\n\x1a\n\0\0")
    assert (done.code, done.out) == (2, "")
    assert "standard input, line 1: byte 0x89 is not UTF-8 text: convert it" in done.err


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("words", [["run", "-"], ["run", "--script", "-"], ["chat"]])
def test_a_byte_order_mark_is_not_sent(words, encoding, program):
    done = program.invoke(*words, "-s", "tea", piped="grüße".encode(encoding))
    assert (done.code, program.messages("tea")[0]) == (0, "grüße")


# Text.


def test_a_prompt_and_one_that_is_piped_in(program, server):
    assert program.invoke("run", "what", "is it?", piped="ignored").out == "You said: what is it?\n"
    asked = program.invoke("run", "-", piped="  two\nlines\n")
    assert (asked.out, asked.err, asked.code) == ("You said: two\nlines\n", "", 0)


def test_answers_can_be_told_apart(program, server):
    server.reply(text("one\n\n\fnot an end\n"), text(""), text("three"))
    done = script(program, "a\nb\nc\n", "-s", "s", env={"SWARMCHAT_RESCUE": "none"})
    assert done.out == "one\n\n␌not an end\n\f\n\f\nthree\n"
    assert done.err == "  the model answered with nothing: ask again, or ask differently\n"
    assert done.code == 0


def test_commands_in_a_script(office):
    content = (
        "note tea\nnote cake\n/undo\n/state notes\nboss\n/stack\n/undo\n/redo\n/retry\n/fork other\n/context\nbye\n"
    )
    done = script(office, content, "-S", "office.py", "-s", "s")
    assert done.code == 0
    answers = done.out.split("\f\n")
    assert [answer.strip().splitlines()[-1] for answer in answers[:2]] == ["Noted: tea", "Noted: tea, cake"]
    assert len(answers) == 5
    remarks = done.err.splitlines()
    for line in (
        "  turn 2 is undone; now 1 turn; active agent: clerk; memory, storages and bans stay as they are",
        'notes: ["tea"]',
        "boss ‹ clerk",
        "  turn 3 is undone; now 1 turn; active agent: clerk; memory, storages and bans stay as they are",
        "  turn 3 is back; now 2 turns; active agent: boss",
        "  turn 3 is undone; memory, storages and bans stay as they are",
        "  this is now session 'other'; 's' is unchanged; /resume s goes back",
    ):
        assert line in remarks
    assert "note cake" not in done.err.split("tokens  message")[1]
    assert office.messages("s") == office.messages("other")[: len(office.messages("s"))]
    assert office.messages("other")[-2] == "bye"


def test_exports_of_all_kinds_and_none_is_overwritten(office):
    existing = office.folder / "kept.md"
    existing.write_text("mine")
    content = "note tea\nnote cake\n/undo\n/export a.jsonl\n/export a.json\n/export b.html\n/export\n/export kept.md\n"
    done = script(office, content, "-S", "office.py", "-s", "my box")
    assert done.code == 2
    assert "error: line 8: kept.md already exists: /export ! kept.md overwrites it" in done.err
    assert existing.read_text() == "mine"
    messages = json.loads((office.folder / "a.json").read_text())["messages"]
    assert [message["content"] for message in messages if message["role"] == "user"] == ["note tea"]
    for name in ("b.html", "my-box.md"):
        page = (office.folder / name).read_text("utf-8")
        assert "note tea" in page
        assert "note cake" not in page
    lines = (office.folder / "a.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["type"] == "undo"
    assert f"  wrote a.jsonl: jsonl, {(office.folder / 'a.jsonl').stat().st_size:,} bytes" in done.err
    again = script(office, "/export ! kept.md", "-S", "office.py", "-s", "my box")
    assert again.code == 0
    assert "note tea" in existing.read_text("utf-8")


# JSON.


def test_one_document_has_everything(office):
    done = script(office, "# first\nnote tea\nboss\n/undo\n", "-S", "office.py", "-s", "s", "--output", "json")
    document = json.loads(done.out)
    assert (done.code, document["error"]) == (0, None)
    assert document["session"]["name"] == document["session"]["id"] == "s"
    first, second = document["turns"]
    assert (first["turn"], first["line"], first["question"], first["agent"]) == (1, 2, "note tea", "clerk")
    assert (first["answer"], first["finish"], first["error"], first["undone"]) == ("Noted: tea", "stop", None, False)
    [tool] = first["tools"]
    about = {"agent": "clerk", "name": "note", "arguments": '{"what": "tea"}', "status": "ok", "result": "tea"}
    assert {**tool, "seconds": 0} == {**about, "seconds": 0}
    assert second["handoffs"] == [{"from": "clerk", "to": "boss"}]
    assert (second["agent"], second["undone"]) == ("boss", True)
    assert second["tokens"] > 0


def test_an_error_is_in_the_document_too(program, server):
    server.reply(text("fine"), failure(401, "Incorrect API key"))
    done = script(program, "a\nb\nc\n", "-s", "s", "--output", "json")
    document = json.loads(done.out)
    assert done.code == 77
    assert [turn["question"] for turn in document["turns"]] == ["a", "b"]
    assert document["turns"][1]["error"] == document["error"]
    assert (document["error"]["kind"], document["error"]["exit_code"]) == ("ModelAuthError", 77)
    assert document["turns"][0]["usage"]["prompt_tokens"] == 12


def test_a_chat_with_a_prompt_prints_the_same(program, server):
    [turn] = json.loads(program.invoke("--output", "json", "hello").out)["turns"]
    assert (turn["question"], turn["answer"], turn["line"]) == ("hello", "You said: hello", None)


def test_a_chat_at_a_terminal_has_no_output(program):
    with program.chat("--output", "json") as screen:
        assert screen.wait_for_end() == 2
        assert "--output needs a PROMPT" in screen.words
        assert not at_prompt(screen)


# The log.


def test_the_log_as_it_grows_can_be_imported(office):
    content = "note tea\nnote cake\n/undo\nboss\n"
    done = script(office, content, "-S", "office.py", "-s", "s", "--output", "jsonl")
    assert done.code == 0
    stored = office.invoke("sessions", "export", "s").out
    assert done.out == stored
    (office.folder / "t.jsonl").write_text(done.out, "utf-8")
    assert office.invoke("sessions", "import", "t.jsonl", "--as", "again").code == 0
    more = script(office, "/state notes\n", "-S", "office.py", "-s", "again", "--output", "jsonl")
    assert "boss" in json.loads(more.out.splitlines()[-1])["agent"]
    assert 'notes: ["tea"]' in more.err
    # What was there before is part of the transcript; a fork is one of its own.
    forked = script(office, "/fork third\nhello\n", "-S", "office.py", "-s", "again", "--output", "jsonl").out
    begun = [json.loads(line) for line in forked.splitlines() if '"type":"session"' in line]
    assert [record["id"] for record in begun] == ["s", "third"]


def test_the_log_comes_while_the_model_still_thinks(program, server):
    gate = Gate()
    server.reply(text("one"), hang(gate, "partly"))
    (program.folder / "script").write_text("first\nsecond\n")
    running = program.start("run", "--script", "script", "-s", "s", "--output", "jsonl")
    seen = [json.loads(running.stdout.readline()) for _ in range(6)]
    assert [record["type"] for record in seen] == ["session", "user", "request", "assistant", "user", "request"]
    assert gate.reached.wait(20)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=30)
    assert (running.returncode, err) == (130, "")
    gate.release()
    assert [json.loads(line)["type"] for line in out.splitlines()][:1] in ([], ["assistant"])
    assert program.messages("s")[:3] == ["first", "one", "second"]


# Errors.


def test_the_first_error_ends_it_unless_told_otherwise(program, server):
    server.reply(text("fine"), failure(429, "slow down", {"Retry-After": "3600"}), failure(401, "no"))
    done = script(program, "a\n\nb\nc\nd\n", "-s", "s", "--keep-going")
    assert done.code == 75
    assert [line[:15] for line in done.err.splitlines() if "error" in line] == ["error: line 3: ", "error: line 4: "]
    assert done.out == "fine\n\f\n\f\n\f\nYou said: b\n\nc\n\nd\n"
    server.reply(failure(429, "slow down", {"Retry-After": "3600"}))
    done = script(program, "a\nb\n", "-s", "t")
    assert (done.code, done.out) == (75, "")


def test_a_command_that_fails_ends_it_too(office):
    done = script(office, "hello\n/back\nbye\n", "-S", "office.py", "-s", "s")
    assert done.code == 2
    assert "error: line 2: no previous agent" in done.err
    assert "bye" not in office.messages("s")
    assert script(office, "/exit\nhello\n", "-S", "office.py", "-s", "s").code == 0
    assert office.messages("s")[0] == "hello"
    assert len(office.messages("s")) == 2


def test_without_an_answer_strict_is_an_error(program, server):
    env = {"SWARMCHAT_RESCUE": "placeholder", "SWARMCHAT_PLACEHOLDER": "Sorry."}
    server.reply(text(""), text(""))
    done = program.invoke("run", "hello", "--strict", "--output", "json", "-s", "s", env=env)
    assert done.code == 4
    [turn] = json.loads(done.out)["turns"]
    assert (turn["recovered"], turn["answer"], turn["error"]["kind"]) == (False, "Sorry.", "RescueExhausted")
    assert program.invoke("run", "hello", "-s", "s", env=env).code == 0


def test_a_call_that_the_user_sees_is_an_error_of_strict(office, server):
    env = {"SWARMCHAT_RESCUE": "none"}
    server.reply(*[text('Sure! note(text="milk")')] * 2)
    flags = ("-S", "office.py", "-s", "s")
    done = office.invoke("run", "remember milk", "--strict", *flags, env=env)
    assert (done.code, "note(text=" in done.out) == (4, True)
    assert "shows a tool call as text" in done.err
    assert office.invoke("run", "How do I call note in Python?", "--strict", *flags, env=env).code == 0


def test_ctrl_c_keeps_the_partial_answer_and_says_so(program, server):
    gate = Gate()
    server.reply(text("one"), hang(gate, "partly"))
    (program.folder / "script").write_text("first\nsecond\nthird\n")
    running = program.start("run", "--script", "script", "-s", "s", "--output", "json")
    assert gate.reached.wait(20)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=30)
    gate.release()
    assert (running.returncode, err) == (130, "")
    document = json.loads(out)
    assert [turn["question"] for turn in document["turns"]] == ["first", "second"]
    assert document["error"]["kind"] == document["turns"][1]["error"]["kind"] == "Interrupted"
    assert program.messages("s")[:3] == ["first", "one", "second"]


@pytest.mark.parametrize("form", ["text", "json", "jsonl"])
def test_a_full_disk_is_reported(form, program, server):
    with open("/dev/full", "w") as full:
        running = program.start("run", "hello", "-s", "s", "--output", form, stdout=full)
        assert running.communicate(timeout=30)[1].startswith("error: ")
    assert running.returncode == 1
    assert program.messages("s") == ["hello", "You said: hello"]


def test_a_reader_that_leaves_ends_it_after_the_turn(program, server):
    (program.folder / "script").write_text("first\nsecond\n")
    running = program.start("run", "--script", "script", "-s", "s", "--output", "jsonl", stdout=subprocess.PIPE)
    running.stdout.close()
    assert running.wait(30) == 0
    assert program.messages("s") == ["first", "You said: first"]
    assert running.stderr.read() == ""
    running.stderr.close()


@pytest.mark.parametrize(
    "arguments", [("run", "-"), ("run", "--script", "-"), ("run", "--script", "long"), ("ask", "me")]
)
def test_more_than_max_input_is_refused_before_anything_else(program, server, arguments):
    (program.folder / "long").write_text("hello\n" * 400, "utf-8")
    done = program.invoke(*arguments, piped="hello\n" * 400, env={"SWARMCHAT_MAX_INPUT": "2kB"})
    source = "long" if "long" in arguments else "standard input"
    assert (done.out, done.code) == ("", 2)
    assert done.err == f"error: {source} has more than the 2,000 bytes that max_input allows: " + (
        "send less, or raise max_input\n"
    )
    assert not server.chats


def test_a_run_waits_for_its_tasks_in_the_background_and_prints_their_results(office):
    steps = "hello\n/task --wake boss note tea\n/tasks\n"
    done = script(office, steps, "-S", "office.py", "-m", "demo", "-b", "memory")
    assert done.code == 0, done.err
    assert "task b1 has started" in done.err
    assert "message from boss, task b1 ❯ Done: note tea" in done.err
    assert "b1 · boss · " in done.out + done.err
    # The clerk has reacted to the message.
    assert "news for you: Done: note tea" in done.out
