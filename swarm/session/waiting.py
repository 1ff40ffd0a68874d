"""Wait for messages from outside: ``Session.wait_for_mail``."""

import time

from swarmchat.swarm.conversation.conversation import Conversation
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.turn.mail import to_react_to


async def wait_for_mail(conversation: Conversation, timeout: float) -> bool:
    """Wait until there is something to receive; see ``Session.wait_for_mail``."""
    info, backend = conversation.info, conversation.backend
    mailbox, end = keys.session_mailbox(info.client, info.id), time.monotonic() + timeout
    while to_react_to(conversation.journal.log.records) is None:
        pause = timeout
        if conversation.agent.is_person:
            from swarmchat.swarm.session.operator_watch import watch_ticket

            pause = await watch_ticket(conversation)
        left = end - time.monotonic()
        if await backend.wait(mailbox, max(0.0, min(left, pause))):
            return True
        if left <= pause:
            return False
    return True
