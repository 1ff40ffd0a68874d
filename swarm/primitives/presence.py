"""Presence: the clients that are online. Each session has a key that expires unless it is renewed."""

import json
import os
import platform
import secrets
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from swarmchat.backends import Backend, BackendError, Lease
from swarmchat.swarm.common.encoding import encode_json
from swarmchat.swarm.common.heartbeat import Heartbeat
from swarmchat.swarm.persistence import keys


@dataclass(frozen=True)
class Presence:
    """A client that is online."""

    client: str
    session: str
    agent: str
    pid: int
    host: str
    since: str


class PersistAlive:
    """Presence of the clients of one swarm. The key of a session belongs to the process that announced it."""

    def __init__(self, backend: Backend, swarm: str, lifetime: float = 60) -> None:
        self._backend = backend
        self._swarm = swarm
        self._lifetime = lifetime
        self._lease: Lease | None = None
        self._heartbeat = Heartbeat(self._renew, lifetime / 3, "presence")

    async def announce(self, client: str, session: str, agent: str, since: str, *, replace: bool = False) -> None:
        """Announce that ``client`` is online, until ``leave`` or until this process has been gone for a lifetime.

        Another process's announcement of the same session is kept unless ``replace`` is true: only the holder of the
        session's lease knows that the previous process is gone.
        """
        presence = Presence(client, session, agent, os.getpid(), platform.node(), since)
        value = {**asdict(presence), "owner": secrets.token_hex(8)}
        key = keys.alive(self._swarm, client, session)
        before = await self._backend.get(key) if replace else None
        self._lease = await self._backend.acquire(key, encode_json(value), self._lifetime, replacing=before)
        if self._lease:
            self._heartbeat.start()

    async def leave(self) -> None:
        """Withdraw the announcement. If the backend cannot be reached, it expires by itself."""
        await self._heartbeat.stop()
        if self._lease is not None:
            with suppress(BackendError):
                await self._backend.release(self._lease)
            self._lease = None

    async def online(self) -> list[Presence]:
        """Return the clients that are online, once for each session."""
        values = self._backend.scan(keys.alive_sessions(self._swarm))
        return [presence async for _, value in values if (presence := _parse(value))]

    async def _renew(self) -> None:
        lease = self._lease
        if lease is not None and not await self._backend.renew(lease):
            # It expired, as on a suspended laptop; the session is still open.
            await self._backend.acquire(lease.key, lease.owner, lease.ttl)


class ShownPresence:
    """The presence of one session, announced again whenever another agent becomes active."""

    def __init__(self, alive: PersistAlive, client: str, session: str, since: str) -> None:
        self._alive = alive
        self._where = client, session
        self._since = since
        self._agent = ""

    async def show(self, agent: str) -> None:
        """Announce that the client is online with ``agent``. A failure does not end the chat."""
        if agent == self._agent:
            return
        with suppress(BackendError):
            await self._alive.announce(*self._where, agent, self._since, replace=True)
            self._agent = agent

    async def leave(self) -> None:
        """Withdraw the announcement."""
        await self._alive.leave()


def _parse(value: bytes) -> Presence | None:
    try:
        fields: dict[str, Any] = json.loads(value)
        fields.pop("owner", None)
        return Presence(**fields)
    except (ValueError, TypeError, AttributeError):
        return None
