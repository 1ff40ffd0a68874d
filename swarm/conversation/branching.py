"""Create the conversation of a task from the conversation in which it was started."""

from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from functools import partial

from swarmchat.swarm.agents.agent import Agent
from swarmchat.swarm.context.view import View
from swarmchat.swarm.conversation.conversation import Conversation
from swarmchat.swarm.conversation.steering import Steering
from swarmchat.swarm.conversation.task_branch import Branch
from swarmchat.swarm.persistence.records import Record
from swarmchat.swarm.persistence.store import ChangeSet
from swarmchat.swarm.primitives.navigation import Navigation


def new_task(giver: Conversation) -> str:
    """Return the id of the next task of ``giver``: that of the turn or task that it belongs to, and a number."""
    return giver.order.new_id(str(giver.journal.highest_turn) if giver.task is None else giver.task.id)


def branch_off(giver: Conversation, agent: Agent, task: str, call: str) -> tuple[Conversation, Branch]:
    """Return a conversation of ``agent`` that begins with nothing, and its journal.

    It is for the task with the id ``task``, which the call ``call`` gives; all else it shares with ``giver``.
    """
    store = partial(_store, giver) if giver.task is None else giver.task.store
    child = copy(giver)
    branch = child.task = child.journal = Branch(giver.journal, store, giver.order, giver.task, task, call)
    # The user does not talk to it, and is not handed over.
    child.agent, child.navigation = replace(agent, handoffs=()), Navigation(agent.name)
    child.view = View(branch.log, agent.name)
    child.last_request = child.last_tool_error = None
    # What the user says to the running turn is for the agent that the user talks to.
    child.steering = Steering()
    child.draws, child.trace = child.new_draws(), giver.trace.of_task()
    return child, branch


async def _store(session: Conversation, records: Sequence[Record], changes: ChangeSet | None, keep: bool) -> None:
    """Store the records of a task in the log of ``session``; see ``Store``."""
    batch = session.batch()
    for record in records:
        batch.append(record)
    await session.commit_in_step(batch, changes, keep=keep)
