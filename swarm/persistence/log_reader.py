"""Read a stored log without opening its session."""

from collections.abc import AsyncIterator, Iterable
from dataclasses import replace

from swarmchat.backends import Backend
from swarmchat.swarm.errors import BadRecord
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.records import Record, parse_record
from swarmchat.swarm.persistence.session_index import SessionInfo

_CHUNK = 500


async def read_lines(backend: Backend, info: SessionInfo, stop: int | None = None) -> AsyncIterator[bytes]:
    """Yield the stored lines of a session's log: the first ``stop`` of them, or all."""
    key, position = keys.session_log(info.client, info.id), 0
    while stop is None or position < stop:
        end = position + _CHUNK if stop is None else min(stop, position + _CHUNK)
        lines = await backend.slice(key, position, end)
        for line in lines:
            yield line
        position += len(lines)
        if position < end:
            return


async def read_records(backend: Backend, info: SessionInfo) -> AsyncIterator[Record]:
    """Yield the records of a session, without unreadable lines. Raises BadRecord for a newer format version."""
    position = 0
    async for line in read_lines(backend, info):
        if (record := record_at(line, position)) is not None:
            yield record
        position += 1


def record_at(line: bytes, position: int) -> Record | None:
    """Return the record in a line of a log; ``None`` if unreadable. Raises BadRecord for a newer format version."""
    try:
        record = parse_record(line)
    except BadRecord as error:
        if error.newer_version:
            raise
        return None
    if record.seq == position:
        return record
    # The order of the list counts, as it does when the session is opened.
    return replace(record, seq=position)


def hidden_turns(records: Iterable[Record]) -> set[int]:
    """Return the turns that are undone after ``records``: their ``undo`` and ``redo`` records name them."""
    hidden: set[int] = set()
    for record in records:
        if record.type in ("undo", "redo"):
            hidden = hidden.union(turns_of(record)) if record.type == "undo" else hidden.difference(turns_of(record))
    return hidden


def turns_of(record: Record) -> range:
    """Return the turns that an ``undo`` or ``redo`` record is about."""
    first, last = record.data.get("from"), record.data.get("to")
    if not isinstance(first, int) or not isinstance(last, int):
        return range(0)
    # A record names turns before it only; a damaged one must not cost memory.
    return range(max(0, first), min(last, record.turn) + 1)
