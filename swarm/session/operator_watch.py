"""Enforce the timeout of users who wait for an operator."""

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

from swarmchat.backends import Backend, Conflict
from swarmchat.swarm.agents.operator import Operator
from swarmchat.swarm.conversation.conversation import Conversation
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.lease import parse_holder
from swarmchat.swarm.persistence.mailbox import new_act
from swarmchat.swarm.persistence.records import timestamp
from swarmchat.swarm.persistence.tickets import Ticket, refer, ring

_LOOK = 15.0
"""Seconds between two looks whether the process of an operator still runs, and whether the hours have ended."""


async def watch_ticket(conversation: Conversation) -> float:
    """Give the conversation back if nobody came in time, and let it wait again if the operator's process is gone.

    Returns the seconds until the next look.
    """
    ticket, stored = await conversation.queue.ticket()
    operator = conversation.agent
    if ticket is None or stored is None or not isinstance(operator, Operator):
        return _LOOK
    # The store may have failed when the ticket was to be listed.
    await refer(conversation.backend, conversation.swarm.name, ticket.client, ticket.session)
    if ticket.taken_by:
        await _replace_lost_operator(conversation, ticket, stored)
        return _LOOK
    now = datetime.now(UTC)
    left = operator.timeout - (now - ticket.waiting_since).total_seconds()
    if operator.is_open(now) and left > 0:
        return min(left, _LOOK)
    waited = f"{operator.timeout / 60:g} min" if operator.timeout >= 60 else f"{operator.timeout:g} s"
    why = f"nobody from {operator.name} came within {waited}" if operator.is_open(now) else operator.closed_text
    mail = new_act("closed", why, operator.name, ticket.agent, wake=True)
    with suppress(Conflict):
        await conversation.queue.post(ticket, stored, None, mail)
    return _LOOK


async def is_abandoned(backend: Backend, ticket: Ticket) -> bool:
    """Whether the process of the operator who has taken ``ticket`` is gone."""
    lease = await backend.get(keys.operator_lease(ticket.client, ticket.session))
    holder = parse_holder(lease)
    return lease is None or (holder is not None and holder.is_dead)


async def _replace_lost_operator(conversation: Conversation, ticket: Ticket, stored: bytes) -> None:
    if not await is_abandoned(conversation.backend, ticket):
        return
    waiting = replace(ticket, taken_by="", since=timestamp(datetime.now(UTC)))
    mail = new_act("left", "The connection was lost.", ticket.taken_by, ticket.operator)
    with suppress(Conflict):
        await conversation.queue.post(ticket, stored, waiting, mail)
        await ring(conversation.backend, conversation.swarm.name)
