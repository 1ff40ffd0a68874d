"""Store a session again after the store has lost some of its records: an expired key, a FLUSHALL, a failover.

If the session was deleted, or another process continued it, the records in memory become a new session.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from swarmchat.backends import Delete, Put, Write
from swarmchat.swarm.archive.log_summary import LogSummary
from swarmchat.swarm.archive.repair import renumber
from swarmchat.swarm.archive.writer import SessionSnapshot, SessionWriter, reader
from swarmchat.swarm.common.encoding import encode_json
from swarmchat.swarm.conversation.message_blobs import MessageBlobs
from swarmchat.swarm.errors import LogLost
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.journal import Journal
from swarmchat.swarm.persistence.log import Log
from swarmchat.swarm.persistence.records import Record, parse_record, timestamp
from swarmchat.swarm.persistence.session_index import SessionInfo, numbered_name
from swarmchat.swarm.persistence.store import ChangeSet, Lifetimes
from swarmchat.swarm.primitives.memory import PersistMemory
from swarmchat.swarm.primitives.navigation import Navigation
from swarmchat.swarm.primitives.session_state import SessionState


async def restore(
    journal: Journal,
    memory: PersistMemory,
    lifetimes: Lifetimes,
    navigation: Navigation,
    lost: LogLost,
    pending: Iterable[Record] = (),
) -> str:
    """Store the records in memory again, ``navigation`` and the client's ``memory``; return a message for the user.

    If some are missing, the rest is stored with new numbers, followed by the unsaved records and ``pending``; then
    LogLost is raised. Raises SessionBusy when another process has continued the session, and the backend's errors.
    """
    log, info, stored = journal.log, journal.info, lost.stored
    records = [record for record in _in_memory(log) if record.seq >= stored]
    count, missing = log.next_seq - stored, log.next_seq - stored - len(records)
    writes = _state_writes(info, lifetimes, records)
    writes += await _memory_writes(memory, lifetimes, records)
    writes.append(Put(keys.session_swarm(info.client, info.id), navigation.to_bytes(), lifetimes.session))
    if not missing:
        await journal.rewrite(stored, [record.line for record in records], *writes)
        return f"the store had lost {count:,} records of this session: they are stored again"
    await journal.rewrite(stored, renumber([*records, *journal.unsaved, *pending], stored), *writes)
    # Not earlier: if the write fails, they are still unsaved.
    journal.unsaved = []
    raise LogLost(
        f"{lost}: {len(records):,} of them are stored again; {missing:,} older ones were not in "
        "memory and are lost, with the states that they set",
        stored,
    )


async def keep_as_new(
    journal: Journal, blobs: MessageBlobs, lifetimes: Lifetimes, navigation: Navigation
) -> tuple[SessionInfo, str]:
    """Store the records in memory, with those that could not be stored, as a new session.

    Return its entry in the list, and a line for the user about what it lacks; empty if it is whole. Raises the
    backend's errors.
    """
    backend, info, *_ = journal.origin
    info, log, now = journal.info, journal.log, timestamp(journal.now())
    records = _in_memory(log)
    lines = renumber([*records, *journal.unsaved], 0)
    name = await numbered_name(backend, info.client, info.name)
    summary = LogSummary()
    for at, line in enumerate(lines):
        record = parse_record(line)
        if record.type == "session":
            about = {"id": name, "name": name, "forked": {"from": info.id, "turn": info.highest_turn}}
            record = replace(record, data={**record.data, **about})
            lines[at] = record.line
        summary.take(record)
    new_info = replace(summary.info, id=name, name=name, client=info.client, created=now, updated=now, title=info.title)
    new_info = replace(new_info, swarm=info.swarm, model=info.model, resume_with=info.resume_with)
    stored_state = replace(summary.stored_state, navigation=navigation.to_bytes())
    if content := blobs.in_memory:
        from swarmchat.swarm.images.parts import line_to_data

        lines = [line_to_data(line, content) for line in lines]
    whole = SessionSnapshot(new_info, stored_state, len(lines), f"kept:{info.id}:{now}", reader(lambda: lines))
    stored = await SessionWriter(backend, info.client, lifetimes.session).store(whole)
    lacking = []
    if missing := log.next_seq - len(records):
        lacking.append(f"the {missing:,} oldest records, which were not in memory, with the states that were set there")
    if journal.unsaved_changes.changes or journal.unsaved_changes.writes:
        lacking.append("what the last tools changed in states, memory and storages")
    journal.unsaved, journal.unsaved_changes = [], ChangeSet()
    return stored.info, " and ".join(lacking)


def _in_memory(log: Log) -> list[Record]:
    records = {record.seq: record for record in (*log.head, *log.apart.values(), *log.records)}
    return [records[seq] for seq in sorted(records)]


def _state_writes(info: SessionInfo, lifetimes: Lifetimes, records: Sequence[Record]) -> list[Write]:
    """Return the writes that restore the states as they are after ``records``."""
    state, names = SessionState(), dict[str, None]()
    for record in records:
        state = state.after(record)
        if record.type == "state":
            names[str(record.data.get("name"))] = None
        elif record.type in ("undo", "redo") and isinstance(record.data.get("states"), dict):
            names |= dict.fromkeys(record.data["states"])
    writes: list[Write] = []
    for name in names:
        key, value = keys.session_state(info.client, info.id, name), state.states.get(name)
        writes.append(Delete(key) if value is None else Put(key, encode_json(value), lifetimes.session))
    return writes


async def _memory_writes(memory: PersistMemory, lifetimes: Lifetimes, records: Sequence[Record]) -> list[Write]:
    """Return the write that restores ``memory`` as it is after ``records``, if the store has lost it."""
    content = None
    for record in records:
        if record.type == "session" and not memory.recorded_as:
            content = record.data.get("memory")
        elif record.type == "memory" and record.data.get("name", "") == memory.recorded_as:
            content = record.data.get("value")
    if not isinstance(content, dict) or not content or await memory.all():
        return []
    return [Put(memory.key, encode_json(content), lifetimes.memory)]
