"""Changes of a swarm, and which mode of a replay notices them in a recorded and in a hand-written conversation."""

import asyncio
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recorded import ask, calls
from swarmchat.backends import open_backend
from swarmchat.swarm import ScriptedModel, Session, SessionSettings, SwarmError
from swarmchat.swarm.agents.loader import load_swarm
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.replay.files import RecordedConversation, read_conversations
from swarmchat.swarm.replay.runner import Replayed, replay

SHOP = '''\
"""A shop for tea."""

from swarmchat.swarm import Agent, Context, NgramEmbedder, Policy, State, Storage, Swarm, tool

TEAS = ["Assam, a strong black tea", "Sencha, a mild green tea", "Rooibos, a red tea"]


@tool
async def price(item: str, grams: int = 100) -> str:
    """Price of a tea.

    item: name of the tea
    """
    # In euros.
    return f"{grams} g of {item} cost {grams // 25}.00"


@tool
async def find_tea(ctx: Context, wish: str) -> str:
    """Find teas that fit a wish."""
    return "; ".join(await ctx.storage("teas").take(wish, total=2))


@tool
async def order(ctx: Context, item: str, count: int) -> str:
    """Put a tea into the basket."""
    await ctx.memory.set("last", item)
    basket = await ctx.state("basket").update(lambda lines: [*lines, f"{count} {item}"])
    return "in the basket: " + ", ".join(basket)


@tool(approve="ask")
async def pay(ctx: Context, amount: float) -> dict:
    """Take the money."""
    await ctx.state("basket").clear()
    return {"paid": amount, "currency": "EUR"}


async def is_open(ctx: Context) -> bool:
    return True


async def prompt(ctx: Context) -> str:
    basket = await ctx.state("basket").get()
    return f"You sell tea, and you are polite. In the basket: {len(basket)}."


clerk = Agent("clerk", prompt, tools=[price, find_tea, order], handoffs=["till"], parameters={"temperature": 0.2})
till = Agent("till", "Take the money.", tools=[pay], handoffs=["clerk"], description="Takes the money.")

swarm = Swarm(
    "shop",
    [clerk, till],
    policies=[Policy("no-swearing", reject_input=["damn"], message="Please stay polite.")],
    states=[State("basket", default=list)],
    storages=[Storage("teas", items=TEAS, index=str)],
    rescue=["repair", "feedback", "recomplete", "placeholder"],
    placeholder="Sorry, once more please.",
    embedder=NgramEmbedder(),
)
'''

QUESTIONS = (
    "How much is Assam?",
    "Something mild, please",
    "Two Sencha",
    "damn, be quick",
    "I want to pay",
    "And a receipt?",
    "How much is Rooibos?",
)
STEPS: Sequence[Any] = (
    calls(("price", '{"item": "Assam"}'), ids="a"),
    "That is 4.00.",
    'One moment. <tool_call>{"name": "find_tea", "arguments": {"wish": "mild green or strong tea"}}</tool_call>',
    "Sencha would be mild.",
    calls(("order", '{"item": "Sencha", "count": 2}'), ids="b"),
    "Two Sencha are in the basket.",
    calls(("transfer_to_till", "{}"), ids="c"),
    calls(("pay", '{"amount": 9}'), ids="d"),
    "You have paid 8.00.",
    calls(("print_receipt", "{}"), ids="e"),
    "",
    "",
    calls(("transfer_to_clerk", "{}"), ids="f"),
    calls(("Price", '{"item": "Rooibos"}'), ids="g"),
    "That is 4.00, too.",
)
WRITTEN: Sequence[Mapping[str, Any]] = (
    {"type": "user", "text": QUESTIONS[0]},
    {"type": "assistant", "calls": [{"name": "price", "arguments": {"item": "Assam"}}]},
    {"type": "tool", "result": "100 g of Assam cost 4.00"},
    {"type": "assistant", "text": "That is 4.00."},
    {"type": "expect", "agent": "clerk", "tools": [{"price": {"item": "Assam"}}]},
    {"type": "user", "text": QUESTIONS[1]},
    {"type": "assistant", "text": STEPS[2]},
    {"type": "tool", "result": "Assam, a strong black tea; Sencha, a mild green tea"},
    {"type": "assistant", "text": "Sencha would be mild."},
    {"type": "expect", "contains": "sencha", "rescues": ["leaked_call"]},
    {"type": "user", "text": QUESTIONS[2]},
    {"type": "assistant", "calls": [{"name": "order", "arguments": {"item": "Sencha", "count": 2}}]},
    {"type": "tool", "result": "in the basket: 2 Sencha"},
    {"type": "assistant", "text": "Two Sencha are in the basket."},
    {"type": "expect", "tools": ["order"]},
    {"type": "user", "text": QUESTIONS[3]},
    {"type": "expect", "refused": "no-swearing"},
    {"type": "user", "text": QUESTIONS[4]},
    {"type": "assistant", "calls": ["transfer_to_till"]},
    {"type": "assistant", "calls": [{"name": "pay", "arguments": {"amount": 8.0}}]},
    {"type": "tool", "result": {"paid": 8.0, "currency": "EUR"}},
    {"type": "assistant", "text": "You have paid 8.00."},
    {"type": "expect", "agent": "till", "handoffs": ["till"], "tools": [{"pay": {"amount": 8.0}}]},
    {"type": "user", "text": QUESTIONS[5]},
    {"type": "assistant", "calls": ["print_receipt"]},
    {"type": "assistant", "text": ""},
    {"type": "assistant", "text": ""},
    {"type": "expect", "contains": "Sorry", "failed": ["print_receipt"], "rescues": ["unknown_tool", "empty", "empty"]},
    {"type": "user", "text": QUESTIONS[6]},
    {"type": "assistant", "calls": ["transfer_to_clerk"]},
    {"type": "assistant", "calls": [{"name": "Price", "arguments": {"item": "Rooibos"}}]},
    {"type": "tool", "result": "100 g of Rooibos cost 4.00"},
    {"type": "assistant", "text": "That is 4.00, too."},
    {"type": "expect", "tools": ["price"], "rescues": ["unknown_tool"]},
)


@dataclass(frozen=True)
class Mutation:
    """A change of the shop: each of ``replacements`` is an old text with the new one."""

    name: str
    replacements: tuple[tuple[str, str], ...]
    harmless: bool = False

    def apply(self) -> str:
        """Return the changed source."""
        source = SHOP
        for old, new in self.replacements:
            assert old in source, f"{self.name}: {old!r} is not in the source"
            source = source.replace(old, new)
        return source


def _change(name: str, *texts: str) -> Mutation:
    return Mutation(name, tuple(zip(texts[::2], texts[1::2], strict=True)))


def _harmless(name: str, *texts: str) -> Mutation:
    return Mutation(name, tuple(zip(texts[::2], texts[1::2], strict=True)), harmless=True)


_ORDER = SHOP[SHOP.index("@tool\nasync def order") : SHOP.index('@tool(approve="ask")')]
_WITH_CONTEXT = ("(item: str, grams", "(ctx: Context, item: str, grams")
_BASKET = 'states=[State("basket", default=list)]'
_POLICY = 'policies=[Policy("no-swearing", reject_input=["damn"], message="Please stay polite.")]'

MUTATIONS = (
    _change("a word of a prompt", "you are polite", "you are kind"),
    _change("a space in a prompt", "tea, and you", "tea,  and you"),
    _change("what a prompt takes from a state", "{len(basket)}", "{basket}"),
    _change("a prompt raises an error", 'return f"You sell', "raise KeyError('x')\n    return f\"You sell"),
    _change("a further system message", 'handoffs=["till"], ', 'handoffs=["till"], system=["Be brief."], '),
    _change("an agent renamed", '"till"', '"cashier"'),
    _change("an agent's description", "Takes the money.", "Takes your money."),
    _change("an agent's parameters", '"temperature": 0.2', '"temperature": 0.3'),
    _change("an agent's model", "parameters={", 'model="gpt-4o", parameters={'),
    _change("another first agent", "[clerk, till],", "[till, clerk],"),
    _change("a handoff removed", 'handoffs=["till"], ', ""),
    _change("a way back removed", 'tools=[pay], handoffs=["clerk"]', "tools=[pay]"),
    _change("a tool renamed", "def price", "def cost", "[price,", "[cost,"),
    _change("a tool removed", "[price, find_tea, order]", "[find_tea, order]"),
    _change("a tool added", "[price, find_tea, order]", "[price, find_tea, order, pay]"),
    _change("tools in another order", "[price, find_tea, order]", "[order, find_tea, price]"),
    _change(
        "a tool offered on a condition", "@tool\nasync def price", "@tool(available=lambda ctx: False)\nasync def price"
    ),
    _change("a tool's description", "Price of a tea.", "The price of a tea."),
    _change("a parameter's description", "item: name of the tea", "item: the tea's name"),
    _change("a parameter added", "grams: int = 100) ", "grams: int = 100, loose: bool = False) "),
    _change("a required parameter added", "item: str, grams", "item: str, shop: str, grams"),
    _change(
        "a parameter removed",
        "(item: str, grams: int = 100)",
        "(item: str)",
        "{grams} g of",
        "100 g of",
        "{grams // 25}",
        "4",
    ),
    _change(
        "a parameter renamed",
        "(item: str, grams",
        "(tea: str, grams",
        "item: name",
        "tea: name",
        "of {item}",
        "of {tea}",
    ),
    _change("a parameter's type", "item: str, count: int", "item: str, count: str"),
    _change("a parameter's default", "grams: int = 100", "grams: int = 50"),
    _change("a parameter is optional now", "item: str, count: int", "item: str, count: int = 1"),
    _change("a tool's result", "g of {item} cost", "g {item}: "),
    _change("a field of a tool's result", '"currency": "EUR"', '"currency": "USD"'),
    _change(
        "a tool raises an error",
        '    basket = await ctx.state("basket").update',
        '    raise ValueError("sold out")\n    basket = await ctx.state("basket").update',
    ),
    _change(
        "a tool changes a state otherwise",
        'f"{count} {item}"]',
        'f"{count} x {item}"]',
        '", ".join(basket)',
        'f"{count} {item}"',
    ),
    _change("a tool no longer changes a state", '    await ctx.state("basket").clear()\n', ""),
    _change("a tool no longer changes the memory", '    await ctx.memory.set("last", item)\n', ""),
    _change("what is written to the memory", '.set("last", item)', '.set("last", item.upper())'),
    _change("a tool needs approval", "@tool\nasync def price", '@tool(approve="ask")\nasync def price'),
    _change("a tool needs no approval", '@tool(approve="ask")', "@tool"),
    _change(
        "a tool hands over",
        "    # In euros.\n",
        '    ctx.handoff_to = "till"\n',
        *_WITH_CONTEXT,
    ),
    _change("a policy removed", _POLICY, "policies=[]"),
    _change("a policy renamed", '"no-swearing"', '"politeness"'),
    _change("a policy's message", "Please stay polite.", "Please be polite."),
    _change("a policy's pattern", '["damn"]', '["darn"]'),
    _change(
        "a policy added", "policies=[", 'policies=[Policy("no-receipts", reject_input=["receipt"], message="No."), '
    ),
    _change(
        "a policy for answers added",
        "policies=[",
        'policies=[Policy("no-euros", reject_output=["4.00"], message="No."), ',
    ),
    _change("a state's default", "default=list", 'default=lambda: ["a biscuit"]'),
    _change("a state renamed", '"basket"', '"cart"'),
    _change("an item of a storage", "Sencha, a mild", "Sencha, a fresh"),
    _change("an item of a storage removed", '"Assam, a strong black tea", ', ""),
    _change("how many items are found", "total=2", "total=1"),
    _change("the order of rescue steps", '"feedback", "recomplete"', '"recomplete", "feedback"'),
    _change("a rescue step removed", '"feedback", "recomplete"', '"recomplete"'),
    _change("a rescue step added", '"feedback", "recomplete"', '"feedback", "flush", "recomplete"'),
    _change("the placeholder", "Sorry, once more please.", "Sorry, say that again."),
    _change("a limit of tool calls", "parameters={", "max_tool_calls=0, parameters={"),
    _change("a type for answers", 'description="Takes the money.")', 'description="Takes the money.", output=int)'),
    _change("answers are checked", 'description="Takes', 'validate=lambda text: "too short", description="Takes'),
    _change("a tool is never called", '@tool(approve="ask")', '@tool(approve="deny")'),
    _change("a tool without effects", "@tool\nasync def find_tea", "@tool(effects=False)\nasync def find_tea"),
    _change("a tool asks the user", "    # In euros.\n", '    await ctx.ask_user("sure?")\n', *_WITH_CONTEXT),
    _change("an agent as a tool", "[price, find_tea, order]", '[price, find_tea, order, "agent:till"]'),
    _change(
        "a parameter with fixed values",
        "grams: int = 100",
        "grams: Literal[50, 100] = 100",
        "from swarmchat.swarm import",
        "from typing import Literal\n\nfrom swarmchat.swarm import",
    ),
    _change("a field added to a tool's result", '"currency": "EUR"', '"currency": "EUR", "tip": 0'),
    _change("a policy bans", 'polite.")', 'polite.", ban=True)'),
    _change("a state's type", "default=list)", "default=list, type=list[int])"),
    _change("a state is shared", "default=list)", "default=list, shared=True)"),
    _change("the index of a storage", "index=str", "index=lambda item: item[:3]"),
    _change("an embedder's dimension", "NgramEmbedder()", "NgramEmbedder(8)"),
    _harmless("the name of the swarm", '"shop",', '"tea_shop",'),
    _harmless("a comment", "# In euros.", "# In euros, with tax."),
    _harmless("the docstring of the file", "A shop for tea.", "The tea shop."),
    _harmless("functions in another order", _ORDER, "", '@tool(approve="ask")', _ORDER + '@tool(approve="ask")'),
    _harmless("a default written otherwise", "grams: int = 100", "grams: int = 4 * 25"),
    _harmless(
        "a helper function renamed",
        "async def prompt",
        "async def clerk_prompt",
        'Agent("clerk", prompt',
        'Agent("clerk", clerk_prompt',
    ),
    _harmless(
        "a variable renamed",
        'basket = await ctx.state("basket").update',
        'lines = await ctx.state("basket").update',
        "join(basket)",
        "join(lines)",
    ),
    _harmless(
        "an unused tool",
        "async def is_open",
        '@tool\nasync def unused() -> None:\n    """Nothing."""\n\n\nasync def is_open',
    ),
    _harmless(
        "a condition that always holds", "@tool\nasync def price", "@tool(available=lambda ctx: True)\nasync def price"
    ),
    _harmless("a text made in another way", 'f"{grams} g of {item} cost', 'f"{grams} g " f"of {item} cost'),
    _harmless("a tool that is not async", "@tool\nasync def price", "@tool\ndef price"),
    _harmless("defaults that are spelled out", "@tool\nasync def price", '@tool(approve="auto")\nasync def price'),
    _harmless("a tuple in place of a list", "[price, find_tea, order]", "(price, find_tea, order)"),
    _harmless("agents in another order", "[clerk, till],", '[till, clerk],\n    default="clerk",'),
    _harmless("a state's default by another function", "default=list", "default=lambda: []"),
    _harmless("a docstring over more lines", '"""Price of a tea.', '"""\n    Price of a tea.'),
    _harmless("a docstring in another style", "    item: name", "    Args:\n        item: name"),
    _harmless("a pattern that nobody wrote", '["damn"]', '["damn", "darn"]'),
    _harmless("an unused agent", "[clerk, till],", '[clerk, till, Agent("cook")],'),
    _harmless("an unused state", "default=list)", 'default=list), State("mood", default="")'),
    _harmless("an unused storage", "index=str)", 'index=str), Storage("cups", items=[], index=str)'),
    _harmless("a tool that logs", "    # In euros.\n", '    import logging\n    logging.info("price")\n'),
)

COLUMNS = (("recorded", "verify"), ("recorded", "tools"), ("written", "verify"), ("written", "tools"))


@dataclass(frozen=True)
class Finding:
    """What the replays of a changed shop say, by column."""

    mutation: Mutation
    replays: Mapping[tuple[str, str], Replayed | str]

    def noticed(self, column: tuple[str, str]) -> bool:
        """Whether the replay fails."""
        replayed = self.replays[column]
        return isinstance(replayed, str) or not replayed.same


async def record(folder: Path) -> None:
    """Write the two conversations with the shop into ``folder``: recorded.jsonl and written.jsonl."""
    (folder / "shop.py").write_text(SHOP)
    swarm = load_swarm("shop.py", folder)

    async def approver(tool: Any, call: Any) -> bool | str:
        return '{"amount": 8.0}' if tool.name == "pay" else True

    backend = open_backend("memory:")
    model = ScriptedModel(list(STEPS), name="gpt-4o-mini")
    settings = SessionSettings(context_window=380, reserve=60)
    session = await Session.open(
        backend, model, client="ann", name="tea", swarm=swarm, settings=settings, approver=approver
    )
    async with session:
        for question in QUESTIONS:
            await ask(session, question)
    lines = await backend.slice(keys.session_log("ann", "tea"), 0)
    (folder / "recorded.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    written = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in WRITTEN)
    (folder / "written.jsonl").write_text(written, "utf-8")


async def findings(mutations: Sequence[Mutation] = MUTATIONS) -> list[Finding]:
    """Replay both conversations with each changed shop."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        await record(folder)
        suites = {suite: (await read_conversations(folder / f"{suite}.jsonl"))[0] for suite in ("recorded", "written")}
        return [await _find(mutation, suites, folder / f"shop_{n}.py") for n, mutation in enumerate(mutations)]


async def _find(mutation: Mutation, suites: Mapping[str, RecordedConversation], path: Path) -> Finding:
    path.write_text(mutation.apply(), "utf-8")  # noqa: ASYNC240 - nothing else runs
    replays: dict[tuple[str, str], Replayed | str] = {}
    try:
        swarm = load_swarm(path.name, path.parent)
        for suite, mode in COLUMNS:
            backend = open_backend("memory:")
            replays[suite, mode] = await replay(suites[suite], backend, swarm=swarm, mode=mode)
            await backend.close()
    except SwarmError as error:
        replays = dict.fromkeys(COLUMNS, str(error))
    return Finding(mutation, replays)


def row(finding: Finding) -> str:
    """Return the row of the table in docs/replay.md."""
    marks = ["fails" if finding.noticed(column) else "-" for column in COLUMNS]
    return f"| {finding.mutation.name} | {' | '.join(marks)} |"


def table() -> str:
    """Return the table of all changes: first those that matter, then the harmless ones."""
    head = "| change | recorded: `verify` | recorded: `tools` | by hand: `verify` | by hand: `tools` |"
    return "\n".join([head, "| --- | --- | --- | --- | --- |", *map(row, asyncio.run(findings()))])
