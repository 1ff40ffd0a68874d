"""Storages on a Redis Cluster, where a shared one is not in the slot of a client's session."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from chats import open_session, say, text_of
from redis_server import RedisServer, cluster_url, run_cluster
from swarmchat.backends import Backend, open_backend
from swarmchat.swarm import Agent, Context, Storage, Swarm, list_sessions, tool
from swarmchat.swarm.conversation.events import Event, ToolFinished
from swarmchat.swarm.models.base import Answer, ToolCall
from swarmchat.swarm.models.scripted import ScriptedModel


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[RedisServer]]:
    with run_cluster(tmp_path_factory.mktemp("cluster"), range(16384)) as servers:
        yield servers


@tool
async def note(ctx: Context, storage: str, text: str) -> str:
    """Note a text."""
    await ctx.storage(storage).upsert(text, "note")
    return "noted"


@tool
async def forget(ctx: Context, storage: str) -> str:
    """Remove all texts."""
    return str(await ctx.storage(storage).clear() + await ctx.storage(storage).remove("note"))


@tool
async def find(ctx: Context, storage: str) -> str:
    """Return all texts."""
    return ", ".join(await ctx.storage(storage).list())


SWARM = Swarm(
    "desk",
    [Agent("desk", "You are a desk.", tools=[note, forget, find])],
    storages=[
        Storage("facts", items=["open at nine"], index=str, shared=True),
        Storage("notes", items=["ann likes tea"], index=str),
    ],
)


def call(name: str, arguments: str) -> Answer:
    return Answer("", (ToolCall(f"{name}1", name, arguments),), "tool_calls")


def results(events: list[Event]) -> list[tuple[str, str]]:
    return [(event.status, event.result) for event in events if isinstance(event, ToolFinished)]


def test_a_tool_that_changes_a_shared_storage_fails_and_the_session_goes_on(cluster: list[RedisServer]) -> None:
    async def turn(backend: Backend, answers: list[Any]) -> list[tuple[str, str]]:
        async with await open_session(backend, ScriptedModel([*answers, "done"]), swarm=SWARM) as session:
            events = await say(session, "please")
            assert text_of(events) == "done"
            assert not session.unsaved
            return results(events)

    async def scenario() -> None:
        backend = open_backend(cluster_url(cluster))
        for name in ("note", "forget"):
            arguments = '{"storage": "facts", "text": "x"}' if name == "note" else '{"storage": "facts"}'
            ((status, result),) = await turn(backend, [call(name, arguments)])
            assert status == "error"
            assert "'facts' is shared by all clients" in result
        assert await turn(backend, [call("find", '{"storage": "facts"}')]) == [("ok", "open at nine")]
        assert await turn(backend, [call("note", '{"storage": "notes", "text": "and cake"}')]) == [("ok", "noted")]
        assert await turn(backend, [call("find", '{"storage": "notes"}')]) == [("ok", "ann likes tea, and cake")]
        assert [info.turns for info in await list_sessions(backend, "ann")] == [5]
        # Outside of a turn, it is a commit of its own.
        async with await open_session(backend, ScriptedModel([]), swarm=SWARM) as session:
            facts = session.primitives.storage("facts")
            await facts.upsert("closed on Sundays", "note")
            assert await facts.list() == ["open at nine", "closed on Sundays"]
        await backend.close()

    asyncio.run(scenario())
