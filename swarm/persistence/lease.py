"""The lease of a session, which lets one process at a time write to it.

The lease stores the process id and machine of its holder, so that others learn who has the session, and so that a
session whose process died on this machine can be taken over at once instead of when the lease expires.
"""

import asyncio
import json
import os
import platform
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

from swarmchat.backends import Backend, BackendError, Lease, LeaseLost
from swarmchat.swarm.common.cancellation import run_to_completion
from swarmchat.swarm.common.encoding import decode_json
from swarmchat.swarm.common.heartbeat import Heartbeat
from swarmchat.swarm.errors import SessionBusy
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.session_index import SessionInfo

_UNFINISHED = "unfinished:"
"""Prefix of the machine of a holder whose lease must outlive its process."""


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that holds a lease."""

    pid: int
    machine: str
    """Host, boot and process-id namespace, within which ``pid`` is unique."""
    host: str
    started: str
    """When the process started, in clock ticks since boot; tells it from a later process of the same id."""
    nonce: str = ""

    def to_bytes(self) -> bytes:
        """Return the stored form of the holder."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def of_this_process(cls) -> "Holder":
        """Return this process as a holder; no two are equal."""
        pid = os.getpid()
        return cls(pid, _machine(), platform.node(), _status(pid)[1], secrets.token_hex(8))

    @classmethod
    def of_unfinished(cls, source: str) -> "Holder":
        """Return this process as the holder of a session that it writes in pieces, from ``source``.

        ``is_dead`` is never true for it, so that nobody opens half a session. An import of the same session takes
        it over.
        """
        holder = cls.of_this_process()
        return replace(holder, machine=_UNFINISHED + holder.machine, nonce=f"{source}:{holder.nonce}")

    @property
    def unfinished(self) -> str | None:
        """The source of a session that is written in pieces; ``None`` for any other."""
        return self.nonce.rpartition(":")[0] if self.machine.startswith(_UNFINISHED) else None

    @property
    def has_stopped(self) -> bool:
        """Whether it is certain that no other process is still writing this session in pieces."""
        plain = replace(self, machine=self.machine.removeprefix(_UNFINISHED))
        return plain.is_dead or (plain.machine == _machine() and plain.pid == os.getpid())

    @property
    def is_running(self) -> bool:
        """Whether it is certain that another process is writing this session in pieces."""
        return self.machine.removeprefix(_UNFINISHED) == _machine() and not self.has_stopped

    @property
    def is_dead(self) -> bool:
        """Whether it is certain that the process has ended; never for a process on another machine.

        A process that has ended but was not waited for by its parent, a zombie, still has its id.
        """
        if self.machine != _machine():
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except (OSError, OverflowError):
            return False
        state, started = _status(self.pid)
        return state in _ENDED or (bool(self.started) and self.started != started)


class SessionLease:
    """The right to write to one session, renewed in the background while it is open.

    With ``takes_unfinished``, ``acquire`` also takes the lease of an interrupted import.
    """

    def __init__(self, backend: Backend, key: str, ttl: float, *, takes_unfinished: bool = False) -> None:
        self._backend = backend
        self._key = key
        self._ttl = ttl
        self._takes_unfinished = takes_unfinished
        self._owner = Holder.of_this_process().to_bytes()
        self._heartbeat = Heartbeat(self._renew, ttl / 3, f"heartbeat of {key}")
        self.lease: Lease | None = None

    async def acquire(self, session: str) -> Lease:
        """Take the lease, from a dead process too. Raises SessionBusy, naming the holder, while ``session`` is open.

        A caller that is cancelled meanwhile does not hold the lease.
        """
        try:
            return await run_to_completion(self._acquire(session))
        except asyncio.CancelledError:
            await run_to_completion(self.release())
            raise

    async def _acquire(self, session: str) -> Lease:
        lease = await self._backend.acquire(self._key, self._owner, self._ttl)
        if lease is None:
            stored = await self._backend.get(self._key)
            holder = parse_holder(stored)
            # Without a stored value, the lease was released between the two calls.
            if stored is None or _may_replace(holder, self._takes_unfinished):
                lease = await self._backend.acquire(self._key, self._owner, self._ttl, replacing=stored)
            if lease is None:
                raise SessionBusy(_busy(session, holder, self._ttl))
        self.lease = lease
        self._heartbeat.start()
        return lease

    async def release(self) -> None:
        """Give up the lease. If the backend cannot be reached, it expires by itself."""
        await self._heartbeat.stop()
        if self.lease is not None:
            with suppress(BackendError):
                await self._backend.release(self.lease)
            self.lease = None

    async def _renew(self) -> None:
        # The next commit finds out if the lease was lost while the backend was unreachable.
        if self.lease is not None:
            await self._backend.renew(self.lease)


def _may_replace(holder: Holder | None, takes_unfinished: bool) -> bool:
    """Return whether the lease of ``holder`` may be taken over, or ignored, now."""
    if holder is None:
        return False
    return holder.is_dead or (takes_unfinished and holder.unfinished is not None and not holder.is_running)


def parse_holder(stored: bytes | None) -> Holder | None:
    """Return the holder that is ``stored`` in a lease; ``None`` if it is missing or unreadable."""
    try:
        holder = Holder(**decode_json(stored or b""))
    except (ValueError, TypeError):
        return None
    texts = (holder.machine, holder.host, holder.started, holder.nonce)
    # A process id of 0 and less means a group of processes.
    is_valid = type(holder.pid) is int and holder.pid > 0 and all(isinstance(text, str) for text in texts)
    return holder if is_valid else None


def _busy(session: str, holder: Holder | None, ttl: float) -> str:
    who = f"process {holder.pid} on {holder.host}" if holder else "another process"
    if holder is not None and holder.unfinished is not None:
        return (
            f"session {session!r} is being written by {who} and is incomplete: if that was interrupted, run it again, "
            "or delete the session"
        )
    if holder is not None and (holder.machine, holder.pid) == (_machine(), os.getpid()):
        return f"session {session!r} is open in this process already: use that Session, or close it first"
    return (
        f"session {session!r} is open in {who}: close it there, or start another with -s NAME "
        f"(if that process is gone, the session is free within {ttl:g} s)"
    )


@cache
def _machine() -> str:
    boot = namespace = ""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        # Containers may share a host name, and each numbers its processes from 1.
        namespace = os.readlink("/proc/self/ns/pid")
    return "/".join((platform.node(), boot, namespace))


_ENDED = ("Z", "X")
"""States of a process that runs no more: zombie, dead."""


def _status(pid: int) -> tuple[str, str]:
    """Return a process's state, and its start in clock ticks since boot; empty texts if the system does not say."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return "", ""
    # The name, in brackets, may contain spaces and brackets; the state is field 3, the start time is field 22.
    fields = stat.rpartition(")")[2].split()
    return fields[0], fields[19]


_LEASE = 30.0
"""Seconds for which the session stays closed to others if this process dies."""


async def closed_lease(backend: Backend, info: SessionInfo) -> bytes | None:
    """Return the stored lease of a session that no process has open. Raises SessionBusy while one has.

    A commit that expects this value needs no lease, and no room for one: it may remove the session from a full store.
    """
    stored = await backend.get(keys.session_lease(info.client, info.id))
    holder = parse_holder(stored)
    if stored is not None and not _may_replace(holder, takes_unfinished=True):
        raise SessionBusy(_busy(info.name, holder, _LEASE))
    return stored


@asynccontextmanager
async def holding(backend: Backend, info: SessionInfo) -> AsyncIterator[SessionLease]:
    """Hold the lease of a session during the block. Raises SessionBusy while another process has it.

    The lease of an interrupted import is taken over.
    """
    lease = SessionLease(backend, keys.session_lease(info.client, info.id), _LEASE, takes_unfinished=True)
    await lease.acquire(info.name)
    try:
        yield lease
    except LeaseLost as error:
        raise SessionBusy(f"session {info.name!r} was taken over by another process: try again") from error
    finally:
        await run_to_completion(lease.release())
