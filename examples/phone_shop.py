"""A shop with an advisor and a cashier: a catalogue that is searched by description, and a basket.

Start it with ``swarmchat -S phone_shop`` and say "help". Neither the client nor the model needs an id: "the cheap one"
is enough. Without a key, the demo model follows the rules at the end.
"""

from dataclasses import dataclass, field, replace

from swarmchat.swarm import Agent, Context, DemoRule, State, Storage, Swarm, tool


@dataclass(frozen=True)
class Phone:
    """A phone for sale; each of its ``wishes`` is a way to ask for it."""

    name: str
    price: int
    about: str
    wishes: tuple[str, ...]

    def texts(self) -> list[str]:
        """Return the texts to find it by; the best match counts."""
        return [self.name, self.about, *self.wishes]


PHONES = [
    Phone(
        "Alder",
        149,
        "makes calls, and no more",
        ("cheap", "inexpensive", "low price", "small budget", "a child's first"),
    ),
    Phone("Birch", 399, "takes photos at night", ("good camera", "pictures and films", "photographs")),
    Phone("Cedar", 299, "fits in any pocket", ("small and light", "little", "compact, for one hand")),
    Phone("Maple", 549, "shows films and games", ("big screen", "large display", "fast", "expensive")),
    Phone("Spruce", 349, "runs for five days", ("large battery", "long battery life", "travel and hiking")),
    Phone("Willow", 279, "has big buttons and is loud", ("easy to use", "grandparents", "grandmother", "old people")),
    Phone("Oak", 429, "survives falls, dust and rain", ("robust, strong", "waterproof", "outdoors, building site")),
]


@dataclass
class Line:
    """One item of the basket: its name, the price of one, and how many."""

    name: str
    price: int
    count: int


@dataclass
class Basket:
    """The items that the client wants to buy."""

    lines: list[Line] = field(default_factory=list)

    def __str__(self) -> str:
        if not self.lines:
            return "The basket is empty."
        rows = [f"- {line.count} × {line.name}, {line.price} each" for line in self.lines]
        total = sum(line.count * line.price for line in self.lines)
        return "\n".join([*rows, "", f"Total: {total:,}"])


def merge_lines(old: Basket, new: Basket) -> Basket:
    """Keep one line for each item, and none with a count of 0: a reducer, called with every change of the state."""
    merged: dict[str, Line] = {}
    for line in new.lines:
        count = line.count + (merged[line.name].count if line.name in merged else 0)
        merged[line.name] = replace(line, count=max(0, count))
    return Basket([line for line in merged.values() if line.count])


@tool(effects=False)
async def search_catalogue(ctx: Context, description: str, limit: int = 3) -> str:
    """Find the phones that best match a description, best first, with their prices.

    limit: how many to return at most
    """
    phones: list[Phone] = await ctx.storage("catalogue").take(description, total=limit)
    return "\n".join(f"- {phone.name}, {phone.price}: {phone.about}" for phone in phones) or "Nothing fits that."


@tool
async def put_in_basket(ctx: Context, description: str, count: int = 1) -> str:
    """Put the phone that best matches a description into the basket.

    description: the name or what it is like, in the client's words
    count: how many; below 0 to take out again
    """
    phones: list[Phone] = await ctx.storage("catalogue").take(description)
    if not phones:
        raise ValueError(f"nothing fits {description!r}: say its name, or what it is like")
    line = Line(phones[0].name, phones[0].price, count)
    return str(await ctx.state("basket").update(lambda basket: Basket([*basket.lines, line])))


@tool(effects=False)
async def show_basket(ctx: Context) -> str:
    """Show what is in the basket and what it costs."""
    return str(await ctx.state("basket").get())


@tool
async def check_out(ctx: Context) -> str:
    """Sell what is in the basket, and empty it."""
    basket: Basket = await ctx.state("basket").get()
    if not basket.lines:
        raise ValueError("the basket is empty")
    await ctx.state("basket").clear()
    await ctx.memory.set("last purchase", [line.name for line in basket.lines])
    return f"Sold:\n\n{basket}"


HELP = """\
Try "a phone with a good camera", "put the cheap one in the basket", "add 2 with a big screen", "what is in the basket?"
and "check out". I am a scripted demo, not an AI; ask me how to connect a real model."""

ASK = "With pleasure. What should it be like: cheap, small, robust, with a good camera, with a big screen …?"

_PAY = r"\b(?:check.?out|pay|that is all|that's all)\b"
_PUT = (
    r"\b(?:put|add|buy|take)\s+(?:(?P<count>-?\d+)\s+)?(?P<description>\D.*?)"
    r"(?:\s+(?:in|into|to)\s+(?:the|my) basket)?\W*$"
)
_LOOK = (
    r"\b(?:(?:show|find) me|search for|looking for|need|like|want|something|phones?"
    r"|cheap\w*|expensive|small\w*|little|compact|light|big\w*|large\w*|fast|robust|strong|waterproof|easy"
    r"|camera|photo\w*|pictures?|films?|screen|display|battery|buttons?)\b"
)

swarm = Swarm(
    "phone_shop",
    agents=[
        Agent(
            "advisor",
            "You advise in a phone shop. Search the catalogue by what the client describes; make nothing up.",
            tools=[search_catalogue, put_in_basket, show_basket],
            handoffs=["cashier"],
            description="Finds the right phone.",
        ),
        Agent(
            "cashier",
            "You are the cashier. Show the basket, and check out once the client agrees.",
            tools=[show_basket, check_out],
            handoffs=["advisor"],
            description="Takes the money.",
        ),
    ],
    states=[State("basket", default=Basket, reducers=[merge_lines])],
    storages=[Storage("catalogue", items=PHONES, index=Phone.texts, shared=True)],
    demo=[
        DemoRule(r"^\W*help\b", reply=HELP),
        DemoRule(_PAY, "transfer_to_cashier"),
        DemoRule(_PAY, "check_out"),
        DemoRule(r"\bbasket\b.*\?|\b(?:show|see)\b.*\bbasket\b|^\W*(?:the |my )?basket\b", "show_basket"),
        DemoRule(r"\b(?:a|some|which|what|your) (?:new )?phones?(?: do you have| are there)?\W*$", reply=ASK),
        DemoRule(_PUT, "put_in_basket", {"description": "{description}", "count": "{count}"}),
        DemoRule(_LOOK, "search_catalogue", {"description": "{text}"}, "I can offer:\n\n{result}"),
        DemoRule(f"{_PUT}|{_LOOK}", "transfer_to_advisor"),
    ],
)
