"""A help desk of three agents: facts and a game at the front desk, an order form at sales, and refunds.

A fourth agent never talks to the client: the front desk uses it as a tool. Support is a person.

Start it with ``swarmchat -S helpdesk`` and say "help". Without a key, the demo model follows the rules in
``helpdesk_data.py``; everything else is the same with a real model.
"""

import asyncio
from dataclasses import asdict, dataclass, replace
from typing import Any

from swarmchat.examples.helpdesk_data import DEMO, FACTS, Fact
from swarmchat.examples.tic_tac_toe import Game, find_winner
from swarmchat.swarm import Agent, Context, Operator, Policy, State, Storage, Swarm, tool

# Facts: a storage, whose items are found by description. The model never sees an id.


@tool(effects=False)
async def find_fact(ctx: Context, about: str, limit: int = 1) -> str:
    """Find the facts that best match a description.

    about: what the client wants to know
    limit: how many facts to return at most
    """
    facts: list[Fact] = await ctx.storage("facts").take(about, total=limit)
    return "\n".join(fact.text for fact in facts) or "There is no fact about that."


# Tic-tac-toe: a state whose reducer, find_winner, updates the winner with every change.


@tool
async def start_game(ctx: Context) -> dict[str, str]:
    """Start a new game of tic-tac-toe, in which the client is X."""
    return Game.describe(await ctx.state("game").set(Game()))


@tool(effects=False)
async def show_board(ctx: Context) -> dict[str, str]:
    """Show the board of tic-tac-toe."""
    return Game.describe(await ctx.state("game").get())


@tool
async def play(ctx: Context, square: int) -> dict[str, str]:
    """Put the client's X on a square; O answers at once.

    square: from 1, at the top left, to 9, at the bottom right
    """
    await ctx.state("game").update(lambda game: game.put_x(square))
    return Game.describe(await ctx.state("game").update(Game.put_o))


# The order: a form that is filled in over several turns. A state outlives the messages that it came from.


@dataclass
class Order:
    """An order of the client."""

    item: str = ""
    colour: str = ""
    quantity: int = 0
    name: str = ""
    status: str = "open"

    def missing(self) -> str:
        """Return the names of the empty fields."""
        return ", ".join(field for field, value in asdict(self).items() if not value)

    def describe(self) -> str:
        """Return the order as text for the model."""
        filled = ", ".join(f"{field}: {value}" for field, value in asdict(self).items() if value)
        return f"The order: {filled}." + (f" Still missing: {missing}." if (missing := self.missing()) else "")


@tool
async def fill_order(ctx: Context, item: str = "", colour: str = "", quantity: int = 0, name: str = "") -> str:
    """Fill in what the client has said of an order, in any number of steps; returns what is still missing.

    name: for whom it is
    """
    if quantity < 0:
        raise ValueError("the quantity must be 1 or more")
    if name:
        await ctx.memory.set("name", name)
    name = name or await ctx.memory.get("name", "")
    fields: dict[str, Any] = {"item": item, "colour": colour, "quantity": quantity, "name": name}

    def fill(order: Order) -> Order:
        unfinished = order if order.status == "open" else Order()
        return replace(unfinished, **{field: value for field, value in fields.items() if value})

    return Order.describe(await ctx.state("order").update(fill))


@tool(effects=False)
async def show_order(ctx: Context) -> str:
    """Show the order and what is still missing."""
    return Order.describe(await ctx.state("order").get())


@tool
async def place_order(ctx: Context) -> str:
    """Place the order, once nothing is missing and the client wants it."""

    def place(order: Order) -> Order:
        if order.missing() or order.status != "open":
            raise ValueError(f"the order is {order.status}; missing: {order.missing() or 'nothing'}")
        return replace(order, status="placed")

    return Order.describe(await ctx.state("order").update(place))


# A tool that takes long: it goes on in the background, and its result arrives as a message.

WAREHOUSE_SECONDS = 4.0


@tool(background=True, effects=False)
async def check_stock(ctx: Context, item: str) -> str:
    """Ask the warehouse how many pieces of an item it has.

    item: such as "red phones"
    """
    await asyncio.sleep(WAREHOUSE_SECONDS)
    return f"The warehouse has {len(item) % 7 + 3} {item.strip()}."


@tool
async def request_refund(ctx: Context, reason: str) -> str:
    """Ask for the client's money back, for the order that was placed.

    reason: why, in the client's words
    """

    def refund(order: Order) -> Order:
        if order.status != "placed":
            raise ValueError(f"only an order that was placed can be refunded; this one is {order.status}")
        return replace(order, status="refund requested")

    order: Order = await ctx.state("order").update(refund)
    return f"The refund for {await ctx.memory.get('name')} is requested: {reason}\n\n{order.describe()}"


# Memory: what is remembered about the client, in this session and in all later ones.


@tool
async def remember_client(ctx: Context, name: str = "", locale: str = "") -> str:
    """Remember what the client tells about themselves; returns all that is known.

    locale: the language to talk in, such as "de" or "pt-BR"
    """
    await ctx.memory.update({field: value for field, value in {"name": name, "locale": locale}.items() if value})
    return await about_client(ctx) or "Nothing is known of the client."


async def about_client(ctx: Context) -> str:
    """Return a system message; called for each request. An empty one is not sent."""
    known = ", ".join(f"{field} {value}" for field, value in (await ctx.memory.all()).items())
    return known and f"Known of the client: {known}."


# An agent that is used as a tool: it sees its task and nothing else, and its answer is the result.

researcher = Agent(
    "researcher",
    "You collect facts. Search as often as you need, in other words each time; answer with all that fits, one a line.",
    tools=[find_fact],
    description="Collects several facts about a subject.",
)

# The agents, and what they share.

swarm = Swarm(
    "helpdesk",
    agents=[
        Agent(
            "triage",
            "You are the front desk. Answer questions from the facts that you find, and play tic-tac-toe.",
            tools=[
                find_fact,
                researcher.as_tool(requests=6, seconds=60),
                start_game,
                show_board,
                play,
                remember_client,
                check_stock,
            ],
            handoffs=["sales", "refunds", "support"],
            system=[about_client],
            description="Answers questions and plays.",
        ),
        Agent(
            "sales",
            "You sell phones, tablets and laptops. Fill in the order as the client speaks; ask for what is missing.",
            tools=[fill_order, show_order, place_order, check_stock],
            handoffs=["triage", "refunds"],
            system=[about_client],
            description="Takes orders.",
        ),
        Agent(
            "refunds",
            "You take care of clients who want their money back. Ask why, then request the refund.",
            tools=[show_order, request_refund],
            handoffs=["triage", "sales", "support"],
            system=[about_client],
            description="Gives money back.",
        ),
    ],
    # A person: somebody at `swarmchat operator -S helpdesk`.
    operators=[Operator("support", description="Decides what nobody else may decide.", timeout=300)],
    default="triage",
    policies=[
        Policy(
            "no-politics",
            reject_input=r"\b(elections?|party politics|politicians?)\b",
            ban=True,
            ban_for=60,
            message="I do not talk about politics. Let us continue in a minute.",
        )
    ],
    states=[State("game", default=Game, reducers=[find_winner]), State("order", default=Order)],
    storages=[Storage("facts", items=FACTS, index=lambda fact: [fact.about, fact.text], shared=True)],
    demo=DEMO,
)
