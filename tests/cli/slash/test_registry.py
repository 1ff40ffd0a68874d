"""Slash commands."""

import asyncio
import re

import pytest
from contexts import chat_in
from swarmchat.backends import open_backend
from swarmchat.cli.errors import UsageError
from swarmchat.cli.slash.builtin import COMMANDS, TOPICS, LeaveChat, find_command, is_command, run_command
from swarmchat.swarm.models.demo import DemoModel
from swarmchat.swarm.session.session import Session, SessionSettings


def after_turns(command: str, *texts: str, **settings) -> str:
    """Return what ``command`` says in a session in which ``texts`` were entered."""

    async def run() -> str:
        backend = open_backend("memory:")
        session = await Session.open(
            backend, DemoModel(), client="ann", name="box", settings=SessionSettings(**settings)
        )
        async with session:
            for text in texts:
                if is_command(text):
                    await run_command(chat_in(session), text)
                    continue
                async for _ in session.run_turn(text):
                    pass
            return (await run_command(chat_in(session), command)).page

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("text", "is_one"),
    [("/help", True), ("/", True), ("/etc/passwd", True), ("//etc", False), ("help", False), (" /help", False)],
)
def test_what_is_a_command(text, is_one):
    assert is_command(text) is is_one


@pytest.mark.parametrize(("name", "found"), [("help", "help"), ("he", "help"), ("con", "context"), ("exit", "exit")])
def test_a_command_is_found_by_its_name_or_the_start_of_it(name, found):
    assert find_command(name).name == found


def test_a_start_that_fits_several_names_them(monkeypatch):
    monkeypatch.setitem(COMMANDS, "sessions", COMMANDS["session"])
    assert find_command("session") is COMMANDS["session"]
    with pytest.raises(UsageError, match="/sess is ambiguous: /session, /sessions"):
        find_command("sess")


@pytest.mark.parametrize(
    ("name", "hint"),
    [("hlep", "did you mean /help"), ("xyzzy", "/help lists the commands"), ("", "/help lists the commands")],
)
def test_an_unknown_command_names_what_is_near(name, hint):
    with pytest.raises(UsageError, match=re.escape(f"unknown command /{name}; {hint}")):
        find_command(name)


def test_every_command_has_one_topic():
    assert sorted(" ".join(TOPICS.values()).split()) == sorted(COMMANDS)


@pytest.mark.parametrize("columns", [80, 40])
def test_help_lists_what_can_do_something_now(columns, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    page = after_turns("/help")
    listed = {line.split()[0] for line in page.splitlines() if line.startswith("  /")}
    assert {"/model", "/new", "/help", "/context", "/exit"} <= listed
    assert not {"/undo", "/retry", "/back", "/unpin"} & listed
    assert {"  /undo", "  /retry"} <= {line.rstrip()[:8].rstrip() for line in after_turns("/help", "hi").splitlines()}
    assert max(map(len, page.splitlines())) < columns
    assert "Ctrl-D" in page


def test_help_explains_a_command():
    assert after_turns("/help /undo").splitlines() == [
        "/undo [N]",
        "  undo the last turn, or the last N, with agent and states",
        "  has no effect now",
    ]


def test_exit_leaves():
    with pytest.raises(LeaveChat):
        after_turns("/exit")


def test_session_says_where_it_is():
    page = after_turns("/session", "hello there")
    assert page.splitlines() == [
        "session  box",
        "title    hello there",
        "turns    1",
        "client   ann",
        "model    demo",
        "kept in  memory:",
        "kept     until it is deleted",
    ]


def test_session_counts_the_turns_that_are_left():
    page = after_turns("/session", "one", "/reset", "two", "three", "/undo")
    assert "turns    2" in page.splitlines()


def test_context_shows_what_would_be_sent_and_what_it_costs():
    lines = after_turns("/context", "hello").splitlines()
    assert [line.split()[1] for line in lines] == [
        "message",
        "instructions",
        "overhead",
        "user",
        "assistant",
        "of",
        "32,000,",
    ]
    counted = [int(line.split()[0]) for line in lines[1:5]]
    assert lines[5].split()[0] == str(sum(counted))
    assert "hello" in lines[3]


def test_context_shows_what_is_left_out_and_what_does_not_fit():
    page = after_turns("/context", "count to 60", "hi", "count to 50", context_window=280, reserve=20)
    assert "not sent: 2 messages of turn 1: dropped to fit the window, which starts at record 4" in page
    assert "count to 60" not in page
    assert "the context window leaves 1" in after_turns("/context", context_window=3, reserve=2)
