"""A program that talks for ever and says what it has been told is stored: for killing. Argument: the URL of a store.

For each line on its input it forks a talker, so that fifty deaths cost one start-up. It prints the talker's process
id, the talker prints the seq of each record that it knows to be stored, and "dead" closes the talker's life.
"""

import asyncio
import itertools
import os
import sys

from chats import open_session, say
from swarmchat.backends import open_backend
from swarmchat.swarm.context.tokens import counter_for
from swarmchat.swarm.models.base import Answer, ModelRequest, ToolCall
from swarmchat.swarm.models.scripted import ScriptedModel
from swarmchat.swarm.session.session import Session


class Talker(ScriptedModel):
    """Before it answers, acknowledges what was stored before the request went out."""

    def __init__(self) -> None:
        super().__init__([self.answer] * 1_000_000, context_window=2000)
        self.session: Session | None = None

    def answer(self, request: ModelRequest) -> str | Answer:
        """Call a tool every third time, so that a kill may fall between a call and its result."""
        assert self.session is not None
        acknowledge(self.session)
        number = len(self.requests)
        if number % 3:
            return f"answer {number}"
        return Answer("let me see", (ToolCall(f"call_{number}", "look_up", "{}"),), "tool_calls")


def acknowledge(session: Session) -> None:
    os.write(1, b"%d\n" % session.records[-1].seq)


async def talk(url: str) -> None:
    model = Talker()
    model.session = await open_session(open_backend(url), model)
    for number in itertools.count():
        await say(model.session, f"question {number}")
        acknowledge(model.session)


counter_for("scripted")
for _ in sys.stdin:
    child = os.fork()
    if child == 0:
        asyncio.run(talk(sys.argv[1]))
    os.write(1, b"talker %d\n" % child)
    os.waitpid(child, 0)
    os.write(1, b"dead\n")
