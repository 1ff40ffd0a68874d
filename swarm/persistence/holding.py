"""Have a session to oneself for a moment, without opening it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from swarmchat.backends import Backend, LeaseLost
from swarmchat.swarm.common.cancellation import settle
from swarmchat.swarm.errors import SessionBusy
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.lease import Holder, SessionLease, parse_holder
from swarmchat.swarm.persistence.session_index import SessionInfo

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
        await settle(_free(backend, key, stored))
    held = SessionLease(backend, key, _LEASE)
    await held.acquire(info.name)
    try:
        yield held
    except LeaseLost as error:
        raise SessionBusy(f"session {info.name!r} was taken over by another process: try again") from error
    finally:
        await settle(held.release())
