"""Each mistake of docs/mistakes.md is made, and what is said must be what the page says."""

import asyncio
import re
from pathlib import Path

import pytest
from swarmchat import swarm as library
from swarmchat.backends import BackendError
from swarmchat.swarm import Agent, Context, ScriptedModel, Session, State, Swarm, SwarmError, tool
from swarmchat.swarm.testing import call

PAGE = Path(__file__).parents[2] / "docs" / "mistakes.md"
ROWS = re.findall(r"^\| `(.+?)` \| (.+) \|$", PAGE.read_text("utf-8"), re.MULTILINE)


def price(item: str) -> int:
    """Say what an item costs."""
    return 2


class Opaque:
    pass


order = State("order", "")
desk = Agent("desk")


def calling(function, states=(), **options):
    """Run a turn in which the model calls ``function``."""
    agent = Agent("desk", tools=[function])
    model = ScriptedModel([call(agent.tools[0], {}), "Done."])
    session = Session.open("memory:", model, Swarm("shop", [agent, Agent("till")], states=states), **options)
    with session as opened:
        opened.ask_sync("hi")


def asking(message, **options):
    model = ScriptedModel([call("price", {"item": "tea"}), "Hello."])
    with Session.open("memory:", model, Agent("desk", tools=[tool(approve="ask")(price)]), **options) as session:
        session.ask_sync(message)


async def during_a_turn(after=False):
    """Ask in a tool of the same session, or after its end."""
    opened = []

    @tool
    async def f(ctx: Context) -> str:
        """Ask."""
        return (await opened[0].ask("again")).text

    async with Session.open("memory:", ScriptedModel([call(f), "Done."]), Agent("desk", tools=[f])) as session:
        opened.append(session)
        if not after:
            await session.ask("hi")
    await session.ask("hi")


def make(code):
    """Make the mistake ``code``: a definition of a tool is called, all else is evaluated."""
    public = {name: getattr(library, name) for name in set(re.findall(r"\w+", code)) & set(dir(library))}
    names = {**public, "Context": Context, "price": price, "order": order, "desk": desk, "Opaque": Opaque}
    names |= {"call": call}
    if code.startswith(("def f", "async def f")):
        exec(code, names)
        calling(names["f"], states=[order])
    elif code.startswith("class H"):
        exec(code, names)
    elif code.startswith("session.ask("):
        asyncio.run(during_a_turn(after="after" in code))
    elif code.startswith("await session.ask("):
        asking(eval(code.removeprefix("await session.ask(").removesuffix(")"), names))
    elif code.startswith("Session.open(…, "):
        eval(f"asking('hi', {code.removeprefix('Session.open(…, ')}", {**names, "asking": asking})
    else:
        eval(code, names)


@pytest.mark.parametrize(("code", "said"), ROWS, ids=[code for code, _ in ROWS])
def test_a_mistake_is_told_to_its_author(code, said):
    with pytest.raises((SwarmError, BackendError, AttributeError)) as error:
        make(code)
    message = str(error.value).replace("|", "\\|")
    assert re.sub(r"\w+\.py line \d+|<string> line \d+", "shop.py line 1", message) == said


@pytest.mark.parametrize("part", ["a policy", "a policy that searches", "a check"])
def test_a_function_that_returns_another_kind_of_value_lets_nothing_through(part):
    said = (
        "policy 'polite' returned {}, expected True to reject a text, or False: return one of them in every case, "
        "as bool(…) does"
    )
    if part == "a policy":
        swarm = Swarm("shop", [desk], policies=[library.Policy("polite", reject_input=lambda text: None)])
        said = said.format("None")
    elif part == "a policy that searches":
        search = re.compile("h").search
        swarm = Swarm("shop", [desk], policies=[library.Policy("polite", reject_input=search)])
        said = said.format("a Match")
    else:
        swarm = Swarm("shop", [Agent("desk", validate=lambda text: len(text) < 9)])
        said = "the check of agent 'desk' returned True, expected a text that says what is wrong, or None if nothing is"
    opening = Session.open("memory:", ScriptedModel(["Hello."]), swarm)
    with opening as session, pytest.raises(library.HookError) as error:
        session.ask_sync("hi")
    assert str(error.value) == said


def test_there_are_many():
    assert len(ROWS) >= 30


def test_a_mistake_in_a_tool_names_its_line():
    @tool
    async def look(ctx: Context) -> str:
        """Look."""
        return await ctx.state("ordr").get()

    with pytest.raises(SwarmError, match=r"tool 'look', test_mistakes.py line \d+: swarm 'shop' has no state 'ordr'"):
        calling(look, states=[order])


def test_nothing_is_stored_of_a_tool_with_a_mistake():
    async def scenario():
        @tool
        async def look(ctx: Context) -> str:
            """Look."""
            await ctx.state(order).set("tea")
            return await ctx.state("ordr").get()

        swarm = Swarm("shop", [Agent("desk", tools=[look])], states=[order])
        async with Session.open("memory:", ScriptedModel([call(look), "Fine."]), swarm) as session:
            with pytest.raises(SwarmError):
                await session.ask("hi")
            assert await session.primitives.state(order).get() == ""
            # The session goes on.
            return (await session.ask("again")).text

    assert asyncio.run(scenario()) == "Fine."
