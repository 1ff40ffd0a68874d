"""Ask a question in a session on disk; the second run continues the session of the first.

$ python examples/hello.py
Nothing yet: this is the first message that I was sent.

$ python examples/hello.py
I was sent these messages of yours, oldest first:

1. What did I say?
"""

import asyncio

from swarmchat.backends import open_backend
from swarmchat.swarm import DemoModel, Session, TextDelta


async def main() -> None:
    """Run one turn and print the answer as it comes."""
    backend = open_backend("disk:hello-sessions")
    model = DemoModel()
    try:
        async with await Session.open(backend, model, client="ann", name="hello") as session:
            async for event in session.run_turn("What did I say?"):
                if isinstance(event, TextDelta):
                    print(event.text, end="", flush=True)
            print()
    finally:
        await model.close()
        await backend.close()


if __name__ == "__main__":
    asyncio.run(main())
