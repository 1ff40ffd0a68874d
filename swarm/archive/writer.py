"""Store a whole session in steps: if the process dies in between, the next one continues."""

from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, replace
from typing import Literal

from swarmchat.backends import (
    Append,
    Backend,
    Conflict,
    Delete,
    Expect,
    Lease,
    LeaseLost,
    Truncate,
    Write,
)
from swarmchat.swarm.archive.log_summary import StoredState, read_stored_state
from swarmchat.swarm.common.cancellation import run_to_completion
from swarmchat.swarm.errors import BadRecord, SessionBusy
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.blobs import Blobs
from swarmchat.swarm.persistence.lease import Holder, holding, parse_holder
from swarmchat.swarm.persistence.records import parse_record
from swarmchat.swarm.persistence.session_index import SessionInfo, find_session, list_sessions


@dataclass(frozen=True)
class SessionSnapshot:
    """A whole session that can be stored. ``read`` yields its lines, the same ones each time.

    Lines may hold the data of images: the writer moves it to blobs.
    """

    info: SessionInfo
    """Its entry in the list. If that id or name is taken, it gets another."""
    stored_state: StoredState
    count: int
    """The number of lines."""
    digest: str
    """A digest of the content."""
    read: Callable[[], AsyncIterator[bytes]]
    converted: bool = False
    """Whether the lines were made from another program's file: only the digest tells whether it is stored already."""


def reader(lines: Callable[[], Iterable[bytes]]) -> Callable[[], AsyncIterator[bytes]]:
    """Return ``lines`` as the asynchronous ``read`` of a snapshot."""

    async def read() -> AsyncIterator[bytes]:
        for line in lines():
            yield line

    return read


def _stored(line: bytes) -> tuple[bytes, dict[str, bytes]]:
    """Return a line as it is stored, and the blobs that it names."""
    if b";base64," not in line:
        return line, {}
    # Loaded with the first image.
    from swarmchat.swarm.images.parts import line_to_blobs

    return line_to_blobs(line)


Status = Literal["stored", "resumed", "continued", "there", "taken"]

_FOR_EVER = 10 * 366 * 86400.0
"""Lifetime of a lease in seconds, where sessions have none."""
_ATTEMPTS = 20
_PAGE = 500
"""The number of stored lines that are compared at once."""


@dataclass(frozen=True)
class Pieces:
    """The most that one commit stores."""

    lines: int = 500
    bytes: int = 2 * 1024 * 1024


@dataclass(frozen=True)
class Stored:
    """The outcome for one session: its entry in the list, and what was done.

    ``stored``, or ``resumed`` if an interrupted import had stored a part; ``continued``: new lines were added to a
    stored session; ``there``: all of it was stored already; ``taken``: another session has the only name it may have.
    """

    info: SessionInfo
    status: Status


@dataclass(frozen=True)
class _Place:
    """An entry under which a session can be stored."""

    info: SessionInfo
    common: int
    """The number of lines that are stored there already."""
    visible: bool = False
    """Whether the list has the entry."""
    complete: bool = False
    held_by: bytes | None = None
    """The lease of an interrupted import, which is taken over."""


class SessionWriter:
    """Stores sessions of ``client`` for ``ttl`` seconds. ``progress`` is called with the number of lines stored."""

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
        """The ids of the stored sessions, by name."""

    async def store(self, incoming: SessionSnapshot, *, name: str | None = None) -> Stored:
        """Store ``incoming`` under ``name``, or under its own name, with a number if another session has that.

        Records that are already stored are not stored again. Raises SessionBusy when another process has that session
        open or is storing it, and the backend's errors.
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
                # Another process was faster: look again.
                self._names = None
                continue
            except LeaseLost as error:
                raise SessionBusy(f"session {place.info.name!r} is now being stored by another process") from error
            (await self._known())[place.info.name] = place.info.id
            return Stored(place.info, status)
        raise SessionBusy(f"session {incoming.info.name!r} keeps being changed by other processes: try again later")

    async def _known(self) -> dict[str, str]:
        if self._names is None:
            self._names = {info.name: info.id for info in await list_sessions(self._backend, self._client)}
        return self._names

    async def _find_place(self, incoming: SessionSnapshot, name: str | None) -> _Place | None:
        info = replace(incoming.info, client=self._client)
        if name is not None:
            return await self._place(incoming, replace(info, id=name, name=name))
        place, number = await self._place(incoming, info), 2
        while place is None:
            place = await self._place(incoming, replace(info, id=f"{info.id}-{number}", name=f"{info.name}-{number}"))
            number += 1
        return place

    async def _place(self, incoming: SessionSnapshot, info: SessionInfo) -> _Place | None:
        """Return how ``incoming`` can be stored as ``info``; ``None`` if that id or name is another session's."""
        log = keys.session_log(self._client, info.id)
        length = await self._backend.length(log)
        common = await self._common(log, incoming) if length else 0
        if await self._backend.get(keys.session_index(self._client, info.id)) is not None:
            same = common == min(length, incoming.count) or await self._was_made_from(log, incoming)
            if not same or not length:
                return None
            return _Place(info, common, visible=True, complete=incoming.converted or length >= incoming.count)
        if (await self._known()).get(info.name, info.id) != info.id:
            return None
        stored = await self._backend.get(keys.session_lease(self._client, info.id))
        holder = parse_holder(stored)
        if holder is None or holder.unfinished is None:
            if length:
                # An unlisted log without an import lease may be another program's: leave it alone.
                return None
            if holder is not None and not holder.is_dead:
                raise SessionBusy(f"session {info.name!r} is open in process {holder.pid}: close it there first")
            return _Place(info, 0, held_by=stored)
        if holder.unfinished != incoming.digest and not (holder.has_stopped and common == length):
            return None
        if holder.is_running:
            raise SessionBusy(f"session {info.name!r} is being stored by process {holder.pid}: wait for it")
        return _Place(info, common, held_by=stored)

    async def _common(self, log: str, incoming: SessionSnapshot) -> int:
        """Return the number of equal lines at the start of both."""
        position = 0
        stored: list[bytes] = []
        async for line in incoming.read():
            if position % _PAGE == 0:
                stored = await self._backend.slice(log, position, position + _PAGE)
            if position % _PAGE >= len(stored) or stored[position % _PAGE] != _stored(line)[0]:
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
        lease_key = keys.session_lease(self._client, info.id)
        lease = None if place.held_by is None else await self._take_over(incoming, place)
        async for piece, is_last in self._pieces_of(incoming, place.common):
            # A single commit cannot be interrupted and needs no lease.
            if lease is None and not is_last:
                lease = await self._take_over(incoming, place)
            writes = await self._append(info, piece)
            if is_last:
                writes += [Expect(lease_key, None) if lease is None else Delete(lease_key)]
                writes += [Expect(keys.session_index(self._client, info.id), None), *self._last(info, incoming)]
                writes += [Delete(keys.session_deletion(self._client, info.id))]
            await self._commit(writes, lease)
            self._progress(len(piece))

    def _last(self, info: SessionInfo, incoming: SessionSnapshot) -> list[Write]:
        """Return the writes that come with the last lines: the entry in the list, the agent and the states."""
        return [info.put(self._ttl), *incoming.stored_state.writes(info, self._ttl)]

    async def _take_over(self, incoming: SessionSnapshot, place: _Place) -> Lease:
        """Take a lease that outlives this process, and cut off the lines that are not of ``incoming``."""
        info = place.info
        key, log = keys.session_lease(self._client, info.id), keys.session_log(self._client, info.id)
        owner = Holder.of_unfinished(incoming.digest).to_bytes()
        lease = await self._backend.acquire(key, owner, self._ttl or _FOR_EVER, replacing=place.held_by)
        if lease is None:
            raise SessionBusy(f"session {info.name!r} is open in another process: close it there first")
        await self._commit([Truncate(log, place.common)], lease)
        return lease

    async def _continue(self, incoming: SessionSnapshot, place: _Place) -> None:
        """Append the lines that a stored session lacks."""
        stored = await find_session(self._backend, self._client, place.info.id)
        info = replace(place.info, name=stored.name if stored else place.info.name)
        async with holding(self._backend, info) as lease:
            before = await read_stored_state(self._backend, info)
            last = [*map(Delete, before.keys(info)), *self._last(info, incoming)]
            if await self._backend.length(keys.session_log(self._client, info.id)) != place.common:
                raise Conflict(f"session {info.name!r} was continued meanwhile")
            async for piece, is_last in self._pieces_of(incoming, place.common):
                await self._commit([*await self._append(info, piece), *(last if is_last else [])], lease.lease)
                self._progress(len(piece))

    async def _append(self, info: SessionInfo, piece: tuple[bytes, ...]) -> list[Write]:
        """Return the writes that append ``piece``, with the data in it as blobs."""
        lines, contents = list[bytes](), dict[str, bytes]()
        for line in piece:
            line, new_blobs = _stored(line)
            lines.append(line)
            contents |= new_blobs
        blobs = await Blobs(self._backend, self._client, info.id, self._ttl).put(*contents.values())
        return [*blobs, Append(keys.session_log(self._client, info.id), tuple(lines), self._ttl)]

    async def _commit(self, writes: list[Write], lease: Lease | None) -> None:
        await run_to_completion(self._backend.commit(*writes, lease=lease))

    async def _pieces_of(self, incoming: SessionSnapshot, start: int) -> AsyncIterator[tuple[tuple[bytes, ...], bool]]:
        """Yield the lines from ``start`` on in pieces, one for each commit, and whether it is the last one."""
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
