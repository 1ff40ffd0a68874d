"""Messages of a turn while a person answers."""

from contextlib import suppress

from swarmchat.backends import BackendError
from swarmchat.swarm.conversation.conversation import Conversation
from swarmchat.swarm.conversation.events import PersonAwaited
from swarmchat.swarm.persistence.tickets import open_desks


async def person_awaited(conversation: Conversation) -> PersonAwaited:
    """Return the person who answers and the number of people; nobody if the store cannot be reached."""
    person, desks = "", 0
    with suppress(BackendError):
        ticket, _ = await conversation.queue.ticket()
        person = "" if ticket is None else ticket.taken_by
        desks = len(await open_desks(conversation.backend, conversation.swarm.name))
    can_come = bool(desks or not conversation.backend.url.startswith("memory:"))
    return PersonAwaited(conversation.agent.name, person, desks, can_come)
