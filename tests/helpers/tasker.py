"""A program that starts tasks in the background and takes their results, to be killed. Arguments: a store, a file.

It works as ``talker`` does; each number that it prints is the seq of a record that is stored. The file gets a line for
each task whose start was acknowledged.
"""

import asyncio
import itertools
import os
import sys

from chats import open_session, say
from swarmchat.backends import open_backend
from swarmchat.swarm import Agent, ScriptedModel, Session, Swarm
from swarmchat.swarm.context.tokens import counter_for

SWARM = Swarm("office", [Agent("front", "You answer."), Agent("worker", "You work.")])


async def slowly(request: object) -> str:
    await asyncio.sleep(0.01)
    return "fine"


async def start(session: Session, path: str) -> None:
    started = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for number in itertools.count():
        task = await session.tasks.start("worker", f"work {number}", wake=number % 4 == 0)
        os.write(started, f"{task}\n".encode())
        while len(session.tasks.running) > 3:
            await session.tasks.wait()


async def talk(session: Session) -> None:
    for number in itertools.count():
        await say(session, f"question {number}")
        os.write(1, b"%d\n" % session.records[-1].seq)
        async for _ in session.receive():
            pass


async def work(url: str, path: str) -> None:
    model = ScriptedModel([slowly] * 1_000_000)
    session = await open_session(open_backend(url), model, swarm=SWARM)
    await say(session, "hello")
    await asyncio.gather(start(session, path), talk(session))


if __name__ == "__main__":
    counter_for("scripted")
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            asyncio.run(work(*sys.argv[1:]))
        os.write(1, b"talker %d\n" % child)
        os.waitpid(child, 0)
        os.write(1, b"dead\n")
