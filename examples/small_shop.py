"""A shop with two agents, with the basket on disk or in Redis, beside the conversation."""

import asyncio

from pydantic import BaseModel
from swarmchat.swarm import Agent, Context, Model, Session, State, Swarm, TextDelta, tool


class Line(BaseModel):
    """A line of an order."""

    item: str
    count: int = 1


@tool
async def order(ctx: Context, lines: list[Line]) -> str:
    """Put lines into the basket."""
    return f"{len(await ctx.state(basket).update(lambda old: old + lines))} in the basket"


basket = State[list[Line]]("basket", list, type=list[Line])
sales = Agent("sales", "Take orders with your tool.", tools=[order], description="Takes orders.")
swarm = Swarm("shop", [Agent("desk", "Hand over buyers.", handoffs=[sales]), sales], states=[basket])


async def main(backend: str, model: Model | str, question: str) -> None:
    """Ask a question in the session ann, and print the answer as it comes."""
    async with Session.open(backend, model, swarm, name="ann") as session:
        async for event in session.run_turn(question):
            print(event.text if isinstance(event, TextDelta) else "", end="", flush=True)


if __name__ == "__main__":
    asyncio.run(main("disk:chats", "gpt-4o-mini", "Two teas, please"))
