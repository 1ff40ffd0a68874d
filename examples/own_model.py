"""Write your own model: two properties and two methods.

$ python examples/own_model.py
you: a stitch in time
parrot: EMIT NI HCTITS A
"""

import asyncio
from collections.abc import AsyncGenerator

from swarmchat.backends import open_backend
from swarmchat.swarm import Agent, Answer, ModelEvent, ModelRequest, Session, TextChunk, TurnEnded


class Parrot:
    """Says the last message backwards."""

    name = "parrot"
    context_window = 4_000

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Yield the answer in two pieces, then the whole answer at the end."""
        text = str(request.decoded_messages()[-1]["content"])[::-1].upper()
        half = len(text) // 2
        yield TextChunk(text[:half])
        yield TextChunk(text[half:])
        yield Answer(text=text)

    async def close(self) -> None:
        """Release resources: this model has none."""


async def main() -> None:
    """Run one turn and print the whole answer when it is stored."""
    backend = open_backend("memory:")
    async with await Session.open(backend, Parrot(), client="ann", swarm=Agent("parrot", "")) as session:
        question = "a stitch in time"
        print(f"you: {question}")
        async for event in session.run_turn(question):
            if isinstance(event, TurnEnded):
                print(f"{session.agent.name}: {event.text}")
    await backend.close()


if __name__ == "__main__":
    asyncio.run(main())
