"""MCP servers as their user has them: added, listed, tested, called in a chat, and replayed without them."""

import json
import shlex
from pathlib import Path

import pytest
import warm
from terminal import CTRL_C, ENTER, TAB, at_prompt, say

HELPER = str(Path(__file__).parents[2] / "helpers" / "mcp_server.py")
SWARM = """\
[agents.clerk]
tools = ["t/*", "gone/*"]

[mcp.t]
command = "python"

[[demo]]
pattern = "add (?P<a>\\\\d+)"
call = "t/add"
arguments = { a = "{a}" }
reply = "Sum: {result}"

[[demo]]
pattern = "note (?P<text>.+)"
call = "t/note"
arguments = { text = "{text}" }
reply = "It says: {result}"

[[demo]]
pattern = "book"
call = "t/book"
reply = "Booked: {result}"

[[demo]]
pattern = "wait"
call = "t/wait"
reply = "Waited: {result}"

[[demo]]
pattern = "grow"
call = "t/grow"
reply = "Grown: {result}"
"""


@pytest.fixture
def server(program):
    """A swarm that wants an MCP server, which the user's settings define."""
    notes = f"NOTES={program.folder / 'notes'}"
    program.invoke("mcp", "add", "t", "--approve", "read-only", "--env", notes, "--", *warm.line(HELPER))
    (program.folder / "clerk.toml").write_text(SWARM, "utf-8")


def test_servers_are_added_listed_tested_and_removed(program):
    assert program.invoke("mcp", "list").err == "  no MCP servers: add one with swarmchat mcp add NAME -- COMMAND\n"
    assert program.invoke("mcp", "test").code == 2
    added = program.invoke("mcp", "add", "t", "--env", "KEY=${HOME}", "--", *warm.line(HELPER))
    assert added.out.endswith("[mcp.t] is set; try it with swarmchat mcp test t\n")
    program.invoke("mcp", "add", "hub", "--url", "https://me:pw@hub/mcp?token=x", "--header", "Authorization=Bearer s")
    shown = program.invoke("mcp", "list").out + program.invoke("config", "show").out
    assert f"t    {shlex.join(warm.line(HELPER))}  (approve: ask)" in shown
    assert "https://***@hub/mcp?token=***" in shown
    assert "pw" not in shown
    assert "Bearer" not in shown
    tested = program.run("mcp", "test", "t")
    assert tested.code == 0
    assert tested.out.startswith("t: 12 tools, 3 resources, 2 prompts\n  t/add · ask · read-only · Add two numbers.\n")
    assert json.loads(program.run("mcp", "test", "t", "--json").out)[0]["tools"][0]["name"] == "t/add"
    assert program.invoke("mcp", "remove", "t").code == 0
    assert program.invoke("mcp", "remove", "t").code == 2
    assert program.invoke("mcp", "list").out.startswith("hub")


@pytest.mark.parametrize(
    ("arguments", "code", "problem"),
    [
        (["add", "a b", "--", "x"], 2, "MCP server 'a b': expected a name of 1 to 40 letters"),
        (["add", "a"], 2, "MCP server 'a' has neither command nor url"),
        (["add", "a", "--env", "B", "--", "x"], 2, "--env is 'B', expected NAME=VALUE"),
        (["add", "a", "--approve", "maybe", "--", "x"], 2, "approve is 'maybe', expected ask, auto, deny, read-only"),
        (["test", "nope"], 2, "no MCP server 'nope'; did you mean 'none'?"),
        (["test", "none"], 69, "cannot be reached: none"),
    ],
)
def test_what_cannot_be_done(arguments, code, problem, program):
    program.invoke("mcp", "add", "none", "--", "no-such-program")
    done = program.invoke("mcp", *arguments)
    assert (done.code, problem in done.err) == (code, True), done.err


def test_a_folder_cannot_start_one(program):
    path = program.folder / "swarmchat.toml"
    for line in ('[mcp.t]\ncommand = "touch"\nargs = ["here"]', 'mcp_file = "mcp.json"'):
        path.write_text(line, "utf-8")
        done = program.invoke("hello!")
        assert (done.code, "which starts programs: the settings of a folder must not do that" in done.err) == (78, True)
    assert not (program.folder / "here").exists()


def test_a_file_of_another_program(program):
    path = program.folder / "mcp.json"
    path.write_text(json.dumps({"mcpServers": {"files": {"command": "no-such-program", "type": "stdio"}}}), "utf-8")
    env = {"SWARMCHAT_MCP_FILE": str(path)}
    assert program.invoke("mcp", "list", env=env).out == "files  no-such-program  (approve: ask)\n"
    done = program.run("hello!", env=env)
    assert (done.code, "MCP server files is not available: there is no program 'no-such-program'" in done.err) == (
        0,
        True,
    )
    path.write_text("{}", "utf-8")
    assert program.invoke("mcp", "list", env=env).code == 78


def test_tools_in_a_chat(program, server):
    with program.chat("-S", "clerk.toml", "-s", "s") as screen:
        screen.wait_for(at_prompt)
        screen.send("add 4" + ENTER)
        screen.wait_for("Sum: 5")
        screen.wait_for(at_prompt)
        assert "agent tools 'gone/*': no MCP server 'gone'" in screen.words
        screen.send("note tea" + ENTER)
        screen.wait_for('clerk wants to call t/note({"text": "tea"})')
        screen.send("a" + ENTER)
        screen.wait_for("It says: noted")
        say(screen, "note cake", "It says: noted")
        say(screen, "/mcp", "t: 12 tools")
        screen.send("grow" + ENTER)
        screen.wait_for("wants to call t/grow")
        screen.send("y" + ENTER)
        screen.wait_for("Grown: done")
        screen.wait_for(at_prompt)
        screen.send("note milk" + ENTER)
        screen.wait_for("the description of t/note has changed since you allowed it; ? shows it")
        screen.send("y" + ENTER)
        screen.wait_for("It says: noted")
        say(screen, "/mcp restart t", "t: 12 tools")
        screen.send(CTRL_C)
    assert (program.folder / "notes").read_text("utf-8") == "tea (good)\ncake (good)\nmilk (good)\n"


def test_resources_prompts_and_questions_in_a_chat(program, server):
    with program.chat("-S", "clerk.toml", "-s", "s", "--approve", "auto") as screen:
        screen.wait_for(at_prompt)
        say(screen, "what says @t:notes://today?", "attached: Resource t:notes://today (1 line)")
        say(screen, "/mcp", "@t:notes://today")
        say(screen, "and @t:notes://{year}/{day}", "fill in {year}, as Tab does")
        screen.send("\x15")
        say(screen, "/t:greet name=Ann mood='very sad'", "sends: Greet Ann, who is very sad.")
        say(screen, "/t:greet Ann", "'Ann' is not an argument; expected /t:greet name=… [mood=…]")
        say(screen, "/t:about old maps", "sends: Say something about old maps.")
        screen.send("book" + ENTER)
        screen.wait_for("t/book asks: Which seat?")
        screen.send("y" + ENTER)
        screen.wait_for("seat (Seat; Where to sit., window | aisle):")
        screen.send("aisle" + ENTER)
        screen.wait_for("meals")
        screen.send(ENTER)
        screen.wait_for("Booked: accept aisle 1")
        screen.wait_for(at_prompt)
        screen.send("wait" + ENTER)
        screen.wait_for("t/wait: 1 of 3: digging")
        screen.send(CTRL_C)
        screen.wait_for("interrupted, may have taken effect: t/wait")
        say(screen, "/mcp log t", "info: has begun")
        screen.send("see @t:notes://2" + TAB)
        screen.wait_for("2025/")
    assert "tea is ready" in program.invoke("sessions", "export", "s").out


def test_a_replay_needs_no_server(program, server):
    script = "add 4\nadd 5\ngrow\nadd 6\n"
    done = program.run("run", "--script", "-", "-S", "clerk.toml", "-s", "s", "--approve", "auto", piped=script)
    assert (done.code, done.out.count("Sum")) == (0, 3)
    log = program.invoke("sessions", "export", "s").out
    listed = [json.loads(line) for line in log.splitlines() if '"type":"tools"' in line]
    assert ["t/grown" in {tool["name"] for tool in record["tools"]} for record in listed] == [False, True]
    (program.folder / "s.jsonl").write_text(log, "utf-8")
    program.invoke("mcp", "remove", "t")
    again = program.invoke("replay", "s.jsonl", "-S", "clerk.toml")
    assert (again.code, again.out.startswith("the conversation is the same (4 turns")) == (0, True), again.out
    (program.folder / "clerk.toml").write_text(SWARM.replace('"t/*"', '"t/note"'), "utf-8")
    assert program.invoke("replay", "s.jsonl", "-S", "clerk.toml").code == 3
