"""A program that sends messages to a session and receives them, for ever: for killing. Arguments: a store, a file.

It works as ``talker`` does; each number that it prints is the seq of a record with a message. The file gets a line for
each message that was acknowledged to the sender.
"""

import asyncio
import itertools
import os
import sys

from chats import open_session
from swarmchat.backends import open_backend
from swarmchat.swarm import MailReceived, ScriptedModel, tell
from swarmchat.swarm.context.tokens import counter_for


async def send(url: str, path: str) -> None:
    backend = open_backend(url)
    told = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for number in itertools.count():
        text = f"{os.getpid()}-{number}"
        await tell(backend, "ann", "s", text, wake=number % 5 == 0)
        os.write(told, f"{text}\n".encode())
        await asyncio.sleep(0.01)


async def receive(url: str) -> None:
    session = await open_session(open_backend(url), ScriptedModel(["fine"] * 1_000_000))
    while await session.wait_for_mail():
        async for event in session.receive():
            if isinstance(event, MailReceived):
                os.write(1, b"%d\n" % session.records[-1].seq)


async def work(url: str, path: str) -> None:
    await asyncio.gather(receive(url), send(url, path))


counter_for("scripted")
for _ in sys.stdin:
    child = os.fork()
    if child == 0:
        asyncio.run(work(*sys.argv[1:]))
    os.write(1, b"talker %d\n" % child)
    os.waitpid(child, 0)
    os.write(1, b"dead\n")
