"""Tickets: the sessions of a swarm that wait for an operator or have one, and the desks of the operators.

A ticket is in the hash slot of its client, so the commit of the handoff can also write it. A shared index refers to the
tickets, so a desk reads no other keys. A shared list names the desks; each desk has a list, its bell, that wakes it.
"""

import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from swarmchat.backends import (
    Append,
    Backend,
    BackendError,
    Conflict,
    Delete,
    Expect,
    ExpectLength,
    Lease,
    Put,
    Truncate,
    Write,
)
from swarmchat.swarm.common.cancellation import run_to_completion
from swarmchat.swarm.common.encoding import decode_json, encode_json
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.mailbox import Mail
from swarmchat.swarm.persistence.records import timestamp
from swarmchat.swarm.persistence.session_index import stored_swarms

_BELL = 60.0
"""Seconds for which a bell that nobody hears is kept."""
_ATTEMPTS = 100

_Reference = tuple[str, str, str]
"""The client, the session and the nonce of a ticket."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """A session that waits for an operator, or has one."""

    client: str
    session: str
    operator: str
    """The operator of the swarm that it was handed over to."""
    since: str
    """Since when it waits, UTC."""
    agent: str = ""
    """The agent before, to which it goes back."""
    reason: str = ""
    summary: str = ""
    taken_by: str = ""
    """The person who has taken it; empty while it waits."""
    nonce: str = ""

    def to_bytes(self) -> bytes:
        """Return the stored form."""
        return encode_json(asdict(self))

    @property
    def waiting_since(self) -> datetime:
        """Since when it waits."""
        with suppress(ValueError, OverflowError):
            # A time without a zone is none of ours: a damaged ticket.
            return datetime.fromisoformat(self.since).astimezone(UTC)
        return datetime.now(UTC)


def new_ticket(client: str, session: str, operator: str, agent: str, reason: str = "", summary: str = "") -> Ticket:
    """Return the ticket of a session that begins to wait now."""
    since = timestamp(datetime.now(UTC))
    return Ticket(client, session, operator, since, agent, reason, summary, nonce=secrets.token_hex(8))


def parse_ticket(stored: bytes | None) -> Ticket | None:
    """Return the ticket that is ``stored``; ``None`` if it is missing or cannot be read."""
    try:
        ticket = Ticket(**decode_json(stored or b""))
    except (ValueError, TypeError):
        return None
    return ticket if all(isinstance(text, str) for text in asdict(ticket).values()) else None


async def list_tickets(backend: Backend, swarm: str, *, scan: bool) -> tuple[list[Ticket], int]:
    """Return the tickets of a swarm, those that wait longest first, and the number of those that cannot be read.

    References to missing tickets are removed, and so are the tickets of deleted sessions. Those of sessions that are
    with another swarm now are left out. With
    ``scan``, look at all keys of the tickets, also at those that the index lacks, and add these to it.
    """
    values = {key: value async for key, value in backend.scan(keys.tickets(swarm))} if scan else {}
    unreadable = {key for key, value in values.items() if parse_ticket(value) is None}
    by_reference = {_reference(ticket): ticket for ticket in map(parse_ticket, values.values()) if ticket is not None}
    listed = _parse_index(await backend.get(keys.ticket_index(swarm)))
    others = [each for each in listed if each not in by_reference]
    stored = await backend.get_many([keys.ticket(swarm, *each[:2]) for each in others]) if others else []
    missing = set()
    for each, value in zip(others, stored, strict=True):
        ticket = parse_ticket(value)
        # A ticket is stored before its reference, and no nonce is used twice: a missing one never appears again.
        if ticket is None and value is not None:
            unreadable.add(keys.ticket(swarm, *each[:2]))
        elif ticket is None or _reference(ticket) != each:
            missing.add(each)
        else:
            by_reference[each] = ticket

    def repaired(index: list[_Reference]) -> list[_Reference]:
        present = [each for each in index if each not in missing]
        return present + [each for each in by_reference if each not in index]

    with suppress(BackendError):
        await _change_index(backend, swarm, repaired)
    swarms = await stored_swarms(backend, [each[:2] for each in by_reference])
    with_swarm = list(zip(by_reference.values(), swarms, strict=True))
    for ticket in [ticket for ticket, its_swarm in with_swarm if its_swarm is None]:
        with suppress(BackendError):
            await post(backend, swarm, (ticket, ticket.to_bytes()), None, None)
    tickets = [ticket for ticket, its_swarm in with_swarm if its_swarm == swarm]
    return sorted(tickets, key=lambda each: each.since), len(unreadable)


async def refer(backend: Backend, swarm: str, client: str, session: str) -> None:
    """Make the index refer to the ticket of a session as it is now. Call it after the commit that writes the ticket.

    A process that dies in between leaves a ticket without reference, or the other way round: ``list_tickets`` repairs
    both, and so does the next call. So a failure of the store is no error.
    """
    with suppress(BackendError):
        ticket = parse_ticket(await backend.get(keys.ticket(swarm, client, session)))
        entries = [] if ticket is None else [_reference(ticket)]

        def changed(index: list[_Reference]) -> list[_Reference]:
            same = [each for each in index if each[:2] == (client, session)]
            return index if same == entries else [each for each in index if each not in same] + entries

        await _change_index(backend, swarm, changed)


def _reference(ticket: Ticket) -> _Reference:
    return ticket.client, ticket.session, ticket.nonce


def _parse_index(stored: bytes | None) -> list[_Reference]:
    try:
        rows = decode_json(stored or b"[]")
        return [(str(client), str(session), str(nonce)) for client, session, nonce in rows]
    except (ValueError, TypeError):
        # The next scan lists the tickets again.
        return []


async def _change_index(backend: Backend, swarm: str, change: Callable[[list[_Reference]], list[_Reference]]) -> None:
    """Replace the index by ``change(index)``; repeat while other processes are faster."""
    key = keys.ticket_index(swarm)
    for _ in range(_ATTEMPTS):
        stored = await backend.get(key)
        index = _parse_index(stored)
        changed = change(index)
        if changed == index:
            return
        with suppress(Conflict):
            # One value, not a list: the length of a list may be the same again after two changes.
            write = Put(key, encode_json(changed)) if changed else Delete(key)
            await run_to_completion(backend.commit(Expect(key, stored), write))
            return


async def post(
    backend: Backend,
    swarm: str,
    stored: tuple[Ticket, bytes],
    changed: Ticket | None,
    mail: Mail | None,
    ttl: float | None = None,
    lease: Lease | None = None,
) -> None:
    """Put ``mail`` into the mailbox of the session, and replace or remove its ticket, in one commit.

    Raises Conflict if the ticket is not as ``stored`` any more, LeaseLost, and the backend's errors.
    """
    ticket, value = stored
    key, mailbox = (
        keys.ticket(swarm, ticket.client, ticket.session),
        keys.session_mailbox(ticket.client, ticket.session),
    )
    writes: list[Write] = [Expect(key, value), Delete(key) if changed is None else Put(key, changed.to_bytes(), ttl)]
    if mail is not None:
        writes.append(Append(mailbox, (mail.to_bytes(),), ttl))
    await run_to_completion(backend.commit(*writes, lease=lease))


async def open_desks(backend: Backend, swarm: str) -> list[tuple[str, str]]:
    """Return the ids of the desks that are open now, each with the name of the person."""
    ids = [each.decode("utf-8", "replace") for each in await backend.slice(keys.desks(swarm), 0)]
    names = await backend.get_many([keys.desk(each) for each in ids]) if ids else []
    return [(each, name.decode("utf-8", "replace")) for each, name in zip(ids, names, strict=True) if name is not None]


async def ring(backend: Backend, swarm: str) -> None:
    """Wake the desks of a swarm. A failure costs only time: a desk also looks by itself."""
    with suppress(BackendError):
        desks = await open_desks(backend, swarm)
        if desks:
            await backend.commit(*(Append(keys.desk_bell(desk), (b"1",), _BELL) for desk, _ in desks))


async def list_desk(backend: Backend, swarm: str, desk: str) -> None:
    """Add a desk to the list, in place of those that are no longer open."""
    key = keys.desks(swarm)
    for _ in range(_ATTEMPTS):
        stored = await backend.length(key)
        listed = [each.encode() for each, _ in await open_desks(backend, swarm) if each != desk]
        with suppress(Conflict):
            writes = Truncate(key, 0), Append(key, (*listed, desk.encode()))
            await backend.commit(ExpectLength(key, stored), *writes)
            return
