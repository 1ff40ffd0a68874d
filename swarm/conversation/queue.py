"""The place of a conversation in the queue of an operator: its ticket, which follows the active agent."""

from typing import TYPE_CHECKING

from swarmchat.backends import Delete, Put
from swarmchat.swarm.common.encoding import decode_json
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.mailbox import Mail
from swarmchat.swarm.persistence.store import ChangeSet
from swarmchat.swarm.persistence.tickets import Ticket, new_ticket, parse_ticket, post, ring
from swarmchat.swarm.primitives.navigation import Navigation

if TYPE_CHECKING:
    from swarmchat.swarm.conversation.conversation import Conversation


class OperatorQueue:
    """The ticket of one conversation. Does nothing in a swarm without operators."""

    def __init__(self, conversation: "Conversation") -> None:
        self._conversation = conversation
        info, swarm = conversation.info, conversation.swarm
        self._key = keys.ticket(swarm.name, info.client, info.id)
        self._rings = False
        """Whether the last commit concerned an operator."""

    async def stage(self, changes: ChangeSet, navigation: Navigation, arguments: str = "{}") -> None:
        """Add to ``changes`` the navigation, and the ticket that it makes or ends.

        ``arguments`` are those of the call that hands over, as JSON.
        """
        conversation = self._conversation
        await conversation.primitives.staging(changes).navigation.set(navigation)
        if not conversation.swarm.operators or conversation.task is not None:
            return
        if conversation.swarm.agent(navigation.active).is_person:
            if navigation.active != conversation.agent.name:
                ticket = self._new(navigation, arguments)
                changes.write(Put(self._key, ticket.to_bytes(), conversation.settings.lifetimes.session))
        elif conversation.agent.is_person:
            changes.write(Delete(self._key))

    async def open(self) -> None:
        """Make the ticket of a session that was copied, or whose ticket the store has lost."""
        conversation, info = self._conversation, self._conversation.info
        if not conversation.agent.is_person or await conversation.backend.get(self._key) is not None:
            return
        if not await conversation.backend.length(keys.session_mailbox(info.client, info.id)):
            ticket = self._new(conversation.navigation, "{}")
            await conversation.backend.commit(
                Put(self._key, ticket.to_bytes(), conversation.settings.lifetimes.session)
            )
            await ring(conversation.backend, conversation.swarm.name)

    async def ticket(self) -> tuple[Ticket | None, bytes | None]:
        """Return the ticket and its stored form."""
        stored = await self._conversation.backend.get(self._key)
        return parse_ticket(stored), stored

    async def post(self, ticket: Ticket, stored: bytes, changed: Ticket | None, mail: Mail) -> None:
        """Put ``mail`` into the mailbox, and replace or remove the ticket; see ``tickets.post``."""
        conversation = self._conversation
        ttl = conversation.settings.lifetimes.session
        await post(conversation.backend, conversation.swarm.name, (ticket, stored), changed, mail, ttl)

    async def tell(self) -> None:
        """Wake the operators after a commit that may concern them."""
        concerns = self._conversation.agent.is_person
        if concerns or self._rings:
            await ring(self._conversation.backend, self._conversation.swarm.name)
        self._rings = concerns

    def _new(self, navigation: Navigation, arguments: str) -> Ticket:
        given = _texts(arguments)
        before = navigation.stack[-1] if navigation.stack else self._conversation.swarm.initial
        info = self._conversation.info
        return new_ticket(info.client, info.id, navigation.active, before, given["reason"], given["summary"])


def _texts(arguments: str) -> dict[str, str]:
    try:
        fields = decode_json(arguments.encode("utf-8", "replace"))
    except ValueError:
        fields = {}
    fields = fields if isinstance(fields, dict) else {}
    texts = {name: fields.get(name) for name in ("reason", "summary")}
    return {name: text[:_LONGEST] if isinstance(text, str) else "" for name, text in texts.items()}


_LONGEST = 2000
"""Characters of a reason and of a summary in a ticket."""
