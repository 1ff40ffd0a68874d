"""Store a whole session in steps: a process may die at any moment, and the next one continues."""

import json
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, replace
from itertools import count
from typing import Literal

from swarmchat.backends import Append, Backend, Conflict, Delete, Expect, Lease, LeaseLost, Truncate, Write
from swarmchat.swarm.archive.log_summary import StoredState, read_stored_state
from swarmchat.swarm.common.cancellation import run_to_completion
from swarmchat.swarm.errors import BadRecord, SessionBusy
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.lease import Holder, SessionLease, parse_holder
from swarmchat.swarm.persistence.records import parse_record
from swarmchat.swarm.persistence.session_index import SessionInfo, list_sessions


@dataclass(frozen=True)
class SessionSnapshot:
    """A whole session. ``read`` yields its lines from the first on, the same ones each time."""

    info: SessionInfo
    """Its entry in the list; where that id or name is taken, it gets another."""
    stored_state: StoredState
    count: int
    """How many lines it has."""
    digest: str
    """The same for the same content, and for no other."""
    read: Callable[[], AsyncIterator[bytes]]
    converted: bool = False
    """Whether the lines were made from another program's file, so that its digest tells whether it is there."""


def reader(lines: Callable[[], Iterable[bytes]]) -> Callable[[], AsyncIterator[bytes]]:
    """Return ``lines`` as what Incoming reads."""

    async def read() -> AsyncIterator[bytes]:
        for line in lines():
            yield line

    return read


Status = Literal["stored", "resumed", "continued", "there", "taken"]

_FOR_EVER = 10 * 366 * 86400.0

_LEASE = 30.0

_ATTEMPTS = 20

_LOOK = 500


@dataclass(frozen=True)
class Pieces:
    """How much goes out in one commit."""

    lines: int = 500
    bytes: int = 2 * 1024 * 1024


@dataclass(frozen=True)
class Stored:
    """What became of a session: under which entry it is there, and what was done.

    ``stored``, or ``resumed`` where an interrupted import had stored a part; ``continued``: it was there and had not
    come as far; ``there``: nothing was to do; ``taken``: the one name that it may have belongs to another.
    """

    info: SessionInfo
    status: Status


@dataclass(frozen=True)
class _Place:
    """Where a session can go: the entry, how much of it is there, and whose lease is on it that can be taken over."""

    info: SessionInfo
    common: int
    visible: bool = False
    complete: bool = False
    held_by: bytes | None = None


class SessionWriter:
    """Stores sessions of ``client``. ``ttl`` is how long they are kept; ``progress`` is told what was stored."""

    def __init__(
        self,
        backend: Backend,
        client: str,
        ttl: float | None = None,
        *,
        progress: Callable[[int], None] = lambda lines: None,
        pieces: Pieces | None = None,
    ) -> None:
        self._backend = backend
        self._client = client
        self._ttl = ttl
        self._progress = progress
        self._pieces = pieces or Pieces()
        self._names: dict[str, str] | None = None
        """The ids of the sessions that there are, by name."""

    async def store(self, incoming: SessionSnapshot, *, name: str | None = None) -> Stored:
        """Store ``incoming``, under ``name`` if given, and nothing twice.

        Without one, a name that is taken by another session gets a number behind it. Raises SessionBusy when another
        process has that session open or is storing it, and the backend's errors.
        """
        for _ in range(_ATTEMPTS):
            place = await self._find_place(incoming, name)
            if place is None:
                return Stored(incoming.info, "taken")
            if place.complete:
                self._progress(incoming.count)
                return Stored(place.info, "there")
            self._progress(place.common)
            try:
                if place.visible:
                    await self._continue(incoming, place)
                    status: Status = "continued"
                else:
                    await self._write_new(incoming, place)
                    status = "resumed" if place.common else "stored"
            except Conflict:
                # Somebody was faster: look again at what is there.
                self._names = None
                continue
            except LeaseLost as error:
                raise SessionBusy(f"session {place.info.name!r} is now being stored by another process") from error
            (await self._known())[place.info.name] = place.info.id
            return Stored(place.info, status)
        raise SessionBusy(f"session {incoming.info.name!r} is being changed by others all the time: try again later")

    async def _known(self) -> dict[str, str]:
        if self._names is None:
            self._names = {info.name: info.id for info in await list_sessions(self._backend, self._client)}
        return self._names

    async def _find_place(self, incoming: SessionSnapshot, name: str | None) -> _Place | None:
        if name is not None:
            return await self._place(incoming, replace(incoming.info, client=self._client, id=name, name=name))
        for number in count(1):
            suffix = "" if number == 1 else f"-{number}"
            info = incoming.info
            info = replace(info, client=self._client, id=info.id + suffix, name=info.name + suffix)
            if place := await self._place(incoming, info):
                return place
        raise AssertionError("numbers do not end")

    async def _place(self, incoming: SessionSnapshot, info: SessionInfo) -> _Place | None:
        """Return how ``incoming`` can be stored as ``info``; ``None`` if that id or name is another session's."""
        log = keys.session_log(self._client, info.id)
        entry = await self._backend.get(keys.session_index(self._client, info.id))
        there = await self._backend.length(log)
        if entry is not None:
            common = await self._common(log, incoming)
            same = common == min(there, incoming.count) or await self._was_made_from(log, incoming)
            if not same or not there:
                return None
            complete = incoming.converted or there >= incoming.count
            return _Place(info, common, visible=True, complete=complete)
        if (await self._known()).get(info.name, info.id) != info.id:
            return None
        stored = await self._backend.get(keys.session_lease(self._client, info.id))
        holder = parse_holder(stored) if stored is not None else None
        of = holder.unfinished if holder else None
        if holder is None or of is None:
            if there:
                # A log that is in no list, and that nobody is storing, is none of ours to touch.
                return None
            if holder is not None and not holder.is_dead:
                raise SessionBusy(f"session {info.name!r} is open in process {holder.pid}: close it there first")
            return _Place(info, 0, held_by=stored)
        common = await self._common(log, incoming)
        if of != incoming.digest and not (holder.has_stopped and common == there):
            return None
        if holder.is_running:
            raise SessionBusy(f"session {info.name!r} is being stored by process {holder.pid}: wait for it")
        return _Place(info, common, held_by=stored)

    async def _common(self, log: str, incoming: SessionSnapshot) -> int:
        """Return how many lines from the first on are the same."""
        position = 0
        stored: list[bytes] = []
        async for line in incoming.read():
            if position % _LOOK == 0:
                stored = await self._backend.slice(log, position, position + _LOOK)
            if position % _LOOK >= len(stored) or stored[position % _LOOK] != line:
                break
            position += 1
        return position

    async def _was_made_from(self, log: str, incoming: SessionSnapshot) -> bool:
        if not incoming.converted:
            return False
        try:
            made_from = parse_record((await self._backend.slice(log, 0, 1))[0]).data.get("imported")
        except (BadRecord, IndexError):
            return False
        return isinstance(made_from, dict) and made_from.get("digest") == incoming.digest

    async def _write_new(self, incoming: SessionSnapshot, place: _Place) -> None:
        info = place.info
        nobody = Expect(keys.session_index(self._client, info.id), None)
        last = [nobody, info.put(self._ttl), *incoming.stored_state.writes(info, self._ttl)]
        lease_key = keys.session_lease(self._client, info.id)
        lease: Lease | None = None
        if place.held_by is not None:
            lease = await self._take_over(incoming, place)
        async for piece, is_last in self._pieces_of(incoming, place.common):
            if lease is None and is_last:
                # All of it in one commit: it cannot be interrupted.
                await self._commit([Expect(lease_key, None), *self._append(info, piece), *last], None)
            else:
                if lease is None:
                    lease = await self._take_over(incoming, place)
                end = [*last, Delete(lease_key)] if is_last else []
                await self._commit([*self._append(info, piece), *end], lease)
            self._progress(len(piece))

    async def _take_over(self, incoming: SessionSnapshot, place: _Place) -> Lease:
        """Take the lease that outlives this process, and cut off what is not of ``incoming``."""
        info = place.info
        key, log = keys.session_lease(self._client, info.id), keys.session_log(self._client, info.id)
        owner = Holder.of_unfinished(incoming.digest).to_bytes()
        lease = await self._backend.acquire(key, owner, self._ttl or _FOR_EVER, replacing=place.held_by)
        if lease is None:
            raise SessionBusy(f"session {info.name!r} is open in another process: close it there first")
        await self._commit([Truncate(log, place.common)], lease)
        return lease

    async def _continue(self, incoming: SessionSnapshot, place: _Place) -> None:
        """Append what a session that is there lacks."""
        entry = await self._backend.get(keys.session_index(self._client, place.info.id))
        info = replace(place.info, name=_name_in(entry) or place.info.name)
        held = SessionLease(self._backend, keys.session_lease(self._client, info.id), _LEASE)
        await held.acquire(info.name)
        try:
            before = await read_stored_state(self._backend, info)
            gone = [Delete(key) for key in before.keys(info)]
            last = [info.put(self._ttl), *gone, *incoming.stored_state.writes(info, self._ttl)]
            start = place.common
            async for piece, is_last in self._pieces_of(incoming, start):
                log = keys.session_log(self._client, info.id)
                if await self._backend.length(log) != start:
                    raise Conflict(f"session {info.name!r} went on meanwhile")
                await self._commit([*self._append(info, piece), *(last if is_last else [])], held.lease)
                start += len(piece)
                self._progress(len(piece))
        finally:
            await run_to_completion(held.release())

    def _append(self, info: SessionInfo, piece: tuple[bytes, ...]) -> list[Write]:
        return [Append(keys.session_log(self._client, info.id), piece, self._ttl)]

    async def _commit(self, writes: list[Write], lease: Lease | None) -> None:
        await run_to_completion(self._backend.commit(*writes, lease=lease))

    async def _pieces_of(self, incoming: SessionSnapshot, start: int) -> AsyncIterator[tuple[tuple[bytes, ...], bool]]:
        """Yield the lines from ``start`` on as pieces for a commit, and whether it is the last one."""
        piece: list[bytes] = []
        size = position = 0
        async for line in incoming.read():
            position += 1
            if position <= start:
                continue
            piece.append(line)
            size += len(line)
            if position < incoming.count and (len(piece) >= self._pieces.lines or size >= self._pieces.bytes):
                yield tuple(piece), False
                piece, size = [], 0
        yield tuple(piece), True


def _name_in(entry: bytes | None) -> str | None:
    try:
        name = json.loads(entry or b"null")["name"]
    except (ValueError, TypeError, KeyError):
        return None
    return name if isinstance(name, str) else None
