"""List, show, search, rename, delete, fork and repair sessions."""

import json
import re
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from swarmchat.backends import BackendError
from swarmchat.cli.app.options import Flags
from swarmchat.cli.errors import UsageError
from swarmchat.cli.render.renderer import remark
from swarmchat.cli.sessions.pages import print_dialogue, print_hits, print_sessions, time_left
from swarmchat.cli.settings import wiring
from swarmchat.cli.settings.readers import read_age
from swarmchat.cli.settings.store import OpenStore, as_redis, open_store
from swarmchat.cli.terminal.printing import as_line, count_of, print_json, print_rows
from swarmchat.swarm.archive.dialogue import dialogue
from swarmchat.swarm.archive.repair import repair_file, repair_session
from swarmchat.swarm.archive.search import SearchPattern, search_sessions
from swarmchat.swarm.archive.sessions import delete_session, find_unfinished, fork_session, rename_session
from swarmchat.swarm.archive.writer import SessionWriter
from swarmchat.swarm.common.encoding import clean_text
from swarmchat.swarm.common.patterns import BoundedPattern
from swarmchat.swarm.errors import BadRecord, MailError, SessionBusy
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.log import read_records
from swarmchat.swarm.persistence.records import timestamp
from swarmchat.swarm.persistence.session_index import SessionInfo, count_entries, numbered_name
from swarmchat.swarm.primitives.navigation import Navigation

_LASTING = ("disk", "redis")
"""The backends that outlive a process and need no address."""


async def list_sessions(flags: Flags, limit: int | None, everywhere: bool, as_json: bool) -> None:
    """Print one line per session, at most ``limit``."""
    rows = []
    async with aclosing(_open_stores(flags, everywhere)) as stores:
        async for store in stores:
            infos = await store.sessions()
            rows += await _rows(store, infos[:limit])
            if unreadable := await count_entries(store.backend, store.client) - len(infos):
                remark(f"{store.name}: unreadable entries, skipped: {unreadable:,}; see swarmchat doctor")
    rows = sorted(rows, key=lambda row: str(row["updated"]), reverse=True)[:limit] if everywhere else rows
    if as_json:
        print_json(rows)
    else:
        print_sessions(rows, everywhere)


async def _rows(store: OpenStore, infos: Sequence[SessionInfo]) -> list[dict[str, Any]]:
    navigations = await store.backend.get_many([keys.session_swarm(info.client, info.id) for info in infos])
    expiries = await _expiries(store, infos)
    fields = ("name", "id", "title", "turns", "created", "updated", "swarm")
    return [
        {
            **{field: getattr(info, field) for field in fields},
            "agent": Navigation.from_bytes(navigation, info.swarm).active,
            "model": info.model,
            "backend": store.name,
            "expires": expiry,
        }
        for info, navigation, expiry in zip(infos, navigations, expiries, strict=True)
    ]


async def _expiries(store: OpenStore, infos: Sequence[SessionInfo]) -> list[str | None]:
    """Return when each session is deleted unless it is opened before, as records write it; ``None`` for never."""
    if (server := as_redis(store.backend)) is not None:
        from swarmchat.backends.redis.report import remaining

        # Another lifetime may have held when it was stored, an open chat renews it, and clocks differ. Not all users
        # of a server may ask for it.
        with suppress(BackendError):
            left = await remaining(server, [keys.session_index(info.client, info.id) for info in infos])
            now = datetime.now(UTC)
            return [None if seconds is None else timestamp(now + timedelta(seconds=seconds)) for seconds in left]
    return [_expiry(info, store.ttl) for info in infos]


def _expiry(info: SessionInfo, lifetime: float | None) -> str | None:
    """Return when a session is deleted unless it is opened before, as records write it.

    ``None`` for never, and for a session that was imported later than it was used: the store alone knows then.
    """
    try:
        expiry = timestamp(datetime.fromisoformat(info.updated) + timedelta(seconds=lifetime or 0))
    except (ValueError, OverflowError):
        return None
    return expiry if lifetime is not None and expiry > timestamp(datetime.now(UTC)) else None


async def show(store: OpenStore, name: str, tasks: bool, as_json: bool) -> None:
    """Print the conversation of a session and how long it is still kept, or its records as JSON.

    With ``tasks``, also print the work of agents that were used as tools.
    """
    info = await store.session(name)
    records = [record async for record in read_records(store.backend, info)]
    if as_json:
        print_json([json.loads(record.line) for record in records])
    else:
        print_dialogue(dialogue(records, undone=True, tasks=tasks))
        if waiting := await store.backend.length(keys.session_mailbox(info.client, info.id)):
            remark(f"{count_of(waiting, 'message')} from outside waiting: received when the session is opened")
        (expiry,) = await _expiries(store, [info])
        if left := time_left(expiry):
            remark(f"{left}: then the session is deleted, unless it is opened before")


async def search(flags: Flags, text: str, regex: bool, session: str | None, everywhere: bool, as_json: bool) -> int:
    """Print all matches of ``text``. Returns the exit code: 1 if there are none, else 0."""
    if not text:
        raise UsageError("TEXT is empty: give the text to find")
    try:
        pattern: SearchPattern = (
            BoundedPattern(text, ignore_case=True) if regex else re.compile(re.escape(text), re.IGNORECASE)
        )
    except re.error as error:
        raise UsageError(f"{text!r} is not a regular expression: {error}") from error
    rows: list[dict[str, Any]] = []
    async with aclosing(_open_stores(flags, everywhere)) as stores:
        async for store in stores:
            infos = await _searched_sessions(store, session, everywhere)
            async for info, hits in search_sessions(store.backend, infos, pattern):
                if isinstance(hits, BadRecord):
                    remark(f"{info.name!r} was skipped: {hits}")
                    continue
                rows += [{**asdict(hit), "backend": store.name} for hit in hits]
                if not as_json:
                    print_hits(hits, f"{store.name:<6}  " if everywhere else "")
    if as_json:
        print_json(rows)
    return 0 if rows else 1


async def _searched_sessions(store: OpenStore, name: str | None, everywhere: bool) -> Sequence[SessionInfo]:
    """Return the sessions to search. With several stores, a named session may be missing from some of them."""
    if name is None:
        return await store.sessions()
    info = await store.find(name) if everywhere else await store.session(name)
    return [] if info is None else [info]


async def _open_stores(flags: Flags, everywhere: bool) -> AsyncGenerator[OpenStore, None]:
    """Yield the store that ``flags`` choose, or with ``everywhere`` disk and Redis; remark on one out of reach.

    Raises the last error if no store can be reached.
    """
    if everywhere and flags.get("backend") is not None:
        raise UsageError("--all searches disk and redis: leave out -b")
    settings = wiring.apply_settings(flags)
    failure: BackendError | None = None
    reached = False
    for name in _LASTING if everywhere else (settings.backend,):
        async with open_store(replace(settings, backend=name)) as store:
            try:
                if everywhere:
                    await store.backend.get(keys.sessions(store.client))
            except BackendError as error:
                failure = error
                remark(f"{name} was skipped: {error}")
                continue
            reached = True
            yield store
    if failure is not None and not reached:
        raise failure


async def tell_session(
    store: OpenStore, name: str, text: str, agent: str | None, wake: bool, sender: str, as_json: bool
) -> None:
    """Put a message into the mailbox of a session; ``-`` reads standard input."""
    from swarmchat.swarm.persistence.mailbox import MAX_MESSAGE, tell

    info = await store.session(name)
    if text == "-":
        data = sys.stdin.buffer.read(4 * MAX_MESSAGE + 1)
        if len(data) > 4 * MAX_MESSAGE:
            raise MailError(
                f"the message has more than {4 * MAX_MESSAGE:,} bytes, expected at most {MAX_MESSAGE:,} characters: "
                "shorten it, or say where the rest can be found"
            )
        text = data.decode("utf-8", "replace").strip()
    mail = await tell(store.backend, info.client, info.id, text, agent=agent, sender=sender, wake=wake, ttl=store.ttl)
    if as_json:
        print_json({**asdict(mail), "session": info.name})
    else:
        remark(f"the message waits for session {info.name}")


async def rename(store: OpenStore, name: str, new: str, as_json: bool) -> None:
    """Give a session another name."""
    info = await store.session(name)
    if new not in (info.id, info.name):
        await store.must_be_free(new)
    renamed = await rename_session(store.backend, info, clean_text(new), datetime.now(UTC), store.ttl)
    if as_json:
        print_json({"id": renamed.id, "name": renamed.name})


async def fork(store: OpenStore, name: str, new: str | None, turn: int | None, as_json: bool) -> None:
    """Copy a session up to ``turn`` to a session called ``new``."""
    info = await store.session(name)
    if turn is not None and turn > info.highest_turn:
        raise UsageError(f"session {info.name!r} has no turn {turn}: its last one is {info.highest_turn}")
    if new is None:
        new = await numbered_name(store.backend, store.client, info.name)
    new = clean_text(new)
    await store.must_be_free(new)
    forked = await fork_session(store.backend, info, new, datetime.now(UTC), turn)
    await SessionWriter(store.backend, store.client, store.ttl).store(forked, name=new)
    if as_json:
        print_json({"name": new, "from": info.name, "turns": forked.info.turns})
    else:
        print(as_line(new))


async def repair(store: OpenStore, name: str, file: Path | None, dry_run: bool, as_json: bool) -> int:
    """Repair the log of a session, or else ``file``. Returns the exit code: 1 if a dry run finds damage."""
    info = await store.find(name)
    if info is None and file is not None:
        repaired = repair_file(file, dry_run=dry_run)
    else:
        info = info or await store.session(name)
        repaired = await repair_session(store.backend, info, store.ttl, dry_run=dry_run)
    if as_json:
        print_json({"findings": list(repaired.findings), "kept_as": repaired.kept_as})
    else:
        for finding in repaired.findings:
            print(as_line(finding))
        if repaired.kept_as is not None:
            print(f"the original log is kept as {as_line(repaired.kept_as)}")
        elif not repaired.findings:
            print("nothing to repair")
    if dry_run and repaired.findings and not repaired.needed:
        remark("no repair is needed: each request puts these right")
    return 1 if dry_run and repaired.needed else 0


async def delete(store: OpenStore, names: Sequence[str], yes: bool, as_json: bool) -> None:
    """Delete sessions after asking, unless ``yes``."""
    infos = [
        # What an interrupted import has stored is in no list, but can be deleted.
        await find_unfinished(store.backend, store.client, name) or await store.session(name)
        for name in names
    ]
    await _confirm(infos, yes)
    for info in infos:
        await delete_session(store.backend, info)
    if as_json:
        print_json([{"id": info.id, "name": info.name} for info in infos])


async def prune(
    store: OpenStore, older_than: str | None, keep: int | None, empty: bool, dry_run: bool, yes: bool, as_json: bool
) -> None:
    """Delete the sessions that meet all conditions, after asking, unless ``yes``; only list them in a dry run."""
    if older_than is None and keep is None and not empty:
        raise UsageError("no sessions selected: give --older-than, --keep or --empty")
    before = None if older_than is None else _time_ago(older_than)
    infos = (await store.sessions())[keep or 0 :]
    infos = [info for info in infos if before is None or info.updated < before]
    infos = [info for info in infos if not empty or info.highest_turn == 0]
    if infos and not dry_run:
        await _confirm(infos, yes)
    deleted = []
    for info in infos:
        try:
            if not dry_run:
                await delete_session(store.backend, info)
            deleted.append(info)
        except SessionBusy as error:
            remark(f"{info.name!r} was not deleted: {error}")
    rows = [{"id": info.id, "name": info.name, "updated": info.updated} for info in deleted]
    print_rows(rows, as_json, "would delete {name}" if dry_run else "deleted {name}")


def _time_ago(age: str) -> str:
    """Return the time ``age`` before now, as records write it. Raises UsageError."""
    try:
        return timestamp(datetime.now(UTC) - timedelta(seconds=read_age(age)))
    except ValueError as error:
        raise UsageError(f"--older-than is {age!r}: {error}") from error


async def _confirm(infos: Sequence[SessionInfo], yes: bool) -> None:
    """Ask before deleting ``infos``, and exit unless the answer is yes. Raises UsageError without a terminal."""
    from swarmchat.cli.terminal.confirmation import must_confirm

    names = ", ".join(as_line(info.name) for info in infos[:5]) + ("" if len(infos) <= 5 else ", …")
    await must_confirm(f"Delete {count_of(len(infos), 'session')} for good: {names}?", yes)
