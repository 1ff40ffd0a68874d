"""A swarm in one small file: one agent answers questions, another lends books.

Start it with ``swarmchat chat -S examples/library_desk.py``. The demo model follows the rules under ``demo``.
"""

from swarmchat.swarm import Agent, Context, DemoRule, State, Storage, Swarm, tool

NOTES = ["The library is open from 9 to 18, and closed on Sundays.", "A book can be kept for four weeks."]


@tool(effects=False)
async def find_note(ctx: Context, question: str) -> str:
    """Find what is known about a question.

    question: what the visitor wants to know
    """
    return "\n".join(await ctx.storage("notes").take(question)) or "Nothing is known about that."


@tool
async def lend(ctx: Context, title: str) -> str:
    """Lend a book to the visitor; returns all the books that they have."""
    return ", ".join(await ctx.state("lent").update(lambda titles: [*titles, title]))


swarm = Swarm(
    "library",
    agents=[
        Agent("desk", "Answer from what find_note returns.", tools=[find_note], handoffs=["lending"]),
        Agent("lending", "Lend the books that visitors ask for.", tools=[lend], handoffs=["desk"]),
    ],
    states=[State("lent", default=list)],
    storages=[Storage("notes", items=NOTES, index=str)],
    demo=[
        DemoRule("borrow", call="transfer_to_lending"),
        DemoRule("borrow (?P<title>.+)", call="lend", arguments={"title": "{title}"}, reply="You have: {result}."),
        DemoRule(r"\?", call="find_note", arguments={"question": "{text}"}),
    ],
)
