"""A program that asks one question, stops itself as a machine that sleeps would, and goes on when it is continued.

Arguments: the URL of a store, the lifetime of a session in seconds. Its lease is half a second. Prints the answer or
the name of the error for each question, then the questions in the log while the session is still open.
"""

import asyncio
import os
import signal
import sys

from chats import open_session, say, text_of
from swarmchat.backends import open_backend
from swarmchat.swarm.errors import SwarmError
from swarmchat.swarm.models.scripted import ScriptedModel
from swarmchat.swarm.persistence.records import parse_record
from swarmchat.swarm.persistence.store import Lifetimes


async def main(url: str, lifetime: float) -> None:
    backend = open_backend(url)
    model = ScriptedModel(["one", "two", "three"])
    session = await open_session(backend, model, lease=0.5, lifetimes=Lifetimes(session=lifetime))
    for question in ("first", "second", "third"):
        try:
            print(text_of(await say(session, question)), flush=True)
        except SwarmError as error:
            print(type(error).__name__, flush=True)
        if question == "first":
            os.kill(os.getpid(), signal.SIGSTOP)
    records = [parse_record(line) for line in await backend.slice(session.conversation.journal.log.key, 0)]
    assert [record.seq for record in records] == list(range(len(records)))
    print(*(record.message["content"] for record in records if record.type == "user"), sep=", ")
    await session.close()
    await backend.close()


asyncio.run(main(sys.argv[1], float(sys.argv[2])))
