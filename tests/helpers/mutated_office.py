"""An office with agents as tools, tasks in the background, images, typed answers and a person, and changes of it."""

from collections.abc import Mapping, Sequence
from typing import Any

from mutation import Scene, change, harmless
from recorded import ask, calls
from swarmchat.swarm import Session

OFFICE = '''\
"""An office that answers questions about tea."""

from typing import Literal

from pydantic import BaseModel, Field

from swarmchat.swarm import Agent, Context, NgramEmbedder, Operator, Policy, State, Storage, Swarm, tool

PIXEL = "R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"
BOOKS = ["The Book of Tea by Okakura", "Tea in Britain by Ellis", "Coffee by Ukers"]


class Ticket(BaseModel):
    """A ticket for somebody in the office."""

    subject: str = Field(description="what it is about")
    urgent: bool = False


def merged(old: list[str], new: list[str]) -> list[str]:
    return [*old, *(each for each in new if each not in old)]


@tool
async def search(ctx: Context, words: str, most: int = 1) -> str:
    """Search the catalogue."""
    return "; ".join(await ctx.storage("books").take(words, total=most))


@tool(timeout=20)
async def stock(kind: Literal["green", "black"], shop: Literal["north", "south"] = "north") -> str:
    """Look up what is in stock."""
    amount = {"green": 12, "black": 30}[kind]
    return f"{amount} kg of {kind} tea in the {shop}"


@tool
async def label(ctx: Context, kind: str) -> str:
    """Show the label of a tea."""
    ctx.show({"type": "image_url", "image_url": {"url": f"data:image/gif;base64,{PIXEL}"}})
    return f"the label of {kind} tea"


@tool(background=True)
async def count(ctx: Context, words: str) -> str:
    """Count the words of a text."""
    await ctx.state("counted").set(words.split())
    return f"{len(words.split())} words"


@tool
async def note(ctx: Context, text: str) -> str:
    """Note something."""
    await ctx.state("notes").set([text, "tea"])
    return f"noted {ctx.new_id('n-')} on {ctx.now():%d %B}"


async def prompt(ctx: Context) -> str:
    return f"You work in an office. Today is {ctx.now():%d %B %Y}."


researcher = Agent("researcher", "You look things up.", tools=[search], description="Looks books up.")
ask_researcher = researcher.as_tool(name="research", history="none", requests=5, tokens=50_000, seconds=60)
writer = Agent("writer", "You write reports.", tools=[search])
ask_writer = writer.as_tool("Writes a report.", name="report", background=True)
clerk = Agent("clerk", "You write tickets.", output=Ticket, description="Writes tickets.")
desk = Agent(
    "desk",
    prompt,
    tools=[stock, label, ask_researcher, count, note, ask_writer],
    handoffs=["clerk", "support"],
    max_tool_calls=5,
    reminder="Be brief.",
)

swarm = Swarm(
    "office",
    [desk, researcher, writer, clerk],
    operators=[Operator("support", description="Decides.", hours="mo-su 00:00-24:00", timezone="UTC", timeout=300)],
    policies=[
        Policy("no-swearing", reject_input=["damn"], message="Please stay polite.", ban_for=60),
        Policy("no-anger", reject_input=["damn", "hell"], message="Please calm down."),
    ],
    states=[State("notes", default=list, reducers=[merged]), State("counted", default=list)],
    storages=[Storage("books", items=BOOKS, index=str)],
    embedder=NgramEmbedder(),
)
'''

_NOTE, _TICKET = '{"text": "a ticket"}', '{"subject": "the kettle", "urgent": true}'
_TWO_NOTES = calls(("note", '{"text": "green"}'), ("note", _NOTE), ids="d")
QUESTIONS = (
    "How much green tea is there?",
    "Show me its label",
    "Which book is about Britain?",
    "Note these",
    "d\u00adamn",
    "Count: green black red",
    "I want a person",
    "Write a report on coffee",
    "Write a ticket about the kettle",
)
ANSWERS = {
    "desk": (
        calls(("stock", '{"kind": "green"}'), ids="a"),
        "There are 12 kg.",
        calls(("label", '{"kind": "green"}'), ids="b"),
        "There it is.",
        calls(("research", '{"task": "Find a book about tea in Britain"}'), ids="c"),
        "Ellis wrote one.",
        _TWO_NOTES,
        "Noted.",
        calls(("count", '{"words": "green black red"}'), ids="e"),
        "I am counting.",
        "There are 3 words.",
        calls(("transfer_to_support", "{}"), ids="f"),
        calls(("report", '{"task": "Report on coffee"}'), ids="h"),
        "It is being written.",
        "Here is the report.",
        calls(("transfer_to_clerk", "{}"), ids="g"),
    ),
    "researcher": (calls(("search", '{"words": "tea in Britain"}'), ids="r"), "Tea in Britain by Ellis."),
    "writer": (calls(("search", '{"words": "coffee"}'), ids="w"), "Ukers knows all about coffee."),
    "clerk": (_TICKET,),
}


async def _talk(session: Session) -> None:
    for question in QUESTIONS:
        await ask(session, question)
        while session.tasks.running:
            await session.tasks.wait()
        async for _ in session.receive():
            pass
        if session.agent.is_person:
            await session.go_back()


WRITTEN: Sequence[Mapping[str, Any]] = (
    {"type": "user", "text": QUESTIONS[0]},
    {"type": "assistant", "calls": [{"stock": {"kind": "green"}}]},
    {"type": "tool", "result": "12 kg of green tea in the north"},
    {"type": "assistant", "text": "There are 12 kg."},
    {"type": "expect", "tools": [{"stock": {"kind": "green"}}]},
    {"type": "user", "text": QUESTIONS[1]},
    {"type": "assistant", "calls": [{"label": {"kind": "green"}}]},
    {"type": "tool", "result": "the label of green tea"},
    {"type": "assistant", "text": "There it is."},
    {"type": "expect", "tools": ["label"]},
    {"type": "user", "text": QUESTIONS[2]},
    {"type": "assistant", "calls": [{"research": {"task": "Find a book about tea in Britain"}}]},
    {"type": "tool", "result": "Tea in Britain by Ellis."},
    {"type": "assistant", "text": "Ellis wrote one."},
    {"type": "expect", "tools": ["research"]},
    {"type": "user", "text": QUESTIONS[4]},
    {"type": "expect", "refused": "no-swearing"},
    {"type": "user", "text": QUESTIONS[5]},
    {"type": "assistant", "calls": [{"count": {"words": "green black red"}}]},
    {
        "type": "tool",
        "result": "This goes on in the background as task b1. Its result will arrive as a message: do not call again.",
    },
    {"type": "assistant", "text": "I am counting."},
    {"type": "expect", "tools": ["count"]},
    {"type": "user", "text": QUESTIONS[6]},
    {"type": "assistant", "calls": ["transfer_to_support"]},
    {"type": "expect", "agent": "support", "handoffs": ["support"]},
    {"type": "go", "agent": "desk"},
    {"type": "user", "text": QUESTIONS[8]},
    {"type": "assistant", "calls": ["transfer_to_clerk"]},
    {"type": "assistant", "text": _TICKET},
    {"type": "expect", "agent": "clerk", "json": {"urgent": True}},
)

_NOTE_TOOL = OFFICE[OFFICE.index("@tool\nasync def note") : OFFICE.index("async def prompt")]
_AGENT_TOOL = 'history="none", requests=5, tokens=50_000, seconds=60'
_HOURS = 'hours="mo-su 00:00-24:00"'

MUTATIONS = (
    change("an agent as a tool: its prompt", "You look things up.", "You look everything up."),
    change("an agent as a tool: a tool added", "tools=[search]", "tools=[search, stock]"),
    change("an agent as a tool: a tool removed", "tools=[search], ", ""),
    change("an agent as a tool: a result inside", 'return "; ".join', 'return "found: " + "; ".join'),
    change("an agent as a tool: the history that it gets", 'history="none"', 'history="all"'),
    change("an agent as a tool: a summary of the conversation", 'history="none"', 'history="summary"'),
    change("an agent as a tool: its description", "Looks books up.", "Finds books."),
    change("an agent as a tool: fewer requests than it made", "requests=5", "requests=1"),
    change("an agent as a tool: more requests", "requests=5", "requests=9"),
    change("an agent as a tool: its tokens", "tokens=50_000", "tokens=60_000"),
    change("an agent as a tool: its time", "seconds=60", "seconds=90"),
    change("an agent as a tool: in the background", "seconds=60", "seconds=60, background=True"),
    change("an agent as a tool: removed", "ask_researcher, ", ""),
    change("a tool in the background: in the foreground", "@tool(background=True)", "@tool"),
    change("a tool moved to the background", "@tool(timeout=20)", "@tool(timeout=20, background=True)"),
    change("a tool in the background: its result", 'split())} words"', 'split())} of them"'),
    change("a tool in the background: its changes", "set(words.split())", "set(words.split()[1:])"),
    change(
        "a tool in the background raises an error",
        '    await ctx.state("counted")',
        '    int(words)\n    await ctx.state("counted")',
    ),
    change("a tool in the background: removed", "count, note,", "note,"),
    change("an agent in the background: its prompt", "You write reports.", "You write short reports."),
    change("an agent in the background: its tools", '"You write reports.", tools=[search]', '"You write reports."'),
    change("an agent in the background: its description", "Writes a report.", "Writes reports."),
    change("an agent in the background: removed", ", ask_writer]", "]"),
    change("an agent in the background: in the foreground", '"report", background=True', '"report"'),
    change("a tool's image", "AAAAAP///yH5", "AAAAAAAAACH5"),
    change("a tool shows no image", "    ctx.show(", "    dict("),
    change("an operator's name", "support", "helpers"),
    change("an operator's hours: closed at that time", _HOURS, 'hours="mo-su 04:00-05:00"'),
    change("an operator's hours: still open at that time", _HOURS, 'hours="mo-su 00:00-06:00"'),
    change("the timeout of an operator", "timeout=300", "timeout=30"),
    change("an operator's description", "Decides.", "Decides everything."),
    change("an operator removed", "operators=[Operator(", "demo=[] and [Operator(", ', "support"]', "]"),
    change("no handoff to an operator", ', "support"]', "]"),
    change("a field added to a typed answer", "urgent: bool = False", 'urgent: bool = False\n    room: str = ""'),
    change("a field of a typed answer removed", "    urgent: bool = False\n", ""),
    change("the type of a field of a typed answer", "urgent: bool", "urgent: int"),
    change("a field of a typed answer renamed", "urgent: bool", "now: bool"),
    change("a description in a typed answer", "what it is about", "the topic"),
    change("the name of the type of an answer", "class Ticket", "class Note", "output=Ticket", "output=Note"),
    change("an answer is no longer typed", "output=Ticket, ", ""),
    change("a tool's timeout", "timeout=20", "timeout=10"),
    change("a value added to a parameter", 'Literal["green", "black"]', 'Literal["green", "black", "red"]'),
    change("a value of a parameter removed", 'Literal["green", "black"]', 'Literal["black"]'),
    change("the values of a parameter in another order", '["green", "black"]', '["black", "green"]'),
    change("a default among fixed values", '= "north"', '= "south"'),
    change("a policy without normalization", "ban_for=60)", "ban_for=60, normalize=False)"),
    change(
        "policies in another order",
        "policies=[",
        "policies=[*reversed([",
        'calm down."),\n    ]',
        'calm down."),\n    ])]',
    ),
    change("a policy bans for a limited time", "ban_for=60", "ban=True, ban_for=90"),
    change("a state's reducer removed", "reducers=[merged]", "reducers=[]"),
    change("a state's reducer", "[*old, *(each", "[*reversed(old), *(each"),
    change("a limit of calls in one message", "max_tool_calls=5", "max_tool_calls=1"),
    change("a higher limit of calls in one message", "max_tool_calls=5", "max_tool_calls=6"),
    change(
        "texts are embedded with a prefix",
        "embedder=NgramEmbedder()",
        "embedder=Prefixed()",
        "swarm = Swarm(",
        'class Prefixed(NgramEmbedder):\n    prefixes = ("coffee ukers ", "")\n\n\nswarm = Swarm(',
    ),
    change("a reminder", '"Be brief."', '"Be kind."'),
    change("a reminder becomes part of the prompt", 'reminder="Be brief."', 'system=["Be brief."]'),
    change("an id in a result", "new_id('n-')", "new_id('note-')"),
    change("the format of a date in a prompt", "{ctx.now():%d %B %Y}", "{ctx.now():%d.%m.%Y}"),
    change(
        "a date that is not from ctx.now()",
        "{ctx.now():%d %B %Y}",
        "{datetime.now():%d %B %Y}",
        "from typing",
        "from datetime import datetime\nfrom typing",
    ),
    harmless(
        "an alias of a type",
        'kind: Literal["green", "black"],',
        "kind: Kind,",
        "class Ticket",
        'Kind = Literal["green", "black"]\n\n\nclass Ticket',
    ),
    harmless("a function moved", _NOTE_TOOL, "", "@tool\nasync def search", _NOTE_TOOL + "@tool\nasync def search"),
    harmless("a Python variable renamed", "desk = Agent", "front = Agent", "[desk, researcher", "[front, researcher"),
    harmless(
        "imports in another order",
        "from typing import Literal\n\nfrom pydantic import BaseModel, Field\n",
        "from pydantic import BaseModel, Field\nfrom typing import Literal\n",
    ),
    harmless("an unused import", "from typing", "import json\nfrom typing"),
    harmless(
        "formatting",
        'description="Writes tickets.")',
        'description=(\n        "Writes "\n        "tickets."\n    ),\n)',
    ),
    harmless(
        "ctx.now() called twice",
        '    return f"You work in',
        '    now = ctx.now()\n    return f"You work in',
        "Today is {ctx.now()",
        "Today is {now",
    ),
    harmless("a reducer renamed", "merged", "joined"),
    harmless("a tool's inner variable", "amount", "kilos"),
)

SCENE = Scene(OFFICE, ANSWERS, _talk, WRITTEN, MUTATIONS)
