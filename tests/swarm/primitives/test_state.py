"""Shared and computed states."""

import asyncio
import json
from dataclasses import dataclass

import pytest
from recorded import record_and_replay
from swarmchat.backends import open_backend
from swarmchat.swarm import (
    Agent,
    Context,
    DefinitionError,
    HookError,
    ScriptedModel,
    Session,
    State,
    StateError,
    Swarm,
    computed,
    tool,
)
from swarmchat.swarm.testing import call, context


@dataclass
class Basket:
    items: list[str]


basket = State("basket", lambda: Basket([]))
price = State("price", 3, shared=True)
sold = State("sold", 0, shared=True)


@computed(basket, price)
def total(basket: Basket, price: int) -> int:
    """What the basket costs."""
    return len(basket.items) * price


@computed(total)
async def bill(total: int) -> str:
    return f"{total} euros"


@tool
async def sell(ctx: Context, count: int) -> int:
    """Sell some."""
    return await ctx.state(sold).update(lambda before: before + count)


SHOP = Swarm("shop", [Agent("till", tools=[sell])], states=[basket, price, sold, total, bill])


@pytest.fixture(params=["memory:", "disk"])
def url(request, tmp_path):
    return request.param if request.param == "memory:" else f"disk:{tmp_path}/chats"


def test_all_sessions_and_clients_share_one_value_and_lose_no_update(url):
    async def scenario():
        backend = open_backend(url)

        async def one(client):
            model = ScriptedModel([[call(sell, {"count": 1}), call(sell, {"count": 1})], "Done."] * 5)
            async with Session.open(backend, model, SHOP, client=client) as session:
                for _ in range(5):
                    await session.ask("sell")

        await asyncio.gather(*map(one, ("ann", "bob", "cem")))
        async with Session.open(backend, ScriptedModel(), SHOP, client="dora") as session:
            value = await session.primitives.state(sold).get()
            await session.primitives.state(sold).clear()
            cleared = await session.primitives.state("sold").get()
        await backend.close()
        return value, cleared

    assert asyncio.run(scenario()) == (30, 0)


def test_an_undo_and_a_log_leave_a_shared_state_alone():
    async def scenario():
        model = ScriptedModel([[call(sell, {"count": 1})], "Done."])
        async with Session.open("memory:", model, SHOP) as session:
            await session.ask("sell")
            await session.undo()
            assert not [record for record in session.records if record.type == "state"]
            return await session.primitives.state(sold).get()

    assert asyncio.run(scenario()) == 1


def test_a_replay_of_a_shared_state(tmp_path):
    async def scenario(recorder):
        session = await recorder.open(ScriptedModel([[call(sell, {"count": 1})], "Done."]))
        await session.ask("sell")
        await session.close()

    record_and_replay(SHOP, scenario, tmp_path / "log.jsonl")


def test_a_computed_state_follows_the_others():
    async def scenario():
        ctx = context(SHOP)
        await ctx.state(basket).set(Basket(["tea", "milk"]))
        return await ctx.state(total).get(), await ctx.state("bill").get()

    assert asyncio.run(scenario()) == (6, "6 euros")


def test_a_tool_sees_computed_states_with_its_own_changes():
    @tool
    async def fill(ctx: Context, item: str) -> str:
        """Put into the basket."""
        await ctx.state(basket).update(lambda before: Basket([*before.items, item]))
        return await ctx.state(bill).get()

    async def scenario():
        swarm = Swarm("shop", [Agent("till", tools=[fill])], states=[basket, price, total, bill])
        model = ScriptedModel([call(fill, {"item": "tea"}), "Done."])
        async with Session.open("memory:", model, swarm) as session:
            return (await session.ask("tea")).calls[0].result

    assert asyncio.run(scenario()) == "3 euros"


def test_a_computed_state_cannot_be_changed():
    async def scenario():
        for change in (lambda state: state.set(1), lambda state: state.clear()):
            with pytest.raises(StateError, match="'total' is computed: change 'basket' and 'price' instead"):
                await change(context(SHOP).state(total))

    asyncio.run(scenario())


def test_a_function_that_fails():
    @computed(basket)
    def broken(basket: Basket) -> str:
        return basket.items[0]

    async def scenario():
        with pytest.raises(HookError, match="the computed state 'broken' failed: IndexError"):
            await context(states=[basket, broken]).state(broken).get()

    asyncio.run(scenario())


def test_what_cannot_be_computed():
    with pytest.raises(DefinitionError, match=r"'nothing' names no states: write @computed\(basket\)"):

        @computed()
        def nothing() -> int:
            return 1

    with pytest.raises(DefinitionError, match="'untyped' has no return annotation"):

        @computed(basket)
        def untyped(basket):
            return basket

    with pytest.raises(DefinitionError, match="'total' is computed from 'basket', which is not defined before it"):
        Swarm("shop", [Agent("till")], states=[total, price])


def test_the_values_are_shown_as_json():
    async def scenario():
        state = context(SHOP).state(total)
        return json.loads(state.definition.encode(await state.get()))

    assert asyncio.run(scenario()) == 0
