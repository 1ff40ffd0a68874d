"""One process at a time writes to a session.

The holder of a session's lease is stored beside it with its process id and machine, so that others can be told who it
is, and so that a session whose process died on this machine can be taken over at once instead of when the lease ends.
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
from swarmchat.swarm.common.heartbeat import Heartbeat
from swarmchat.swarm.errors import SessionBusy
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.session_index import SessionInfo

_UNFINISHED = "unfinished:"
"""Before the machine of a holder whose lease outlives it on purpose."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lease."""

    pid: int
    machine: str
    """Host, boot and process-id namespace: where ``pid`` means something."""
    host: str
    started: str
    """When the process started, in the system's own terms: tells it from a later one of the same id."""
    nonce: str = ""

    def to_bytes(self) -> bytes:
        """Return the holder as it is stored."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def of_this_process(cls) -> "Holder":
        """Return a holder, unlike any other."""
        pid = os.getpid()
        return cls(pid, _machine(), platform.node(), _started(pid), secrets.token_hex(8))

    @classmethod
    def of_unfinished(cls, what: str) -> "Holder":
        """Return this process as the holder of a session that is being written in pieces, of ``what``.

        To others it never seems dead, so that no chat begins in half a session. Who writes the same session again
        takes it over.
        """
        me = cls.of_this_process()
        return replace(me, machine=_UNFINISHED + me.machine, nonce=f"{what}:{me.nonce}")

    @property
    def unfinished(self) -> str | None:
        """What the session is being written of; ``None`` if it is not."""
        return self.nonce.rpartition(":")[0] if self.machine.startswith(_UNFINISHED) else None

    @property
    def has_stopped(self) -> bool:
        """Whether it is certain that nobody else is writing a session in pieces any more."""
        plain = replace(self, machine=self.machine.removeprefix(_UNFINISHED))
        return plain.is_dead or (plain.machine == _machine() and plain.pid == os.getpid())

    @property
    def is_running(self) -> bool:
        """Whether it is certain that another process is writing a session in pieces."""
        return self.machine.removeprefix(_UNFINISHED) == _machine() and not self.has_stopped

    @property
    def is_dead(self) -> bool:
        """Whether it is certain that the process is gone. Of another machine's nothing is certain."""
        if self.machine != _machine():
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except (PermissionError, OverflowError, OSError):
            return False
        return bool(self.started) and self.started != _started(self.pid)


class SessionLease:
    """The right to write to one session, renewed in the background while it is open."""

    def __init__(self, backend: Backend, key: str, ttl: float) -> None:
        self._backend = backend
        self._key = key
        self._ttl = ttl
        self._owner = Holder.of_this_process().to_bytes()
        self._heartbeat = Heartbeat(self._renew, ttl / 3, f"heartbeat of {key}")
        self.lease: Lease | None = None

    async def acquire(self, session: str) -> Lease:
        """Take the lease, over from a dead process if need be. Raises SessionBusy, naming who has ``session``.

        Whoever is cancelled meanwhile does not have it.
        """
        try:
            return await run_to_completion(self._acquire(session))
        except asyncio.CancelledError:
            await run_to_completion(self.release())
            raise

    async def _acquire(self, session: str) -> Lease:
        lease = await self._backend.acquire(self._key, self._owner, self._ttl)
        if lease is None and (current := await self._backend.get(self._key)) is not None:
            holder = parse_holder(current)
            if holder is not None and holder.is_dead:
                lease = await self._backend.acquire(self._key, self._owner, self._ttl, replacing=current)
            if lease is None:
                raise SessionBusy(_busy(session, holder, self._ttl))
        if lease is None:
            # It was let go between the two looks.
            lease = await self._backend.acquire(self._key, self._owner, self._ttl)
            if lease is None:
                raise SessionBusy(_busy(session, None, self._ttl))
        self.lease = lease
        self._heartbeat.start()
        return lease

    async def release(self) -> None:
        """Give the lease up. An unreachable backend lets it end by itself."""
        await self._heartbeat.stop()
        if self.lease is not None:
            with suppress(BackendError):
                await self._backend.release(self.lease)
            self.lease = None

    async def _renew(self) -> None:
        # Whether the lease was lost while the backend was away, the next commit finds out.
        if self.lease is not None:
            await self._backend.renew(self.lease)


def parse_holder(stored: bytes) -> Holder | None:
    """Return the holder that is ``stored`` in a lease; ``None`` if it is no session's."""
    try:
        return Holder(**json.loads(stored))
    except (ValueError, TypeError):
        return None


def _busy(session: str, holder: Holder | None, ttl: float) -> str:
    who = f"process {holder.pid} on {holder.host}" if holder else "another process"
    if holder is not None and holder.unfinished is not None:
        return (
            f"session {session!r} is being written by {who} and is not complete: if that was interrupted, do it again, "
            "or delete what there is of it"
        )
    return (
        f"session {session!r} is open in {who}: close it there, or start another with -s NAME "
        f"(should that process be gone, the session is free within {ttl:g} s)"
    )


@cache
def _machine() -> str:
    boot = namespace = ""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        # Containers may share a host name, and each numbers its processes from 1.
        namespace = os.readlink("/proc/self/ns/pid")
    return "/".join((platform.node(), boot, namespace))


def _started(pid: int) -> str:
    """Return the start time of a process in clock ticks since boot; empty where the system does not tell."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return ""
    # The name, in brackets, may hold spaces and brackets itself; the start time is field 22, counted from 1.
    return stat.rpartition(")")[2].split()[19]


_LEASE = 30.0
"""Seconds that the session stays closed to others if this process vanishes."""


async def _free(backend: Backend, key: str, stored: bytes | None) -> None:
    """Let go of the lease that is ``stored``, unless somebody else has it by now."""
    taken = await backend.acquire(key, Holder.of_this_process().to_bytes(), _LEASE, replacing=stored)
    if taken is not None:
        await backend.release(taken)


@asynccontextmanager
async def holding(backend: Backend, info: SessionInfo) -> AsyncIterator[SessionLease]:
    """Hold the lease of a session. Raises SessionBusy while another process has it.

    That of an import that was interrupted is taken over: the session is nobody's.
    """
    key = keys.session_lease(info.client, info.id)
    stored = await backend.get(key)
    holder = parse_holder(stored) if stored is not None else None
    if holder is not None and holder.unfinished is not None and not holder.is_running:
        await run_to_completion(_free(backend, key, stored))
    held = SessionLease(backend, key, _LEASE)
    await held.acquire(info.name)
    try:
        yield held
    except LeaseLost as error:
        raise SessionBusy(f"session {info.name!r} was taken over by another process: try again") from error
    finally:
        await run_to_completion(held.release())
