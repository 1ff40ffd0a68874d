"""The writer of a session: commits records, the entry in the session list, and changes of states and memory.

Each commit holds all of these, under the session's lease. Records that could not be stored wait for the next commit.
Records get their numbers here and nowhere else.
"""

import asyncio
import json
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from functools import reduce
from itertools import chain
from typing import Any

from swarmchat.backends import Append, Backend, BackendError, ExpectLength, LeaseLost, LengthConflict, Touch, Write
from swarmchat.swarm.common.cancellation import run_to_completion
from swarmchat.swarm.common.heartbeat import Heartbeat
from swarmchat.swarm.errors import LogLost, SessionBusy
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.lease import SessionLease
from swarmchat.swarm.persistence.log import Log, lost_log, record_at
from swarmchat.swarm.persistence.records import Record, RecordType, timestamp
from swarmchat.swarm.persistence.session_index import SessionInfo
from swarmchat.swarm.persistence.store import ChangeSet, Lifetimes, Values, commit_changes


class Batch:
    """Records that are to be stored in one commit, numbered from the end of the log on.

    If others are stored while it is filled, its numbers change: see ``renumber``.
    """

    def __init__(self, journal: "Journal") -> None:
        self._journal = journal
        self.first = journal.end
        """The number of the first record."""
        self.records: list[Record] = []

    def add(self, kind: RecordType, /, *, turn: int, agent: str | None = None, **data: Any) -> Record:
        """Add a record with the next number and the current time, and return it."""
        self.renumber()
        seq = self.first + len(self.records)
        record = Record(kind, seq, turn, timestamp(self._journal.now()), agent, data)
        self.records.append(record)
        return record

    def append(self, record: Record) -> None:
        """Add a copy of ``record`` with the next number. Its time stays."""
        self.renumber()
        self.records.append(replace(record, seq=self.first + len(self.records)))

    def stamp(self) -> None:
        """Give all records the current time."""
        now = timestamp(self._journal.now())
        self.records = [replace(record, ts=now) for record in self.records]

    def renumber(self) -> int:
        """Number the records from the present end of the log on; return by how much the numbers have grown."""
        growth = self._journal.end - self.first
        if growth:
            self.first += growth
            self.records = [replace(record, seq=record.seq + growth) for record in self.records]
        return growth


class Journal:
    """The written side of the session ``info``."""

    def __init__(
        self,
        backend: Backend,
        info: SessionInfo,
        lifetimes: Lifetimes,
        lease: float,
        clock: Callable[[], datetime],
    ) -> None:
        self.origin = (backend, info, lifetimes, lease, clock)
        """What the journal was made from."""
        self.info = info
        self.log = Log(backend, keys.session_log(info.client, info.id), ttl=lifetimes.session)
        self.unsaved: list[Record] = []
        """Records that the backend could not store yet."""
        self.unsaved_changes = ChangeSet()
        """Changes to store with them."""
        self.resume_with: Mapping[str, str] | None = None
        """What the program has chosen to continue the session with."""
        self.taken_over = False
        """Whether another process has continued the session: nothing more can be stored until it is opened again."""
        self.is_deleted = False
        """Whether it has deleted the session."""
        self.in_doubt = False
        """Whether the last commit failed, and may have been applied all the same."""
        self.on_stored: Callable[[Record], object] = lambda record: None
        """Called with each record that a commit of this process has stored."""
        self._backend = backend
        self._lifetime = lifetimes.session
        self.keys_to_renew: list[str] = []
        """Keys that live as long as the log: each commit renews their lifetime."""
        self._clock = clock
        self._attempted: tuple[list[Record], SessionInfo] = ([], info)
        """The records of the last commit that failed, and the list entry after it."""
        self._renewal: Heartbeat | None = None
        self._committed = -math.inf
        """When the last commit was made, by the clock of the event loop."""
        self._lease = SessionLease(backend, keys.session_lease(info.client, info.id), lease)

    async def open(self) -> None:
        """Take the lease and read the end of the log. Raises SessionBusy, BadRecord and the backend's errors."""
        await self._lease.acquire(self.info.name)
        try:
            await self.log.open()
            # The list entry may be missing or older than the log; the last record may belong to an earlier turn.
            if max((record.turn for record in self.log.records), default=0) > self.info.highest_turn:
                self.info = self._info_from(await self._backend.slice(self.log.key, 0))
            if self.info.highest_turn and not self.log.next_seq:
                raise lost_log(self.info)
        except BaseException:
            await run_to_completion(self._lease.release())
            raise
        if self._lifetime is not None:
            self._renewal = Heartbeat(self._renew, self._lifetime / 3, f"lifetime of {self.info.name}")
            self._renewal.start()

    async def close(self) -> None:
        """Store unsaved records, if the backend is available now, and release the lease."""
        try:
            if self.unsaved and self.in_doubt:
                await self.settle_doubt()
            if self.unsaved:
                await self.commit()
            if self._renewal is not None and not self._is_fresh:
                # The whole lifetime begins when the session is left.
                with suppress(BackendError):
                    await self._renew()
        finally:
            await run_to_completion(self._stop())

    @property
    def highest_turn(self) -> int:
        """The highest number of a turn so far, undone ones and resets included."""
        return self.info.highest_turn

    @property
    def last_turn(self) -> int:
        """The number of the last turn that is not undone; 0 if there is none."""
        for record in chain(reversed(self.unsaved), reversed(self.log.records)):
            if not record.is_outside_turns:
                last = record.data.get("last") if record.type in ("undo", "redo") else None
                return last if isinstance(last, int) else record.turn
        return self.highest_turn

    @property
    def end(self) -> int:
        """The number of the next record: the length of the log with the records that are still to be stored."""
        return self.log.next_seq + len(self.unsaved)

    @property
    def is_new(self) -> bool:
        """Whether nothing was stored yet."""
        return not self.log.next_seq and not self.unsaved

    def now(self) -> datetime:
        """Return the time by the session's clock."""
        return self._clock()

    async def settle_doubt(self) -> list[Record]:
        """Find out whether a failed commit was applied; return the stored records. ``in_doubt`` stays true.

        Raises SessionBusy when another process has continued the session.
        """
        lines = await self._backend.slice(self.log.key, self.log.next_seq)
        attempted, info = self._attempted
        if not lines:
            return []
        if lines != [record.line for record in attempted]:
            raise await self._taken_over()
        self.log.appended(attempted)
        self.info = info
        self.unsaved = []
        self.unsaved_changes = ChangeSet()
        return attempted

    async def commit(
        self, batch: Batch | None = None, changes: ChangeSet | None = None, *, keep: bool = False, model: str = ""
    ) -> list[Record]:
        """Append the records of ``batch``, and one for each of ``changes``, in one commit; return the appended records.

        With ``keep``, records that cannot be stored wait for the next commit. A cancellation waits until the outcome is
        known. Raises SessionBusy when another process continued the session, and the backend's errors.
        """
        return await run_to_completion(self._settle_and_commit(batch, changes or ChangeSet(), keep, model))

    async def _settle_and_commit(self, batch: Batch | None, changes: ChangeSet, keep: bool, model: str) -> list[Record]:
        settled: list[Record] = []
        if self.in_doubt:
            # A task in the background failed to store something while a turn was running.
            settled = await self.settle_doubt()
            self.in_doubt = False
        if batch is not None:
            batch.renumber()
        records = [] if batch is None else batch.records
        stored = settled + await self._commit(records, changes, keep, model)
        for record in stored:
            self.on_stored(record)
        return stored

    async def _commit(self, records: list[Record], changes: ChangeSet, keep: bool, model: str) -> list[Record]:
        waiting = len(self.unsaved)
        records = self.unsaved + records
        all_changes = ChangeSet(
            [*self.unsaved_changes.changes, *changes.changes], [*self.unsaved_changes.writes, *changes.writes]
        )
        appended: list[Record] = []
        info = self.info
        touches = [] if self._lifetime is None else [Touch(key, self._lifetime) for key in self.keys_to_renew]

        def further(values: Values) -> Sequence[Write]:
            nonlocal info
            appended[:] = [*records, *self._change_records(records, all_changes, values)]
            info = self._updated_info(appended, model)
            return *self.log.appending(appended), info.put(self._lifetime), *touches

        try:
            await self._write(all_changes, further)
        except (BackendError, SessionBusy) as error:
            self.in_doubt = isinstance(error, BackendError)
            self._attempted = appended, info
            self.unsaved = records if keep else records[:waiting]
            if keep:
                self.unsaved_changes = all_changes
            if self.unsaved and isinstance(error, SessionBusy):
                raise SessionBusy(f"{error}; {_not_stored(self.unsaved)}") from error
            raise
        self.unsaved = []
        self.unsaved_changes = ChangeSet()
        self.info = info
        self.log.appended(appended)
        self._committed = asyncio.get_running_loop().time()
        return appended

    @property
    def _is_fresh(self) -> bool:
        """Whether a commit has just renewed the lifetime."""
        return asyncio.get_running_loop().time() - self._committed < 60

    def _change_records(self, records: Sequence[Record], changes: ChangeSet, values: Values) -> list[Record]:
        """Return a record for each changed state, and for memory, with its new value."""
        turn = records[-1].turn if records else self.last_turn
        task = {"task": records[-1].task} if records and records[-1].type in ("task", "task_end") else {}
        recorded = {each.key: each.recorded_as for each in changes.changes if each.recorded_as is not None}
        records_of_changes = []
        for seq, (key, (kind, name)) in enumerate(recorded.items(), self.log.next_seq + len(records)):
            value = values[key]
            content: dict[str, Any] = {"name": name} if name else {}
            content |= {"value": None if value is None else json.loads(value), **task}
            records_of_changes.append(Record(kind, seq, turn, timestamp(self.now()), None, content))
        return records_of_changes

    async def rewrite(self, stored: int, lines: Sequence[bytes], *writes: Write) -> None:
        """Append ``lines`` to a log that has lost all but the first ``stored`` records, and open it again.

        Raises SessionBusy when another process has continued the session, and the backend's errors.
        """
        expected = ExpectLength(self.log.key, stored)
        append = Append(self.log.key, tuple(lines), self._lifetime)
        info = self._info_from([*await self._backend.slice(self.log.key, 0, stored), *lines])
        await self._write(ChangeSet(), lambda values: (expected, append, info.put(self._lifetime), *writes))
        self.info = info
        await self.log.open()

    async def _write(self, changes: ChangeSet, further: Callable[[Values], Sequence[Write]]) -> None:
        """Commit under the lease; acquire it again if it was lost, as on a suspended laptop.

        Raises LogLost when the store has lost records, SessionBusy when another process has written meanwhile.
        """
        if self.taken_over:
            raise await self._taken_over()
        try:
            try:
                lease = self._lease.lease or await self._lease.acquire(self.info.name)
                await commit_changes(self._backend, changes, lease, further)
            except LeaseLost:
                lease = await self._lease.acquire(self.info.name)
                await self._check_log()
                await commit_changes(self._backend, changes, lease, further)
        except LengthConflict:
            if lost := await self.find_loss():
                raise lost from None
            if await self._backend.length(self.log.key) == self.log.next_seq:
                # Another list than the log has changed.
                raise
            raise await self._taken_over() from None

    async def _check_log(self) -> None:
        """Raise SessionBusy if another process has written records after the store had lost those of this one.

        The length of the log does not show it: it may be the same.
        """
        stored = await self._backend.length(self.log.key)
        known = {record.seq: record for record in (*self.log.head, *self.log.records) if record.seq < stored}
        if known:
            last = max(known)
            (line,) = await self._backend.slice(self.log.key, last, last + 1)
            # A record that was read may be written in another form.
            if line != known[last].line and record_at(line, last) != known[last]:
                raise await self._taken_over()

    async def find_loss(self) -> LogLost | None:
        """Return the error that the store has lost records at the end of the log, if it has. Raises SessionBusy."""
        if self.taken_over:
            return None
        stored = await self._backend.length(self.log.key)
        lost = self.log.next_seq - stored
        if lost > 0:
            await self._check_log()
            if await self._was_deleted():
                raise await self._taken_over()
        message = f"the store has lost {lost:,} records of session {self.info.name!r}"
        return LogLost(message, stored) if lost > 0 else None

    async def _taken_over(self) -> SessionBusy:
        """Release the lease, and return the error that another process has continued or deleted the session."""
        self.taken_over = True
        await self._lease.release()
        if await self._was_deleted():
            self.is_deleted = True
            return SessionBusy(f"session {self.info.name!r} was deleted by another process")
        return SessionBusy(f"session {self.info.name!r} was continued by another process: open it again")

    async def _was_deleted(self) -> bool:
        """Whether this session was deleted, and not just another one of the same name."""
        mark = keys.session_deletion(self.info.client, self.info.id)
        return await self._backend.get(mark) == self.info.created.encode()

    async def _renew(self) -> None:
        """Renew the lifetime of everything that belongs to the session, as long as this process holds its lease."""
        if self._lease.lease is not None:
            session_keys = [self.log.key, keys.session_index(self.info.client, self.info.id), *self.keys_to_renew]
            touches = [Touch(key, self._lifetime) for key in session_keys]
            await self._backend.commit(*touches, lease=self._lease.lease)

    async def _stop(self) -> None:
        if self._renewal is not None:
            await self._renewal.stop()
        await self._lease.release()

    def _info_from(self, lines: Sequence[bytes]) -> SessionInfo:
        """Return the list entry as it follows from all ``lines`` of the log."""
        records = (record for position, line in enumerate(lines) if (record := record_at(line, position)))
        info = reduce(SessionInfo.after, records, replace(self.info, turns=0, highest_turn=0, rescues=0, states=()))
        return replace(info, updated=self.info.updated or info.updated, model=self.info.model or info.model)

    def _updated_info(self, records: Sequence[Record], model: str) -> SessionInfo:
        info = reduce(SessionInfo.after, records, self.info)
        # Not the model of an agent that has its own.
        info = replace(info, updated=timestamp(self.now()), model=model or self.info.model)
        has_answered = any(record.type == "assistant" for record in records)
        return info.resumed_with(self.resume_with, info.model) if has_answered else info


def _not_stored(records: Sequence[Record]) -> str:
    what = "the last answer" if any(record.type == "assistant" for record in records) else "what was done last"
    return f"{what} is not stored ({len(records):,} {'record' if len(records) == 1 else 'records'})"
