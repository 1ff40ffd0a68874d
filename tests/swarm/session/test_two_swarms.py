"""Two swarms of one client, in sessions of their own and in one session: what each of them sees."""

from asyncio import run
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from swarmchat.backends import Backend, Delete, Put, open_backend
from swarmchat.swarm.agents.agent import Agent, Swarm
from swarmchat.swarm.archive.sessions import fork_session
from swarmchat.swarm.archive.writer import SessionWriter
from swarmchat.swarm.models.base import Answer, ToolCall
from swarmchat.swarm.models.scripted import ScriptedModel
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.session_index import find_session
from swarmchat.swarm.primitives.state import State
from swarmchat.swarm.session.session import Session
from swarmchat.swarm.tools.context import Context
from swarmchat.swarm.tools.tool import tool


@tool
async def note(ctx: Context, text: str) -> str:
    """Write ``text`` wherever a tool can."""
    await ctx.state("order").update(lambda order: [*order, text])
    await ctx.state("visits").update(lambda visits: visits + 1)
    await ctx.memory.set(text, True)
    return "noted"


STATES = [State("order", default=list), State("visits", default=0, shared=True)]
SHOP = Swarm("shop", [Agent("clerk", tools=[note])], states=STATES)
CAFE = replace(SHOP, name="cafe")
KIOSK = replace(SHOP, name="kiosk", namespace="shop")


def noting(*texts: str) -> ScriptedModel:
    calls = [Answer(tool_calls=(ToolCall(f"c{text}", "note", f'{{"text": "{text}"}}'),)) for text in texts]
    return ScriptedModel([step for call in calls for step in (call, "ok")])


async def talk(backend: Backend, swarm: Swarm, *texts: str, name: str = "s") -> tuple[list[str], int, list[str]]:
    """Note ``texts``, a turn each; return the state, the shared state and the memory that the swarm sees then."""
    async with await Session.open(backend, noting(*texts), swarm, client="ann", name=name) as session:
        for text in texts:
            await session.ask(text)
        primitives = session.primitives
        order, visits = await primitives.state("order").get(), await primitives.state("visits").get()
        return order, visits, sorted(await primitives.memory.all())


@pytest.fixture
def on(backend_url):
    def check(scenario) -> None:
        async def opened() -> None:
            backend = open_backend(backend_url)
            try:
                await scenario(backend)
            finally:
                await backend.close()

        run(opened())

    return check


def test_in_one_session_each_has_its_own(on):
    async def scenario(backend: Backend) -> None:
        assert await talk(backend, SHOP, "a", "b") == (["a", "b"], 2, ["a", "b"])
        assert await talk(backend, CAFE) == ([], 0, [])
        assert await talk(backend, CAFE, "c") == (["c"], 1, ["c"])
        assert await talk(backend, SHOP) == (["a", "b"], 2, ["a", "b"])
        info = await find_session(backend, "ann", "s")
        assert info is not None
        stored = [key async for key, _ in backend.scan(keys.session_states("ann", info.id))]
        assert sorted(key.rpartition(":")[2] for key in stored) == ["cafe%2Forder", "order"]

    on(scenario)


def test_a_namespace_is_shared(on):
    async def scenario(backend: Backend) -> None:
        assert await talk(backend, SHOP, "a") == (["a"], 1, ["a"])
        assert await talk(backend, KIOSK, "b") == (["a", "b"], 2, ["a", "b"])
        # In the other direction as well: the session records whose states it has.
        assert await talk(backend, KIOSK, "c", name="t") == (["c"], 3, ["a", "b", "c"])
        assert await talk(backend, SHOP, name="t") == (["c"], 3, ["a", "b", "c"])
        assert await talk(backend, CAFE, name="t") == ([], 0, [])

    on(scenario)


def test_an_undo_and_a_fork_keep_them_apart(on):
    async def scenario(backend: Backend) -> None:
        await talk(backend, SHOP, "a")
        await talk(backend, CAFE, "b")
        info = await find_session(backend, "ann", "s")
        assert info is not None
        forked = await fork_session(backend, info, "f", datetime.now(UTC))
        await SessionWriter(backend, "ann", None).store(forked, name="f")
        assert (await talk(backend, SHOP, name="f"))[0] == ["a"]
        assert (await talk(backend, CAFE, name="f"))[0] == ["b"]
        async with await Session.open(backend, noting(), CAFE, client="ann", name="s") as session:
            await session.undo()
            assert await session.primitives.state("order").get() == []
        assert (await talk(backend, SHOP))[0] == ["a"]
        async with await Session.open(backend, noting(), CAFE, client="ann", name="s") as session:
            await session.undo()
        assert (await talk(backend, SHOP))[0] == []

    on(scenario)


def test_memory_from_before_swarms_were_kept_apart_is_found_by_each(on):
    async def scenario(backend: Backend) -> None:
        await backend.commit(Put(keys.common_memory("ann"), b'{"name":"Ann"}'))
        assert await talk(backend, SHOP, "a") == (["a"], 1, ["a", "name"])
        assert await talk(backend, CAFE, name="t") == ([], 0, ["name"])
        async with await Session.open(backend, noting(), CAFE, client="ann", name="t") as session:
            await session.primitives.memory.clear()
            assert await session.primitives.memory.all() == {}
        assert await talk(backend, CAFE, name="t") == ([], 0, [])
        assert (await talk(backend, SHOP))[2] == ["a", "name"]

    on(scenario)


def test_lost_states_and_memory_come_back_to_the_swarm_that_had_them(on):
    async def scenario(backend: Backend) -> None:
        await talk(backend, SHOP, "a")
        async with await Session.open(backend, noting("b", "c"), CAFE, client="ann", name="s") as session:
            await session.ask("b")
            await backend.commit(*[each async for each in lost(backend)])
            await session.ask("c")
            assert await session.primitives.state("order").get() == ["b", "c"]
            assert sorted(await session.primitives.memory.all()) == ["b", "c"]
        assert (await talk(backend, SHOP))[0] == ["a"]

    on(scenario)


async def lost(backend: Backend):
    """Yield the deletion of everything that the client has, but for the lease."""
    async for key, _ in backend.scan(keys.owned("ann")):
        if not key.endswith(":lease"):
            yield Delete(key)
    yield Delete(keys.session_log("ann", "s"))
