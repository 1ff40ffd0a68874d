"""Checks of the store: writing, reading and locking, their speed, and the configuration of Redis."""

import secrets
import time
from collections.abc import Awaitable
from contextlib import suppress
from typing import Any

from swarmchat.backends import Backend, BackendError, Delete, Put
from swarmchat.cli.doctor.check import Check, Checks
from swarmchat.cli.errors import CliError
from swarmchat.cli.settings import wiring
from swarmchat.cli.settings.settings import Settings
from swarmchat.swarm.persistence import keys

_SLOW = 250.0
"""Milliseconds above which every turn feels slow."""
_LIFETIME = 60.0
"""Seconds after which the keys of a killed doctor expire."""
_DRIFT = 5.0


async def check_backend(settings: Settings, *, offline: bool) -> tuple[Backend | None, list[Check]]:
    """Return the open store, or ``None`` if it cannot be used, and the checks."""
    checks = Checks("storage")
    try:
        backend = wiring.make_backend(settings)
    except (BackendError, CliError) as error:
        checks.failed("backend", str(error))
        return None, checks.made
    if offline and not backend.url.startswith(("memory:", "disk:")):
        checks.skipped("backend", f"{backend.url}: --offline")
        await backend.close()
        return None, checks.made
    try:
        await _try(checks, backend)
    except BackendError as error:
        checks.failed("backend", str(error))
        await backend.close()
        return None, checks.made
    if settings.backend == "memory":
        checks.skipped("keeping", "sessions are gone when the program ends", "-b disk keeps them")
    if "redis" in backend.url.split(":", 1)[0] or backend.url.startswith("unix:"):
        from swarmchat.backends.redis.backend import RedisBackend

        if isinstance(backend, RedisBackend):
            await _check_redis(checks, backend)
    return backend, checks.made


async def _try(checks: Checks, backend: Backend) -> None:
    """Write, read and lock with keys of our own, and remove them."""
    nonce = secrets.token_hex(8)
    key, lock = keys.trial(nonce), keys.trial(f"{nonce}-lock")
    value = b"swarmchat doctor"
    # The first call opens files or connections: it is not what a turn costs.
    opened, _ = await _timed(backend.get(key))
    try:
        written, _ = await _timed(backend.commit(Put(key, value, _LIFETIME)))
        read, found = await _timed(backend.get(key))
        locked, lease = await _timed(backend.acquire(lock, nonce.encode(), _LIFETIME))
        if found != value or lease is None:
            what = "read back" if found != value else "locked"
            checks.failed("backend", f"{backend.url}: what was written cannot be {what}", "do not keep sessions there")
            return
        await backend.release(lease)
    finally:
        with suppress(BackendError):
            await backend.commit(Delete(key), Delete(lock))
    line = f"{backend.url}: open {opened:.1f} ms, write {written:.1f} ms, read {read:.1f} ms, lock {locked:.1f} ms"
    if max(written, read, locked) > _SLOW:
        advice = "each turn writes twice: use a store that is nearer, or a disk that is not on a network"
        checks.warning("backend", line, advice)
    else:
        checks.ok("backend", line)


async def _timed(work: Awaitable[Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    result = await work
    return (time.perf_counter() - started) * 1000, result


async def _check_redis(checks: Checks, backend: Any) -> None:
    from swarmchat.backends.redis.report import report_on

    report = await report_on(backend)
    if report.program is None:
        checks.skipped("redis", "the server does not tell its version: its ACL forbids INFO")
    else:
        checks.ok("redis", f"{report.program}, {report.mode or 'standalone'}")
    if report.appendonly is None or report.save is None:
        checks.skipped("persistence", "the server does not tell how it keeps data: its ACL forbids CONFIG GET")
    elif report.appendonly:
        checks.ok("persistence", f"appendonly yes, appendfsync {report.appendfsync}")
    elif report.save:
        found = f"snapshots only (save {report.save}): a crash loses everything since the last snapshot"
        checks.warning("persistence", found, "set appendonly yes")
    else:
        checks.warning("persistence", "none: a restart of the server loses all sessions", "set appendonly yes")
    if report.policy == "noeviction":
        checks.ok("memory", "maxmemory-policy noeviction: nothing is evicted")
    elif report.policy is not None:
        found = f"maxmemory-policy {report.policy}: the server may evict parts of sessions"
        checks.warning("memory", found, "set maxmemory-policy noeviction")
    if report.ahead is not None and abs(report.ahead) > _DRIFT:
        found = f"the server's is {abs(report.ahead):.0f} s {'ahead of' if report.ahead > 0 else 'behind'} ours"
        checks.warning("clock", found, "set both by NTP: lifetimes follow the server's, records ours")
    elif report.ahead is not None:
        checks.ok("clock", f"the server's differs from ours by {abs(report.ahead):.1f} s")
