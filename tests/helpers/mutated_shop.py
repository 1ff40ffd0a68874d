"""A shop for tea, a conversation with it, and changes of the shop."""

from collections.abc import Mapping, Sequence
from typing import Any

from mutation import Scene, change, harmless
from recorded import ask, calls
from swarmchat.swarm import Session, SessionSettings

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


_ORDER = SHOP[SHOP.index("@tool\nasync def order") : SHOP.index('@tool(approve="ask")')]
_WITH_CONTEXT = ("(item: str, grams", "(ctx: Context, item: str, grams")
_BASKET = 'states=[State("basket", default=list)]'
_POLICY = 'policies=[Policy("no-swearing", reject_input=["damn"], message="Please stay polite.")]'

MUTATIONS = (
    change("a word of a prompt", "you are polite", "you are kind"),
    change("a space in a prompt", "tea, and you", "tea,  and you"),
    change("the value that a prompt takes from a state", "{len(basket)}", "{basket}"),
    change("a prompt raises an error", 'return f"You sell', "raise KeyError('x')\n    return f\"You sell"),
    change("a further system message", 'handoffs=["till"], ', 'handoffs=["till"], system=["Be brief."], '),
    change("an agent renamed", '"till"', '"cashier"'),
    change("an agent's description", "Takes the money.", "Takes your money."),
    change("an agent's parameters", '"temperature": 0.2', '"temperature": 0.3'),
    change("an agent's model", "parameters={", 'model="gpt-4o", parameters={'),
    change("another first agent", "[clerk, till],", "[till, clerk],"),
    change("a handoff removed", 'handoffs=["till"], ', ""),
    change("a way back removed", 'tools=[pay], handoffs=["clerk"]', "tools=[pay]"),
    change("a tool renamed", "def price", "def cost", "[price,", "[cost,"),
    change("a tool removed", "[price, find_tea, order]", "[find_tea, order]"),
    change("a tool added", "[price, find_tea, order]", "[price, find_tea, order, pay]"),
    change("tools in another order", "[price, find_tea, order]", "[order, find_tea, price]"),
    change(
        "a tool offered on a condition", "@tool\nasync def price", "@tool(available=lambda ctx: False)\nasync def price"
    ),
    change("a tool's description", "Price of a tea.", "The price of a tea."),
    change("a parameter's description", "item: name of the tea", "item: the tea's name"),
    change("a parameter added", "grams: int = 100) ", "grams: int = 100, loose: bool = False) "),
    change("a required parameter added", "item: str, grams", "item: str, shop: str, grams"),
    change(
        "a parameter removed",
        "(item: str, grams: int = 100)",
        "(item: str)",
        "{grams} g of",
        "100 g of",
        "{grams // 25}",
        "4",
    ),
    change(
        "a parameter renamed",
        "(item: str, grams",
        "(tea: str, grams",
        "item: name",
        "tea: name",
        "of {item}",
        "of {tea}",
    ),
    change("a parameter's type", "item: str, count: int", "item: str, count: str"),
    change("a parameter's default", "grams: int = 100", "grams: int = 50"),
    change("a parameter made optional", "item: str, count: int", "item: str, count: int = 1"),
    change("a tool's result", "g of {item} cost", "g {item}: "),
    change("a field of a tool's result", '"currency": "EUR"', '"currency": "USD"'),
    change(
        "a tool raises an error",
        '    basket = await ctx.state("basket").update',
        '    raise ValueError("sold out")\n    basket = await ctx.state("basket").update',
    ),
    change(
        "a tool changes a state differently",
        'f"{count} {item}"]',
        'f"{count} x {item}"]',
        '", ".join(basket)',
        'f"{count} {item}"',
    ),
    change("a tool no longer changes a state", '    await ctx.state("basket").clear()\n', ""),
    change("a tool no longer changes the memory", '    await ctx.memory.set("last", item)\n', ""),
    change("the value written to the memory", '.set("last", item)', '.set("last", item.upper())'),
    change("a tool needs approval", "@tool\nasync def price", '@tool(approve="ask")\nasync def price'),
    change("a tool needs no approval", '@tool(approve="ask")', "@tool"),
    change(
        "a tool hands over",
        "    # In euros.\n",
        '    ctx.handoff_to = "till"\n',
        *_WITH_CONTEXT,
    ),
    change("a policy removed", _POLICY, "policies=[]"),
    change("a policy renamed", '"no-swearing"', '"politeness"'),
    change("a policy's message", "Please stay polite.", "Please be polite."),
    change("a policy's pattern", '["damn"]', '["darn"]'),
    change(
        "a policy added", "policies=[", 'policies=[Policy("no-receipts", reject_input=["receipt"], message="No."), '
    ),
    change(
        "a policy for answers added",
        "policies=[",
        'policies=[Policy("no-euros", reject_output=["4.00"], message="No."), ',
    ),
    change("a state's default", "default=list", 'default=lambda: ["a biscuit"]'),
    change("a state renamed", '"basket"', '"cart"'),
    change("an item of a storage", "Sencha, a mild", "Sencha, a fresh"),
    change("an item of a storage removed", '"Assam, a strong black tea", ', ""),
    change("the number of items found", "total=2", "total=1"),
    change("the order of rescue steps", '"feedback", "recomplete"', '"recomplete", "feedback"'),
    change("a rescue step removed", '"feedback", "recomplete"', '"recomplete"'),
    change("a rescue step added", '"feedback", "recomplete"', '"feedback", "flush", "recomplete"'),
    change("the placeholder", "Sorry, once more please.", "Sorry, say that again."),
    change("a limit of tool calls", "parameters={", "max_tool_calls=0, parameters={"),
    change("a type for answers", 'description="Takes the money.")', 'description="Takes the money.", output=int)'),
    change("answers are checked", 'description="Takes', 'validate=lambda text: "too short", description="Takes'),
    change("a tool is never called", '@tool(approve="ask")', '@tool(approve="deny")'),
    change("a tool without effects", "@tool\nasync def find_tea", "@tool(effects=False)\nasync def find_tea"),
    change("a tool asks the user", "    # In euros.\n", '    await ctx.ask_user("sure?")\n', *_WITH_CONTEXT),
    change("an agent as a tool", "[price, find_tea, order]", '[price, find_tea, order, "agent:till"]'),
    change(
        "a parameter with fixed values",
        "grams: int = 100",
        "grams: Literal[50, 100] = 100",
        "from swarmchat.swarm import",
        "from typing import Literal\n\nfrom swarmchat.swarm import",
    ),
    change("a field added to a tool's result", '"currency": "EUR"', '"currency": "EUR", "tip": 0'),
    change("a policy bans", 'polite.")', 'polite.", ban=True)'),
    change("a state's type", "default=list)", "default=list, type=list[int])"),
    change("a state is shared", "default=list)", "default=list, shared=True)"),
    change("the index of a storage", "index=str", "index=lambda item: item[:3]"),
    change("an embedder's dimension", "NgramEmbedder()", "NgramEmbedder(8)"),
    harmless("the name of the swarm", '"shop",', '"tea_shop",'),
    harmless("a comment", "# In euros.", "# In euros, with tax."),
    harmless("the docstring of the file", "A shop for tea.", "The tea shop."),
    harmless("functions in another order", _ORDER, "", '@tool(approve="ask")', _ORDER + '@tool(approve="ask")'),
    harmless("a default written differently", "grams: int = 100", "grams: int = 4 * 25"),
    harmless(
        "a helper function renamed",
        "async def prompt",
        "async def clerk_prompt",
        'Agent("clerk", prompt',
        'Agent("clerk", clerk_prompt',
    ),
    harmless(
        "a variable renamed",
        'basket = await ctx.state("basket").update',
        'lines = await ctx.state("basket").update',
        "join(basket)",
        "join(lines)",
    ),
    harmless(
        "an unused tool",
        "async def is_open",
        '@tool\nasync def unused() -> None:\n    """Nothing."""\n\n\nasync def is_open',
    ),
    harmless(
        "a condition that is always true",
        "@tool\nasync def price",
        "@tool(available=lambda ctx: True)\nasync def price",
    ),
    harmless("a text built in another way", 'f"{grams} g of {item} cost', 'f"{grams} g " f"of {item} cost'),
    harmless("a tool that is not async", "@tool\nasync def price", "@tool\ndef price"),
    harmless("defaults written out", "@tool\nasync def price", '@tool(approve="auto")\nasync def price'),
    harmless("a tuple in place of a list", "[price, find_tea, order]", "(price, find_tea, order)"),
    harmless("agents in another order", "[clerk, till],", '[till, clerk],\n    default="clerk",'),
    harmless("a state's default by another function", "default=list", "default=lambda: []"),
    harmless("a docstring over more lines", '"""Price of a tea.', '"""\n    Price of a tea.'),
    harmless("a docstring in another style", "    item: name", "    Args:\n        item: name"),
    harmless("a pattern that matches no message", '["damn"]', '["damn", "darn"]'),
    harmless("an unused agent", "[clerk, till],", '[clerk, till, Agent("cook")],'),
    harmless("an unused state", "default=list)", 'default=list), State("mood", default="")'),
    harmless("an unused storage", "index=str)", 'index=str), Storage("cups", items=[], index=str)'),
    harmless("a tool that logs", "    # In euros.\n", '    import logging\n    logging.info("price")\n'),
)


async def _talk(session: Session) -> None:
    for question in QUESTIONS:
        await ask(session, question)


SCENE = Scene(SHOP, STEPS, _talk, WRITTEN, MUTATIONS, SessionSettings(context_window=380, reserve=60))
