"""Store a session again after the store has lost some of its records: an expired key, a FLUSHALL, a failover."""

from collections.abc import Iterable, Sequence

from swarmchat.backends import Delete, Put, Write
from swarmchat.swarm.archive.repair import renumber
from swarmchat.swarm.common.encoding import encode_json
from swarmchat.swarm.errors import LogLost
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.journal import Journal
from swarmchat.swarm.persistence.records import Record
from swarmchat.swarm.persistence.session_index import SessionInfo
from swarmchat.swarm.persistence.store import Lifetimes
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
    in_memory = {record.seq: record for record in (*log.head, *log.apart.values(), *log.records)}
    records = [in_memory[seq] for seq in sorted(in_memory) if seq >= stored]
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
