"""The short ways: URLs and names in place of objects, and a turn as one value."""

import asyncio
from pathlib import Path

import pytest
from model_server import ModelServer, server_fixture, text, tool_calls
from swarmchat.backends import open_backend
from swarmchat.swarm import (
    Agent,
    Answer,
    DefinitionError,
    ModelAuthError,
    Policy,
    ScriptedModel,
    Session,
    SessionBusy,
    Swarm,
    ToolCall,
    tool,
)

server = server_fixture


@tool
def look(at: str) -> str:
    """Look at something."""
    return f"a nice {at}"


SWARM = Swarm(
    "desk",
    [Agent("desk", "Help.", tools=[look], handoffs=["sales"]), Agent("sales", "Sell.")],
    policies=[Policy("polite", reject_input=["damn"], message="Please.")],
)


def test_a_session_by_url_and_name(tmp_path: Path):
    async def scenario() -> None:
        async with Session.open(f"disk:{tmp_path}/chats", "demo", name="ann") as session:
            assert (await session.ask("hi")).text.startswith("Hello")
        # Its database is closed, and its lease is free.
        async with Session.open(f"disk:{tmp_path}/chats", "demo", name="ann") as session:
            reply = await session.ask("What did I say?")
            assert "hi" in str(reply)
            assert (reply.agent, reply.finish, session.turns) == ("assistant", "stop", 2)

    asyncio.run(scenario())


def test_a_model_by_name_is_that_of_the_openai_package(server: ModelServer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-0123456789")
    server.reply(
        tool_calls([{"index": 0, "id": "c1", "function": {"name": "look", "arguments": '{"at": "tree"}'}}]),
        text("A tree.", usage={"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12, "cost": 0.5}),
    )

    async def scenario() -> None:
        async with Session.open("memory:", "gpt-test", SWARM) as session:
            reply = await session.ask("look")
        assert (reply.text, [call.result for call in reply.calls]) == ("A tree.", ["a nice tree"])
        assert reply.usage == {"prompt_tokens": 22, "completion_tokens": 7, "total_tokens": 29}
        assert reply.cost == 0.5

    asyncio.run(scenario())
    assert server.chats[0]["model"] == "gpt-test"
    assert server.requests[-1].headers["authorization"] == "Bearer sk-0123456789"


def test_without_a_key_openai_is_not_asked(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)

    async def scenario() -> None:
        async with Session.open("memory:", "gpt-4o-mini") as session:
            with pytest.raises(ModelAuthError, match="set OPENAI_API_KEY"):
                await session.ask("hi")

    asyncio.run(scenario())


def test_the_agent_that_answered_and_a_refusal():
    async def scenario() -> None:
        model = ScriptedModel([Answer(tool_calls=(ToolCall("c1", "transfer_to_sales", "{}"),)), "Sales here.", "no"])
        async with Session.open("memory:", model, SWARM) as session:
            reply = await session.ask("buy")
            assert (reply.text, reply.agent, reply.cost) == ("Sales here.", "sales", None)
            assert (await session.ask("damn")).text == "Please."

    asyncio.run(scenario())


def test_without_an_event_loop(tmp_path: Path):
    with Session.open(f"disk:{tmp_path}/chats", "demo", name="ann") as session:
        assert session.ask_sync("hi").text.startswith("Hello")
    with Session.open(f"disk:{tmp_path}/chats", "demo", name="ann") as session:
        assert session.turns == 1


def test_ask_sync_needs_a_session_that_was_opened_with_with():
    async def scenario() -> None:
        async with Session.open("memory:", "demo") as session:
            with pytest.raises(DefinitionError, match="use await here"):
                session.ask_sync("hi")

    asyncio.run(scenario())


def test_what_was_opened_for_a_session_that_cannot_be_opened_is_closed(tmp_path: Path):
    async def scenario() -> None:
        url = f"disk:{tmp_path}/chats"
        async with Session.open(url, "demo", name="ann") as session:
            await session.ask("hi")
            with pytest.raises(SessionBusy, match="open in this process already"):
                await Session.open(url, "demo", name="ann")
        with pytest.raises(DefinitionError):
            await Session.open(open_backend("memory:"), "demo", Swarm("x", []))

    asyncio.run(scenario())


def test_an_error_when_opening_without_a_loop_ends_its_thread(tmp_path: Path):
    with Session.open(f"disk:{tmp_path}/chats", "demo", name="ann") as session:
        session.ask_sync("hi")
        opening = Session.open(f"disk:{tmp_path}/chats", "demo", name="ann")
        with pytest.raises(SessionBusy), opening:
            pass
