"""Checks of the store: its folder or server, its speed, and the sessions in it."""

import os
import secrets
import shlex
import shutil
import time
from collections.abc import Awaitable
from contextlib import suppress
from pathlib import Path
from typing import Any

from swarmchat.backends import Backend, BackendError, Delete, Put
from swarmchat.cli.doctor.check_result import Checks
from swarmchat.cli.errors import CliError, ConfigError
from swarmchat.cli.settings import wiring
from swarmchat.cli.settings.settings import Settings
from swarmchat.cli.settings.store import as_redis
from swarmchat.cli.terminal.sanitize import one_line
from swarmchat.swarm.archive.repair import repair_log
from swarmchat.swarm.errors import SwarmError
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.blobs import Blobs
from swarmchat.swarm.persistence.lease import parse_holder
from swarmchat.swarm.persistence.log import read_lines
from swarmchat.swarm.persistence.session_index import SessionInfo, count_entries, list_sessions

_SLOW = 250.0
"""Milliseconds above which every turn feels slow."""
_LIFETIME = 60.0
"""Seconds after which the keys of a killed doctor expire."""
_DRIFT = 5.0
"""Seconds by which clocks may differ."""
_MAX_SESSIONS = 50
"""Number of sessions that are read without ``--all``."""
_MAX_LISTED = 10
"""Number of faulty sessions of one kind that are listed."""


def check_folder(settings: Settings) -> Checks:
    """Check the data folder: its permissions and free space."""
    checks = Checks("storage")
    try:
        folder = wiring.data_dir(settings)
    except ConfigError as error:
        checks.add("failed" if settings.backend == "disk" else "skipped", "folder", str(error))
        return checks
    other_folder = "choose another folder with --data-dir"
    try:
        existing = next((path for path in (folder, *folder.parents) if path.exists()), folder)
        free = shutil.disk_usage(existing).free / 1e9
    except OSError as error:
        checks.add("failed", "folder", f"{folder} cannot be checked: {error.strerror}", other_folder)
        return checks
    if not folder.is_dir():
        checks.add("skipped", "folder", f"{folder} does not exist yet; {free:.1f} GB free")
    elif not os.access(folder, os.W_OK):
        checks.add("warning", "folder", f"{folder} is not writable", f"{other_folder}, or use -b memory")
    elif exposed := _exposed_paths(folder):
        fix = f"chmod -R go= {shlex.quote(str(folder))}"
        checks.add("warning", "folder", f"others have access to {', '.join(exposed)}", fix)
    elif free < 0.1:
        advice = "free some space: a full disk cannot store turns"
        checks.add("warning", "folder", f"{folder}: {free * 1000:.0f} MB free", advice)
    else:
        checks.add("ok", "folder", f"{folder}: only you have access; {free:.1f} GB free")
    return checks


def _exposed_paths(folder: Path) -> list[str]:
    """Return the paths in the data folder that others can use, each with its permissions."""
    exposed = []
    for path in (folder, folder / "sessions", folder / "sessions/cache.db", folder / "prompts"):
        with suppress(OSError):
            mode = path.stat().st_mode & 0o777
            # Others may list the outermost folder: that does not show what is in the inner ones.
            if mode & (0o022 if path == folder else 0o077):
                exposed.append(f"{path} ({mode:o})")
    return exposed


async def check_backend(settings: Settings, *, offline: bool) -> tuple[Backend | None, Checks]:
    """Check that the store works. Returns it open, or ``None`` if it cannot be used, and the checks."""
    checks = Checks("storage")
    backend = None
    try:
        backend = wiring.make_backend(settings)
        if offline and not backend.url.startswith(("memory:", "disk:")):
            checks.add("skipped", "backend", f"{backend.url}: --offline")
            await backend.close()
            return None, checks
        await _check_access(checks, backend)
    except (BackendError, CliError) as error:
        checks.add("failed", "backend", str(error))
        if backend is not None:
            await backend.close()
        return None, checks
    if settings.backend == "memory":
        checks.add("skipped", "keeping", "sessions are gone when the program ends", "-b disk keeps them")
    if (server := as_redis(backend)) is not None:
        await _check_redis(checks, server)
    return backend, checks


async def _check_access(checks: Checks, backend: Backend) -> None:
    """Write, read and lock keys of our own, and remove them."""
    nonce = secrets.token_hex(8)
    key, lock = keys.trial(nonce), keys.trial(f"{nonce}-lock")
    value = b"swarmchat doctor"
    # The first call opens files or connections, which a turn does not have to do.
    opening, _ = await _timed(backend.get(key))
    try:
        writing, _ = await _timed(backend.commit(Put(key, value, _LIFETIME)))
        reading, stored = await _timed(backend.get(key))
        locking, lease = await _timed(backend.acquire(lock, nonce.encode(), _LIFETIME))
        if stored != value or lease is None:
            problem = "a written value cannot be read back" if stored != value else "a new key cannot be locked"
            checks.add("failed", "backend", f"{backend.url}: {problem}", "do not store sessions there")
            return
        await backend.release(lease)
    finally:
        with suppress(BackendError):
            await backend.commit(Delete(key), Delete(lock))
    line = f"{backend.url}: open {opening:.1f} ms, write {writing:.1f} ms, read {reading:.1f} ms, lock {locking:.1f} ms"
    advice = "each turn writes twice: use a server that is closer, or a disk that is not on a network"
    checks.judge(max(writing, reading, locking) <= _SLOW, "backend", line, advice=advice)


async def _timed(work: Awaitable[Any]) -> tuple[float, Any]:
    """Return the milliseconds that ``work`` took, and its result."""
    started = time.perf_counter()
    result = await work
    return (time.perf_counter() - started) * 1000, result


async def _check_redis(checks: Checks, backend: Any) -> None:
    from swarmchat.backends.redis.report import report_on

    report = await report_on(backend)
    if report.program is None:
        checks.add("skipped", "redis", "version unknown: the server's ACL forbids INFO")
    else:
        checks.add("ok", "redis", f"{report.program}, {report.mode or 'standalone'}")
    if report.appendonly is None or report.save is None:
        checks.add("skipped", "persistence", "unknown: the server's ACL forbids CONFIG GET")
    else:
        line = f"appendonly yes, appendfsync {report.appendfsync}"
        problem = "none: a restart of the server loses all sessions"
        if report.save:
            problem = f"snapshots only (save {report.save}): a crash loses everything since the last snapshot"
        checks.judge(report.appendonly, "persistence", line, problem=problem, advice="set appendonly yes")
    if report.policy is not None:
        line = "maxmemory-policy noeviction: nothing is evicted"
        problem = f"maxmemory-policy {report.policy}: the server may evict parts of sessions"
        advice = "set maxmemory-policy noeviction"
        checks.judge(report.policy == "noeviction", "memory", line, problem=problem, advice=advice)
    if report.ahead is not None:
        line = f"the server's clock is {abs(report.ahead):.1f} s {'ahead of' if report.ahead > 0 else 'behind'} ours"
        advice = "synchronize both by NTP: sessions expire by the server's clock, and records have this machine's time"
        checks.judge(abs(report.ahead) <= _DRIFT, "clock", line, advice=advice)


async def check_sessions(backend: Backend, client: str, *, everything: bool) -> Checks:
    """Check the locks and the logs of the client's sessions, the last used first."""
    checks = Checks("sessions")
    try:
        infos = await list_sessions(backend, client)
        entries = await count_entries(backend, client)
        open_ids = await _check_leases(checks, backend, infos)
        chosen = infos if everything else infos[:_MAX_SESSIONS]
        closed = [info for info in chosen if info.id not in open_ids]
        await _check_logs(checks, backend, closed, len(infos))
        await _check_images(checks, backend, closed)
    except BackendError as error:
        checks.add("failed", "sessions", str(error))
        return checks
    if unreadable := entries - len(infos):
        advice = "they are not changed: a newer swarmchat may have written them, or they are damaged"
        checks.add("warning", "list", f"unreadable entries in the list of sessions: {unreadable}", advice)
    return checks


async def _check_leases(checks: Checks, backend: Backend, infos: list[SessionInfo]) -> set[str]:
    """Check the locks. Returns the ids of the open sessions, whose logs are being written."""
    open_ids: set[str] = set()
    for info in infos:
        holder = parse_holder(await backend.get(keys.session_lease(info.client, info.id)))
        if holder is None:
            continue
        name = one_line(info.name, 60)
        if holder.unfinished is not None and holder.has_stopped:
            problem = f"{name} is incomplete: process {holder.pid}, which was writing it, is gone"
            checks.add("warning", "lock", problem, "run the same command again, or delete the session")
        elif holder.is_dead:
            checks.add("ok", "lock", f"{name} is free: process {holder.pid}, which had it open, is gone")
        else:
            open_ids.add(info.id)
            checks.add("ok", "lock", f"{name} is open in process {holder.pid} on {one_line(holder.host, 60)}")
    if not checks:
        checks.add("ok", "locks", "no session is open")
    return open_ids


async def _check_logs(checks: Checks, backend: Backend, infos: list[SessionInfo], total: int) -> None:
    """Check the logs of ``infos``, some of the client's ``total`` sessions."""
    damaged: list[tuple[str, str]] = []
    empty: list[str] = []
    for info in infos:
        name = one_line(info.name, 60)
        try:
            if not await backend.length(keys.session_log(info.client, info.id)):
                empty.append(name)
                continue
            findings = repair_log([line async for line in read_lines(backend, info)]).damage
        except (SwarmError, BackendError) as error:
            findings = [str(error)]
        if findings:
            more = f", and {len(findings) - 1} more" if len(findings) > 1 else ""
            damaged.append((name, one_line(findings[0], 200) + more))
    for name, problem in damaged[:_MAX_LISTED]:
        checks.add("warning", "log", f"{name}: {problem}", f"swarmchat sessions repair {name!r} keeps a copy")
    if len(damaged) > _MAX_LISTED:
        rest = f"{len(damaged) - _MAX_LISTED} more damaged sessions"
        checks.add("warning", "log", rest, "repair those that are listed, then run swarmchat doctor again")
    for name in empty[:_MAX_LISTED]:
        checks.add("warning", "log", f"{name} is listed but has no log", f"swarmchat sessions delete {name!r}")
    if not damaged and not empty:
        rest = f" of {total}; --all reads all" if len(infos) < total else ""
        checks.add("ok", "logs", f"sessions without faults: {len(infos)}{rest}" if total else "no sessions yet")


async def _check_images(checks: Checks, backend: Backend, infos: list[SessionInfo]) -> None:
    """Check that the store still has the images of ``infos``, as they were sent."""
    for info in infos:
        blobs = Blobs(backend, info.client, info.id)
        lost = [digest for digest in await blobs.digests() if await blobs.get(digest) is None]
        if lost:
            problem = f"{one_line(info.name, 60)}: images that the store has lost, or has damaged: {len(lost)}"
            checks.add("warning", "images", problem, "the model is told that they are missing: send them again")
