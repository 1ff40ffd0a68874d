"""Ask for a typed answer: the model gets the schema, the answer is checked, and a wrong answer is requested again.

$ python examples/structured_output.py
tea costs 2.50
2 requests
"""

import asyncio

from pydantic import BaseModel, PositiveFloat
from swarmchat.swarm import Agent, ScriptedModel, Session


class Price(BaseModel):
    """What the model is to find in a text."""

    item: str
    price: PositiveFloat


async def main() -> None:
    """Read a price out of a sentence. The scripted model gets it wrong at first."""
    model = ScriptedModel(['{"item": "tea", "price": -1}', '{"item": "tea", "price": 2.5}'])
    async with Session.open("memory:", model, Agent("reader", "Find the price.")) as session:
        reply = await session.ask("Tea is two fifty today.", output=Price)
        print(f"{reply.output.item} costs {reply.output.price:.2f}")
    print(f"{len(model.requests)} requests")


if __name__ == "__main__":
    asyncio.run(main())
