"""Ask a question in a session on disk; the second run continues the session of the first.

$ python examples/hello.py
Nothing yet: this is the first message that I was sent.

$ python examples/hello.py
I was sent these messages of yours, oldest first:

1. What did I say?
"""

import asyncio

from swarmchat.swarm import Session


async def main() -> None:
    """Run one turn and print the answer."""
    async with Session.open("disk:hello-sessions", "demo", name="hello") as session:
        reply = await session.ask("What did I say?")
        print(reply.text)


if __name__ == "__main__":
    asyncio.run(main())
