"""Rename, delete, copy and fork a stored session."""

from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import replace
from datetime import datetime
from functools import partial, reduce

from swarmchat.backends import Append, Backend, BackendFull, Conflict, Delete, Expect, Put, Truncate, Write
from swarmchat.swarm.archive.log_summary import LogSummary, read_stored_state
from swarmchat.swarm.archive.whole_lines import whole_lines
from swarmchat.swarm.archive.writer import SessionSnapshot
from swarmchat.swarm.common.cancellation import run_to_completion
from swarmchat.swarm.errors import SessionBusy
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.blobs import Blobs
from swarmchat.swarm.persistence.lease import closed_lease, holding, parse_holder
from swarmchat.swarm.persistence.log import lost_log, record_at, turns_of
from swarmchat.swarm.persistence.records import Record, timestamp
from swarmchat.swarm.persistence.session_index import SessionInfo, find_session

_ATTEMPTS = 20
_DELETION_KNOWN = 7 * 86400.0
"""Seconds for which a deleted session is known to have been deleted, so that no stopped process stores it again."""
_STEP = 64
"""Records that are first removed at once from a full store; a power of 4."""


async def rename_session(
    backend: Backend, info: SessionInfo, name: str, now: datetime, ttl: float | None = None
) -> SessionInfo:
    """Give a session another name, and record it in the log. Raises SessionBusy while another process has it open.

    The id stays, so the first name still works as long as no other session has it.
    """
    async with holding(backend, info) as lease:
        # ``info`` may be older than the lease.
        info = await find_session(backend, info.client, info.id) or info
        log = keys.session_log(info.client, info.id)
        length = await backend.length(log)
        record = Record("rename", length, info.highest_turn, timestamp(now), None, {"name": name})
        renamed = replace(info, name=name)
        append = Append(log, (record.line,) if length else (), ttl)
        await run_to_completion(backend.commit(renamed.put(ttl), append, lease=lease.lease))
        return renamed


async def clear_states(
    backend: Backend, info: SessionInfo, names: Sequence[str], now: datetime, ttl: float | None = None
) -> None:
    """Reset the states ``names`` to their defaults, and record it.

    Raises SessionBusy while another process has the session open.
    """
    async with holding(backend, info) as lease:
        info = await find_session(backend, info.client, info.id) or info
        log, time = keys.session_log(info.client, info.id), timestamp(now)
        numbered = enumerate(names, await backend.length(log))
        records = [
            Record("state", seq, info.highest_turn, time, None, {"name": name, "value": None}) for seq, name in numbered
        ]
        writes: list[Write] = [Append(log, tuple(record.line for record in records), ttl)]
        writes += [Delete(keys.session_state(info.client, info.id, name)) for name in names]
        info = reduce(SessionInfo.after, records, info)
        await run_to_completion(backend.commit(*writes, info.put(ttl), lease=lease.lease))


async def delete_session(backend: Backend, info: SessionInfo) -> None:
    """Remove all of a session in one commit. Raises SessionBusy while another process has it open.

    Memory and storages do not belong to a session, and stay. A suspended process with the session open notices it.
    """
    mark = Put(keys.session_deletion(info.client, info.id), info.created.encode(), _DELETION_KNOWN)
    entry, lease = keys.session_index(info.client, info.id), keys.session_lease(info.client, info.id)
    for _ in range(_ATTEMPTS):
        # Each commit of an open session changes its entry, and opening it its lease.
        unchanged = [Expect(entry, await backend.get(entry)), Expect(lease, await closed_lease(backend, info))]
        stored_state = await read_stored_state(backend, info)
        log, mailbox = keys.session_log(info.client, info.id), keys.session_mailbox(info.client, info.id)
        ticket = keys.ticket(info.swarm, info.client, info.id)
        others = [mailbox, ticket, *stored_state.keys(info), *await Blobs(backend, info.client, info.id).keys()]
        removal: list[Write] = [*unchanged, *map(Delete, [entry, log, *others, lease])]
        with suppress(Conflict):
            try:
                await run_to_completion(backend.commit(*removal, mark))
            except BackendFull:
                await _shorten(backend, log, unchanged)
                await run_to_completion(backend.commit(*removal))
            return
    raise _changing(info)


async def _shorten(backend: Backend, log: str, unchanged: Sequence[Expect]) -> None:
    """Remove a log from its end, in steps so small that a full disk has room for what it writes meanwhile."""
    length, step = await backend.length(log), _STEP
    while length:
        keep = max(0, length - step)
        try:
            await run_to_completion(backend.commit(*unchanged, Truncate(log, keep)))
        except BackendFull:
            if step == 1:
                raise
            step //= 4
        else:
            length = keep


async def find_unfinished(backend: Backend, client: str, session: str) -> SessionInfo | None:
    """Return the session ``session`` if an interrupted import or copy has stored a part of it, which no list shows."""
    holder = parse_holder(await backend.get(keys.session_lease(client, session)))
    if holder is None or holder.unfinished is None:
        return None
    return SessionInfo(session, session, client, created="", updated="")


async def snapshot(backend: Backend, info: SessionInfo) -> SessionSnapshot:
    """Return a consistent copy of a session that may be in use.

    Raises SessionBusy if it changes at each attempt, and BadRecord if its log is gone.
    """
    key = keys.session_log(info.client, info.id)
    for _ in range(_ATTEMPTS):
        before = await find_session(backend, info.client, info.id) or info
        length = await backend.length(key)
        stored_state = await read_stored_state(backend, before)
        after = await find_session(backend, info.client, info.id) or info
        if (before, length) == (after, await backend.length(key)):
            if before.highest_turn and not length:
                raise lost_log(before)
            read = partial(whole_lines, backend, before, length)
            return SessionSnapshot(before, stored_state, length, _copy_of(before), read)
    raise _changing(info)


async def fork_session(
    backend: Backend, info: SessionInfo, name: str, now: datetime, turn: int | None = None
) -> SessionSnapshot:
    """Return a new session ``name`` with all turns of ``info``, or those up to ``turn``, even if it was undone.

    The active agent, the way back and the states are those at the end of the last turn.
    """
    whole = await snapshot(backend, info)
    summary, count = LogSummary(), 0
    before_undo: tuple[LogSummary, int] | None = None
    async for line in whole.read():
        record = record_at(line, count)
        if record is not None:
            if turn is not None and record.turn > turn:
                break
            if record.type == "undo" and before_undo is None and turn in turns_of(record):
                before_undo = deepcopy(summary), count
            elif record.type == "redo" and turn in turns_of(record):
                before_undo = None
            summary.take(record)
        count += 1
    if before_undo is not None:
        summary, count = before_undo
    about = {"id": name, "name": name, "forked": {"from": info.id, "turn": turn or info.highest_turn}}

    async def read() -> AsyncIterator[bytes]:
        is_first = True
        async for line in whole_lines(backend, info, count):
            head = record_at(line, 0) if is_first else None
            yield replace(head, data={**head.data, **about}).line if head and head.type == "session" else line
            is_first = False

    forked = replace(
        summary.info,
        id=name,
        name=name,
        client=info.client,
        created=timestamp(now),
        updated=timestamp(now),
        title=summary.info.title or info.title,
        swarm=summary.info.swarm or info.swarm,
    )
    stored_state = whole.stored_state if turn is None else summary.stored_state
    return SessionSnapshot(forked, stored_state, count, f"fork:{_copy_of(info)}:{count}", read)


def _changing(info: SessionInfo) -> SessionBusy:
    return SessionBusy(f"session {info.name!r} keeps changing: try again later")


def _copy_of(info: SessionInfo) -> str:
    return f"{info.client}/{info.id}/{info.created}"
