"""Tools of the bakery: plain functions. The model sees their signatures and docstrings."""

from dataclasses import dataclass

from swarmchat.swarm import Context


@dataclass
class Order:
    """The order, as far as it is known."""

    bread: str = ""
    count: int = 0


async def find_bread(ctx: Context, about: str) -> str:
    """Find the bread that fits a description best.

    about: what the customer is looking for
    """
    breads = await ctx.storage("breads").take(about)
    return f"{breads[0]['name']}, {breads[0]['price']:.2f}" if breads else "nothing of the kind"


async def fill_order(ctx: Context, bread: str = "", count: int = 0) -> Order:
    """Fill in the order; leave out what is not known yet.

    bread: which bread
    count: how many
    """
    order: Order = await ctx.state("order").update(lambda old: Order(bread or old.bread, count or old.count))
    return order
