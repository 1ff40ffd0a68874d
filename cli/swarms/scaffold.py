"""What ``swarmchat init`` writes."""

from pathlib import Path

from swarmchat.cli.errors import ConfigError

_SWARM = '''\
# A swarm: agents that hand the user over to one another. Try it with: swarmchat chat -S .
# What can stand here: see docs/swarms.md of the project.

name = "bakery"
default = "counter"

[agents.counter]
description = "Greets, and answers what the bakery has."
prompt = """
You work at the counter of a bakery. Be friendly and brief.
Find out what is there with find_bread; never make it up.
Hand over to orders when somebody wants to buy.
"""
tools = ["find_bread"]
handoffs = ["orders"]

[agents.orders]
description = "Takes orders."
prompt = """
You take orders for a bakery. Fill in the order with fill_order until nothing is missing.
"""
tools = ["fill_order"]
handoffs = ["counter"]

# What is filled in over several messages. It is kept beside the conversation, and survives a reset of it.
[states.order]
type = "Order"

# What is found by describing it. The model never sees an id.
[storages.breads]
index = ["about"]
items = [
    { name = "rye bread", about = "dark, sour, keeps for a week", price = 4.2 },
    { name = "baguette", about = "white, crisp, best on the same day", price = 1.8 },
    { name = "raisin bun", about = "sweet, soft, for breakfast", price = 1.2 },
]

# What may not be said. With ban = true the client is refused until: swarmchat bans lift CLIENT
[policies.no-swearing]
reject_input = ["damn"]
message = "Please stay polite."

# What the built-in demo model does, so that all of this can be tried without a key.
[[demo]]
pattern = "(want|buy|order|take)"
call = "transfer_to_orders"

[[demo]]
pattern = "(want|buy|order|take)"
reply = "Which bread, and how many? For example: 2 rye bread"

[[demo]]
pattern = "(?P<count>\\\\d+) (?P<bread>[a-z ]+)"
call = "fill_order"
arguments = { bread = "{bread}", count = "{count}" }
reply = "Noted: {result[count]} x {result[bread]}."

[[demo]]
pattern = "(bread|bun|have|sweet|dark|crisp)"
call = "find_bread"
arguments = { about = "{text}" }
reply = "We have this: {result}"
'''

_TOOLS = '''\
"""Tools of the bakery: plain functions. What the model is told of them is their signature and docstring."""

from dataclasses import dataclass

from swarmchat.swarm import Context


@dataclass
class Order:
    bread: str = ""
    count: int = 0


async def find_bread(ctx: Context, about: str) -> str:
    """Find the bread that fits a description best.

    about: what the customer is looking for
    """
    found = await ctx.storage("breads").take(about)
    return f"{found[0]['name']}, {found[0]['price']:.2f}" if found else "nothing of the kind"


async def fill_order(ctx: Context, bread: str = "", count: int = 0) -> Order:
    """Fill in the order; leave out what is not known yet.

    bread: which bread
    count: how many
    """
    return await ctx.state("order").update(lambda order: Order(bread or order.bread, count or order.count))
'''


def write_template(folder: Path) -> list[Path]:
    """Write the template into ``folder`` and return the files. Raises ConfigError if one of them is there already."""
    files = {folder / "swarm.toml": _SWARM, folder / "tools.py": _TOOLS}
    for path in files:
        if path.exists():
            raise ConfigError(f"{path} is there already: name another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, content in files.items():
            path.write_text(content, "utf-8")
    except OSError as error:
        raise ConfigError(f"{folder} cannot be written: {error.strerror}") from error
    return list(files)
