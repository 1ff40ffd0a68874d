"""The log of a session, an append-only list of records, and readers for logs that are not open.

An open log holds only the tail that a context can be made from. Earlier records are read on demand, backwards and in
chunks, so opening a session costs the same for a log of any length.
"""

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import takewhile

from swarmchat.backends import Append, Backend, ExpectLength
from swarmchat.swarm.errors import BadRecord
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.records import Record, parse_record
from swarmchat.swarm.persistence.session_index import SessionInfo

CHUNK = 32
"""The number of records read first."""

_PAGE = 500
"""The number of lines that a reader of a whole log takes at once."""

HEAD = 8
"""The number of records read from the start: the session record, and system messages of an imported conversation."""


class Log:
    """The records of one session. ``ttl`` is the lifetime in seconds that each append gives the log."""

    def __init__(self, backend: Backend, key: str, *, ttl: float | None = None) -> None:
        self._backend = backend
        self.key = key
        self._ttl = ttl
        self.head: tuple[Record, ...] = ()
        """The records before the first message that is not a system message; at most HEAD."""
        self.records: list[Record] = []
        """The tail in memory, in order. Damaged lines are missing from it."""
        self.start = 0
        """The position in the log of the first record that was read."""
        self.next_seq = 0
        self.apart: dict[int, Record] = {}
        """Records before the tail that are also in memory, by position: pinned turns and summaries."""
        self._read_apart: set[tuple[int, int]] = set()
        self.damaged: dict[int, str] = {}
        """The problem of each unreadable line, by position."""

    @property
    def has_earlier(self) -> bool:
        """Whether the backend holds records that are not in memory."""
        return self.start > 0

    async def open(self) -> None:
        """Read the end of the log. Raises BadRecord for a newer format version, and the backend's errors."""
        self.next_seq = self.start = await self._backend.length(self.key)
        self.records.clear()
        self.apart.clear()
        self._read_apart.clear()
        if self.next_seq:
            await self.load_earlier()
            self.head = tuple(self._begin(await self._backend.slice(self.key, 0, HEAD)))

    async def load_earlier(self, count: int = CHUNK) -> None:
        """Read the ``count`` records before those that were read, or as many as there are."""
        start = max(0, self.start - count)
        lines = await self._backend.slice(self.key, start, self.start)
        self.records[:0] = self._parse(lines, start)
        self.start = start

    def lacks(self, spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
        """Return those of ``spans``, from a first to a last position, that were never read."""
        return [(first, last) for first, last in spans if first < self.start and (first, last) not in self._read_apart]

    async def load_apart(self, first: int, last: int) -> None:
        """Read the records from ``first`` to ``last`` into ``apart``."""
        lines = await self._backend.slice(self.key, max(0, first), last + 1)
        self.apart |= {record.seq: record for record in self._parse(lines, max(0, first))}
        self._read_apart.add((first, last))

    def appending(self, records: Iterable[Record]) -> tuple[ExpectLength, Append]:
        """Return the writes that append ``records`` where this log ends; call ``appended`` once they are committed."""
        lines = tuple(record.line for record in records)
        return ExpectLength(self.key, self.next_seq), Append(self.key, lines, self._ttl)

    def appended(self, records: Sequence[Record]) -> None:
        """Take committed ``records`` into memory."""
        if not self.next_seq:
            self.head = tuple(takewhile(_is_leading, records))
        self.records += records
        self.next_seq += len(records)

    def forget_before(self, seq: int, apart: Sequence[tuple[int, int]] = ()) -> None:
        """Drop the records before ``seq`` from memory, except those in the spans ``apart``; they can be read again."""
        spans = {span for span in apart if span[0] < seq}
        self._read_apart = {span for span in spans if span[0] >= self.start or span in self._read_apart}
        candidates = {**self.apart, **{record.seq: record for record in self.records if record.seq < seq}}
        self.apart = {
            position: record
            for position, record in candidates.items()
            if any(a <= position <= b for a, b in self._read_apart)
        }
        self.start = max(self.start, min(seq, self.next_seq))
        self.records = [record for record in self.records if record.seq >= seq]

    def _begin(self, lines: Sequence[bytes]) -> Iterator[Record]:
        """Yield the records before the first message that is not a system message; later lines are not decoded."""
        for position, line in enumerate(lines):
            for record in self._parse([line], position):
                if not _is_leading(record):
                    return
                yield record

    def _parse(self, lines: Sequence[bytes], start: int) -> list[Record]:
        records = []
        for position, line in enumerate(lines, start):
            try:
                records.append(_parse_at(line, position))
            except BadRecord as error:
                if error.newer_version:
                    raise
                self.damaged[position] = str(error)
        return records


def _is_leading(record: Record) -> bool:
    """Whether the record belongs before the first message that is not a system message."""
    return record.type in ("session", "system")


def lost_log(info: SessionInfo) -> BadRecord:
    """Return the error of a session that is listed, and whose log is gone."""
    return BadRecord(
        f"the log of session {info.name!r} is gone: the store has evicted or lost it (Redis: set maxmemory-policy "
        "noeviction). Delete it with sessions delete, or start another one with -s NAME"
    )


async def read_lines(backend: Backend, info: SessionInfo, stop: int | None = None) -> AsyncIterator[bytes]:
    """Yield the stored lines of a session's log: the first ``stop`` of them, or all. Raises BadRecord if it is gone."""
    key, position = keys.session_log(info.client, info.id), 0
    while stop is None or position < stop:
        end = position + _PAGE if stop is None else min(stop, position + _PAGE)
        lines = await backend.slice(key, position, end)
        if not position and not lines and info.highest_turn:
            raise lost_log(info)
        for line in lines:
            yield line
        position += len(lines)
        if position < end:
            return


async def read_records(backend: Backend, info: SessionInfo) -> AsyncIterator[Record]:
    """Yield the records of a session, without unreadable lines.

    Raises BadRecord for a newer format version, and if the log is gone.
    """
    position = 0
    async for line in read_lines(backend, info):
        if (record := record_at(line, position)) is not None:
            yield record
        position += 1


def record_at(line: bytes, position: int) -> Record | None:
    """Return the record in a line of a log; ``None`` if unreadable. Raises BadRecord for a newer format version."""
    try:
        return _parse_at(line, position)
    except BadRecord as error:
        if error.newer_version:
            raise
        return None


def _parse_at(line: bytes, position: int) -> Record:
    """Return the record in ``line``, numbered by its position in the list, which counts if the log was edited."""
    record = parse_record(line)
    return record if record.seq == position else replace(record, seq=position)


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
