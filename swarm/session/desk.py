"""The desk of an operator, a person who takes over conversations from agents, in a separate process."""

import secrets
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

from swarmchat.backends import Backend, BackendError, Conflict, Lease, LeaseLost, Truncate
from swarmchat.swarm.agents.agent import Swarm
from swarmchat.swarm.common.cancellation import run_to_completion
from swarmchat.swarm.common.encoding import clean_text, encode_json
from swarmchat.swarm.common.heartbeat import Heartbeat
from swarmchat.swarm.conversation.primitives import Primitives
from swarmchat.swarm.errors import DefinitionError, MailError, SessionBusy
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.lease import SessionLease
from swarmchat.swarm.persistence.log import record_at
from swarmchat.swarm.persistence.mailbox import MAX_MESSAGE, Mail, new_act
from swarmchat.swarm.persistence.records import Record, timestamp
from swarmchat.swarm.persistence.session_index import find_session
from swarmchat.swarm.persistence.store import Lifetimes
from swarmchat.swarm.persistence.tickets import Ticket, list_desk, list_tickets, parse_ticket, post, ring
from swarmchat.swarm.session.operator_watch import is_abandoned
from swarmchat.swarm.tools.context import ArgumentsError
from swarmchat.swarm.tools.tool import Tool

_LEASE = 30.0
"""Seconds until a conversation waits again whose operator's process has died on another machine."""
_SCAN = 600.0
"""Seconds between two scans for tickets that the index lacks, as a process died before it listed them."""


class OperatorDesk:
    """The desk at which ``person`` takes over conversations of ``swarm``. Use it with ``async with``.

    ``operator`` is the operator of the swarm whose conversations are shown; ``None``: all of them. ``lifetimes`` are
    those of the sessions in this store.
    """

    def __init__(
        self,
        backend: Backend,
        swarm: Swarm,
        person: str,
        operator: str | None = None,
        lifetimes: Lifetimes | None = None,
        lease: float = _LEASE,
    ) -> None:
        if not swarm.operators:
            raise DefinitionError(f"swarm {swarm.name!r} has no operators: add Operator(…), or [operators.NAME]")
        if operator is not None and not swarm.agent(operator).is_person:
            raise DefinitionError(f"{operator!r} of swarm {swarm.name!r} is an agent, not an operator")
        self.backend, self.swarm, self.person = backend, swarm, clean_text(person)
        self.lifetimes = lifetimes or Lifetimes()
        self.lease = lease
        self._operator = operator
        self._id = secrets.token_hex(8)
        self._next_scan = 0.0
        self.unreadable = 0
        """How many tickets could not be read when they were listed last; each is written anew with its session."""
        self._shown: Lease | None = None
        self._heartbeat = Heartbeat(self._renew, lease / 3, "desk")

    async def __aenter__(self) -> "OperatorDesk":
        self._shown = await self.backend.acquire(keys.desk(self._id), self.person.encode(), self.lease)
        await list_desk(self.backend, self.swarm.name, self._id)
        self._heartbeat.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._heartbeat.stop()
        if self._shown is not None:
            with suppress(BackendError):
                await run_to_completion(self.backend.release(self._shown))

    async def tickets(self) -> list[Ticket]:
        """Return the conversations that are waiting or taken, longest wait first.

        Most calls read the index. The first call, and one every ten minutes, scans the store for missing tickets.
        """
        scan = time.monotonic() >= self._next_scan
        listed, self.unreadable = await list_tickets(self.backend, self.swarm.name, scan=scan)
        if scan:
            self._next_scan = time.monotonic() + _SCAN
        tickets = []
        for ticket in listed:
            if self._operator in (None, ticket.operator):
                left = ticket.taken_by and await is_abandoned(self.backend, ticket)
                tickets.append(replace(ticket, taken_by="") if left else ticket)
        return tickets

    async def wait(self, timeout: float) -> bool:
        """Wait, at most ``timeout`` seconds, until something has changed; return whether it has."""
        bell = keys.desk_bell(self._id)
        rang = await self.backend.wait(bell, timeout)
        if rang:
            await self.backend.commit(Truncate(bell, 0))
        return rang

    async def take(self, client: str, session: str) -> "OperatorCase":
        """Take a conversation by its client and id. Raises SessionBusy if another operator has it, and MailError."""
        lease = SessionLease(self.backend, keys.operator_lease(client, session), self.lease)
        try:
            await lease.acquire(session)
        except SessionBusy:
            raise SessionBusy("another operator has taken this conversation: take another one") from None
        case = OperatorCase(self, client, session, lease)
        try:
            await case.join()
        except BaseException:
            await run_to_completion(lease.release())
            raise
        return case

    async def _renew(self) -> None:
        if self._shown is not None and not await self.backend.renew(self._shown):
            self._shown = await self.backend.acquire(keys.desk(self._id), self.person.encode(), self.lease)
            await list_desk(self.backend, self.swarm.name, self._id)


class OperatorCase:
    """A conversation taken by an operator. ``OperatorDesk.take`` returns it; ``give_back`` or ``leave`` ends it."""

    def __init__(self, desk: OperatorDesk, client: str, session: str, lease: SessionLease) -> None:
        self._desk = desk
        self._lease = lease
        self._read = 0
        self.client, self.session = client, session
        self.sent: set[str] = set()
        """The ids of the messages and calls of this desk, which the log repeats."""

    async def primitives(self) -> Primitives:
        """Return the client's states and memory, read-only."""
        desk = self._desk
        primitives = Primitives(desk.swarm, desk.backend, desk.lifetimes, self.client, self.session)
        head = await desk.backend.slice(keys.session_log(self.client, self.session), 0, 1)
        await primitives.begin_as([record for line in head if (record := record_at(line, 0)) is not None])
        return primitives

    async def skip_to_last(self, count: int) -> None:
        """Let ``new_records`` start with the last ``count`` records."""
        length = await self._desk.backend.length(keys.session_log(self.client, self.session))
        self._read = max(0, length - count)

    async def join(self) -> None:
        """Tell the client that the person is here. Raises MailError if the client has gone back meanwhile."""
        ticket, stored = await self._stored()
        mail = new_act("joined", "", self._desk.person, ticket.operator)
        await self._post(ticket, stored, replace(ticket, taken_by=self._desk.person), mail)
        # What the client sees next comes from the mailbox; the other desks see the ticket.
        await ring(self._desk.backend, self._desk.swarm.name)

    async def say(self, text: str) -> None:
        """Answer the client. Raises MailError if the operator no longer has the conversation."""
        if not text.strip() or len(text) > MAX_MESSAGE:
            raise MailError(f"the message has {len(text):,} characters, expected 1 to {MAX_MESSAGE:,}")
        ticket, stored = await self._stored()
        await self._post(ticket, stored, ticket, new_act("said", text, self._desk.person, ticket.operator))

    async def call(self, name: str, arguments: Mapping[str, Any]) -> None:
        """Let the client's process call a tool; its result appears in the log. Raises MailError."""
        tool = operator_tool(self._desk.swarm, name)
        try:
            tool.read_arguments(encode_json(dict(arguments)).decode())
        except ArgumentsError as error:
            raise MailError(f"{name}: {error}") from None
        ticket, stored = await self._stored()
        text = f"{name}({encode_json(dict(arguments)).decode()})"
        call = {"name": tool.name, "arguments": dict(arguments)}
        mail = new_act("called", text, self._desk.person, ticket.operator, call=call)
        await self._post(ticket, stored, ticket, mail)

    async def give_back(self, note: str = "", agent: str | None = None) -> str:
        """Hand the conversation back to ``agent``, by default the previous agent; return its name.

        Raises MailError, and DefinitionError for an unknown agent.
        """
        ticket, stored = await self._stored()
        target = self._desk.swarm.agent(agent or ticket.agent)
        if target.is_person:
            raise MailError(f"{target.name!r} is an operator: give the conversation back to an agent")
        await self._post(ticket, stored, None, new_act("back", note, self._desk.person, target.name, wake=True))
        await self.drop()
        return target.name

    async def leave(self) -> None:
        """Return the conversation to the queue, for another operator. Raises MailError."""
        ticket, stored = await self._stored()
        waiting = replace(ticket, taken_by="", since=timestamp(datetime.now(UTC)))
        await self._post(ticket, stored, waiting, new_act("left", "", self._desk.person, ticket.operator))
        await self.drop()
        await ring(self._desk.backend, self._desk.swarm.name)

    async def drop(self) -> None:
        """Release the lease, for example when the client has gone back."""
        await run_to_completion(self._lease.release())

    async def is_client_here(self) -> bool:
        """Whether the client has the session open now."""
        key = keys.alive(self._desk.swarm.name, self.client, self.session)
        return await self._desk.backend.get(key) is not None

    async def is_mine(self) -> bool:
        """Whether the conversation is still with this operator."""
        stored = await find_ticket(self._desk.backend, self._desk.swarm.name, self.client, self.session)
        return stored is not None and stored[0].taken_by == self._desk.person

    async def new_records(self) -> AsyncIterator[Record]:
        """Yield the records of the log that were not yielded before."""
        key = keys.session_log(self.client, self.session)
        for line in await self._desk.backend.slice(key, self._read):
            self._read += 1
            if (record := record_at(line, self._read - 1)) is not None:
                yield record

    async def _stored(self) -> tuple[Ticket, bytes]:
        ticket = await find_ticket(self._desk.backend, self._desk.swarm.name, self.client, self.session)
        if ticket is None:
            raise _gone()
        return ticket

    async def _post(self, ticket: Ticket, stored: bytes, changed: Ticket | None, mail: Mail) -> None:
        desk = self._desk
        info = await find_session(desk.backend, self.client, self.session)
        if info is None:
            raise _gone()
        try:
            ttl, lease = desk.lifetimes.session, self._lease.lease
            await post(desk.backend, desk.swarm.name, (ticket, stored), changed, mail, ttl, lease)
            self.sent.add(mail.id)
        except LeaseLost:
            raise MailError("another operator may have taken this conversation meanwhile: take it again") from None
        except Conflict:
            raise _gone() from None


def operator_tool(swarm: Swarm, name: str) -> Tool:
    """Return the tool ``name`` of the operators or agents of ``swarm``. Raises MailError."""
    tools = {tool.name: tool for agent in swarm.agents for tool in agent.own_tools if not tool.gives_task}
    if name not in tools:
        raise MailError(f"unknown tool {name!r}; available: {', '.join(sorted(tools)) or 'none'}")
    return tools[name]


async def find_ticket(backend: Backend, swarm: str, client: str, session: str) -> tuple[Ticket, bytes] | None:
    """Return the ticket of a session and its stored form."""
    stored = await backend.get(keys.ticket(swarm, client, session))
    ticket = parse_ticket(stored)
    return None if ticket is None or stored is None else (ticket, stored)


def _gone() -> MailError:
    return MailError("the client has gone back to an agent, or the session is gone: list the waiting users with /list")
