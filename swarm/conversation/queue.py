"""The place of a conversation in the queue of an operator: its ticket, which follows the active agent."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from swarmchat.backends import Backend, Delete, Put
from swarmchat.swarm.agents.agent import Agent, Swarm
from swarmchat.swarm.common.draws import Draws
from swarmchat.swarm.common.encoding import decode_json
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.store import ChangeSet
from swarmchat.swarm.primitives.navigation import Navigation

if TYPE_CHECKING:
    from swarmchat.swarm.persistence.mailbox import Mail
    from swarmchat.swarm.persistence.tickets import Ticket


class OperatorTicket:
    """The ticket of one conversation. Does nothing, and loads nothing, in a swarm without operators."""

    def __init__(self, backend: Backend, swarm: Swarm, client: str, session: str, lifetime: float | None) -> None:
        self._backend, self._swarm, self._lifetime = backend, swarm, lifetime
        self._client, self._session = client, session
        self._key = keys.ticket(swarm.name, client, session)
        self._rings = False
        """Whether the last commit concerned an operator."""

    def stage(self, changes: ChangeSet, active: Agent, navigation: Navigation, arguments: str = "{}") -> None:
        """Add to ``changes`` what ``navigation`` means for the ticket, which ``active`` is left for.

        ``arguments`` are those of the call that hands over, as JSON.
        """
        if self._swarm.operators and navigation.active != active.name:
            if self._swarm.agent(navigation.active).is_person:
                changes.write(Put(self._key, self._new(navigation, arguments).to_bytes(), self._lifetime))
            elif active.is_person:
                changes.write(Delete(self._key))

    async def open(self, active: Agent, navigation: Navigation) -> None:
        """List the ticket; make it if the session was copied, or the store has lost or damaged it."""
        if not active.is_person:
            return
        waiting = keys.session_mailbox(self._client, self._session)
        if (await self.ticket())[0] is None and not await self._backend.length(waiting):
            ticket = self._new(navigation, "{}")
            await self._backend.commit(Put(self._key, ticket.to_bytes(), self._lifetime))
        await self.tell(active)

    def closed(self, active: Agent, draws: Draws) -> Mapping[str, str]:
        """Return the operators that ``active`` can hand over to but that are closed, with a sentence each."""
        if not self._swarm.operators:
            return {}
        from swarmchat.swarm.agents.operator import closed_operators

        return closed_operators(self._swarm, active, draws)

    async def ticket(self) -> "tuple[Ticket | None, bytes | None]":
        """Return the ticket and its stored form."""
        from swarmchat.swarm.persistence.tickets import parse_ticket

        stored = await self._backend.get(self._key)
        return parse_ticket(stored), stored

    async def post(self, ticket: "Ticket", stored: bytes, changed: "Ticket | None", mail: "Mail") -> None:
        """Put ``mail`` into the mailbox, and replace or remove the ticket; see ``tickets.post``."""
        from swarmchat.swarm.persistence.tickets import post

        await post(self._backend, self._swarm.name, (ticket, stored), changed, mail, self._lifetime)

    async def tell(self, active: Agent) -> None:
        """List the ticket and wake the operators after a commit that may concern them."""
        if active.is_person or self._rings:
            from swarmchat.swarm.persistence.tickets import refer, ring

            await refer(self._backend, self._swarm.name, self._client, self._session)
            await ring(self._backend, self._swarm.name)
        self._rings = active.is_person

    def _new(self, navigation: Navigation, arguments: str) -> "Ticket":
        from swarmchat.swarm.persistence.tickets import new_ticket

        texts = _texts(arguments)
        before = navigation.stack[-1] if navigation.stack else self._swarm.initial
        return new_ticket(self._client, self._session, navigation.active, before, texts["reason"], texts["summary"])


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
