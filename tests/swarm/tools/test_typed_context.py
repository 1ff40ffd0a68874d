"""Definitions as keys, dependencies of a program, and tools that stay functions."""

import asyncio
from dataclasses import dataclass, field

import pytest
from swarmchat.swarm import (
    Agent,
    Answer,
    Context,
    DefinitionError,
    ScriptedModel,
    Session,
    State,
    Storage,
    Swarm,
    ToolCall,
    tool,
)


@dataclass
class Shop:
    """What a program gives to its tools."""

    prices: dict[str, int] = field(default_factory=lambda: {"tea": 3})


basket: State[list[str]] = State("basket", default=list)
teas = Storage("teas", index=lambda tea: str(tea), items=["green tea"])


@tool
async def buy(ctx: Context[Shop], item: str) -> str:
    """Put something into the basket."""
    await ctx.state(basket).update(lambda items: [*items, item])
    tea = await ctx.storage(teas).take(item)
    return f"{item} for {ctx.deps.prices[item]}, like {tea[0]}"


@tool
def double(number: int) -> int:
    """Double a number."""
    return 2 * number


sales = Agent("sales", "Sell.", tools=[buy, double])
swarm = Swarm("shop", [Agent("desk", "Help.", handoffs=[sales]), sales], states=[basket], storages=[teas])


def test_a_tool_gets_what_the_program_gave_and_the_state_by_its_definition():
    async def scenario() -> None:
        steps = [
            Answer(tool_calls=(ToolCall("c1", "transfer_to_sales", "{}"),)),
            Answer(tool_calls=(ToolCall("c2", "buy", '{"item": "tea"}'),)),
            "Bought.",
        ]
        async with Session.open("memory:", ScriptedModel(steps), swarm, deps=Shop()) as session:
            reply = await session.ask("tea, please")
            assert reply.calls[-1].result == "tea for 3, like green tea"
            assert await session.primitives.state("basket").get() == ["tea"]

    asyncio.run(scenario())


def test_the_context_is_no_parameter_for_the_model():
    assert list(buy.signature.parameters["properties"]) == ["item"]


def test_a_tool_is_still_its_function():
    assert double(4) == 8


def test_agents_as_handoffs_are_names():
    assert swarm.agents[0].targets == ("sales",)
    with pytest.raises(DefinitionError, match="sales"):
        Swarm("x", [Agent("desk", "Help.", handoffs=[sales])])
