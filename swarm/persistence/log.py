"""A session's records in a backend: append-only, opened from its end.

Only the tail that a context can be made of is held in memory. Earlier records are read when they are asked for, in
chunks, backwards, so opening a session costs the same however long its log is.
"""

from collections.abc import Iterable, Iterator, Sequence

from swarmchat.backends import Append, Backend
from swarmchat.swarm.errors import BadRecord
from swarmchat.swarm.persistence.records import Record, parse_record

CHUNK = 32
"""Records read at first."""

HEAD = 8
"""Records read from the start: the session record, and the instructions that an imported conversation begins with."""


class Log:
    """The records of one session. ``ttl`` is the lifetime in seconds that each append gives the log."""

    def __init__(self, backend: Backend, key: str, *, ttl: float | None = None) -> None:
        self._backend = backend
        self._key = key
        self._ttl = ttl
        self.head: tuple[Record, ...] = ()
        """The records before the first message that is no instruction, as far as HEAD goes."""
        self.records: list[Record] = []
        """The tail in memory, in order. Damaged lines are missing from it."""
        self.start = 0
        """The position in the log of the first record that was read."""
        self.next_seq = 0
        self.apart: dict[int, Record] = {}
        """Records before the tail that are kept apart from it, by their position."""
        self._read_apart: set[tuple[int, int]] = set()
        self.damaged: dict[int, str] = {}
        """What is wrong with lines that could not be read, by their position."""

    @property
    def has_earlier(self) -> bool:
        """Whether the backend holds records that are not in memory."""
        return self.start > 0

    async def open(self) -> None:
        """Read the end of the log. Raises BadRecord for a newer format version, and the backend's errors."""
        self.next_seq = self.start = await self._backend.length(self._key)
        self.records.clear()
        self.apart.clear()
        self._read_apart.clear()
        if self.next_seq:
            await self.load_earlier()
            self.head = tuple(self._begin(await self._backend.slice(self._key, 0, HEAD)))

    async def load_earlier(self, count: int = CHUNK) -> None:
        """Read the ``count`` records before those that were read, or as many as there are."""
        start = max(0, self.start - count)
        lines = await self._backend.slice(self._key, start, self.start)
        self.records[:0] = self._parse(lines, start)
        self.start = start

    def lacks(self, spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
        """Return which of ``spans``, from a first to a last position, were never read."""
        return [(first, last) for first, last in spans if first < self.start and (first, last) not in self._read_apart]

    async def load_apart(self, first: int, last: int) -> None:
        """Read the records from ``first`` to ``last`` and keep them apart."""
        lines = await self._backend.slice(self._key, max(0, first), last + 1)
        self.apart |= {record.seq: record for record in self._parse(lines, max(0, first))}
        self._read_apart.add((first, last))

    async def catch_up(self) -> list[Record]:
        """Read what was appended since, by a commit whose outcome was unknown; return it."""
        lines = await self._backend.slice(self._key, self.next_seq)
        fresh = list(self._parse(lines, self.next_seq))
        self.records += fresh
        self.next_seq += len(lines)
        return fresh

    def appending(self, records: Iterable[Record]) -> Append:
        """Return the write that appends ``records``; ``appended`` is to follow once it is committed."""
        return Append(self._key, tuple(record.line for record in records), self._ttl)

    def appended(self, records: Sequence[Record]) -> None:
        """Take committed ``records`` into memory."""
        self.records += records
        self.next_seq += len(records)

    def forget_before(self, seq: int, apart: Sequence[tuple[int, int]] = ()) -> None:
        """Let go of the records before ``seq``, but for those in the spans ``apart``; they can be read again."""
        wanted = {span for span in apart if span[0] < seq}
        self._read_apart = {span for span in wanted if span[0] >= self.start or span in self._read_apart}
        found = {**self.apart, **{record.seq: record for record in self.records if record.seq < seq}}
        self.apart = {
            place: record for place, record in found.items() if any(a <= place <= b for a, b in self._read_apart)
        }
        kept = [record for record in self.records if record.seq >= seq]
        self.start = max(self.start, min(seq, self.next_seq))
        self.records = kept

    def _begin(self, lines: Sequence[bytes]) -> Iterator[Record]:
        """Yield the records before the first message that is no instruction; the others are not even decoded."""
        for position, line in enumerate(lines):
            for record in self._parse([line], position):
                if record.type not in ("session", "system"):
                    return
                yield record

    def _parse(self, lines: Sequence[bytes], start: int) -> list[Record]:
        records = []
        for position, line in enumerate(lines, start):
            try:
                record = parse_record(line)
            except BadRecord as error:
                if error.newer_version:
                    raise
                self.damaged[position] = str(error)
                continue
            if record.seq != position:
                # A log that was put together by hand. Order in the list is what counts.
                record = Record(record.type, position, record.turn, record.ts, record.agent, record.data)
            records.append(record)
        return records
