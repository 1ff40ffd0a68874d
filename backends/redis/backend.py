"""The Redis backend: Redis 6.2 or newer, or Valkey, as one server, a cluster, or behind sentinels."""

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisClusterException, RedisError
from swarmchat.backends.base import Condition, Lease, Write
from swarmchat.backends.errors import BackendError, BackendUnavailable, CorruptValue, lease_lost, unmet
from swarmchat.backends.redis.errors import is_changing, map_error, worth_retrying
from swarmchat.backends.redis.scripts import (
    ACQUIRE,
    COMMIT,
    RELEASE,
    RENEW,
    Script,
    milliseconds,
    pack_commit,
    slot,
    token_key_of,
)
from swarmchat.backends.redis.url import RedisTarget, parse_redis_url

_T = TypeVar("_T")
_Client = Redis | RedisCluster

_PAUSES = (0.05, 0.1, 0.2, 0.4)
"""Seconds before each new attempt of a call whose connection was lost. The last one is repeated until the deadline
while the server is starting, or a replica is taking over."""
_TOKEN_TTL = 60.0
_CONNECTIONS = 32
_WAITS = 1000
"""Waits at the same time: each has a connection of its own."""
_BLOCK = 10.0
"""Seconds that a wait blocks on the server; then it asks again, so that a connection that was lost is noticed."""
_POLL = 0.02
"""Seconds between two looks whether all waits have ended when a backend is closed."""
_BATCH = 500
_SPECIAL = str.maketrans({character: "\\" + character for character in "\\*?[]"})

# Without a handler, Python would print what redis-py logs on the terminal.
logging.getLogger("redis").addHandler(logging.NullHandler())


def open_redis(url: str) -> "RedisBackend":
    """Return the store that a Redis URL names; its first call connects. The module ``url`` lists the forms.

    Raises UnknownBackend for an invalid URL.
    """
    return RedisBackend(parse_redis_url(url))


class RedisBackend:
    """The store that ``target`` names. A call returns or raises within ``target.deadline`` seconds."""

    def __init__(self, target: RedisTarget, connections: int = _CONNECTIONS) -> None:
        self.url = target.masked
        self._target = target
        self._client: _Client | None = None
        self._sentinel: Sentinel | None = None
        # redis-py raises when all connections are busy; with this, calls wait.
        self._slots = asyncio.Semaphore(connections)
        self._closed = False
        self._waiting: RedisBackend | None = None
        """Has the connections that are blocked by waits, so that these keep no other call from one."""
        self._waits: set[asyncio.Future[bool]] = set()
        """Also those that nobody waits for any more."""

    def one_commit(self, keys: Sequence[str]) -> bool:
        """Return whether ``keys`` are in one slot, on a cluster; see Backend.one_commit."""
        return self._target.scheme != "redis+cluster" or len({slot(key) for key in keys}) <= 1

    async def get(self, key: str) -> bytes | None:
        """Return the value of ``key``; see Backend.get."""
        value: bytes | None = await self.ask("GET", key)
        return value

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return the values of ``keys``; see Backend.get_many."""
        batches = [await self._values(keys[first : first + _BATCH]) for first in range(0, len(keys), _BATCH)]
        return [value for batch in batches for value in batch]

    async def scan(self, prefix: str) -> AsyncIterator[tuple[str, bytes]]:
        """Yield the values whose key starts with ``prefix``, in order; see Backend.scan."""
        keys = await self._scan_keys(prefix)
        for first in range(0, len(keys), _BATCH):
            batch = keys[first : first + _BATCH]
            for key, value in zip(batch, await self._values(batch), strict=True):
                if value is not None:
                    yield key, value

    async def length(self, key: str) -> int:
        """Return how many values the list ``key`` has; see Backend.length."""
        number: int = await self.ask("LLEN", key)
        return number

    async def slice(self, key: str, start: int, stop: int | None = None) -> list[bytes]:
        """Return ``values[start:stop]``; see Backend.slice."""
        # LRANGE counts as Python does, but includes the value at ``last``; "up to 0" cannot be expressed so.
        first, last = (1, 0) if stop == 0 else (start, -1 if stop is None else stop - 1)
        values: list[bytes] = await self.ask("LRANGE", key, _int64(first), _int64(last))
        return values

    async def wait(self, key: str, timeout: float) -> bool:
        """Wait until the list ``key`` has values; see Backend.wait."""
        waiting = asyncio.ensure_future(self._wait(key, timeout))
        self._waits.add(waiting)
        waiting.add_done_callback(self._ended)
        try:
            # redis-py swallows a cancellation while it connects: whoever cancels must not wait for the server then.
            return await asyncio.shield(waiting)
        except asyncio.CancelledError:
            waiting.cancel()
            raise

    def _ended(self, waiting: "asyncio.Future[bool]") -> None:
        self._waits.discard(waiting)
        if not waiting.cancelled():
            # Nobody may be left to be told.
            waiting.exception()

    async def _wait(self, key: str, timeout: float) -> bool:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        end = loop.time() + timeout
        while not await self.length(key):
            if (left := end - loop.time()) <= 0 or (task and task.cancelling()):
                return False
            await self._block(key, min(_BLOCK, left))
        return True

    async def _block(self, key: str, seconds: float) -> None:
        """Wait until the list ``key`` has values, at most ``seconds``."""
        self._check_open()
        target = self._target
        if self._waiting is None:
            patient = replace(target, deadline=2 * _BLOCK + target.deadline, timeout=_BLOCK + target.timeout)
            self._waiting = RedisBackend(patient, _WAITS)
        # Moves the last value to where it was: the only command that waits for a list, changes nothing and wakes all.
        await self._waiting.ask("BLMOVE", key, key, "RIGHT", "RIGHT", f"{max(seconds, 0.001):.3f}")

    async def commit(self, *writes: Write, lease: Lease | None = None) -> None:
        """Apply ``writes`` in one script; see Backend.commit."""
        if not writes and lease is None:
            self._check_open()
            return
        # The token must outlive every retry, or the last of them would write a second time.
        token_ttl = max(_TOKEN_TTL, 2 * self._target.deadline)
        conditions = [write for write in writes if isinstance(write, Condition)]
        ordered = [*conditions, *(write for write in writes if not isinstance(write, Condition))]
        keys, arguments = pack_commit(ordered, lease, secrets.token_hex(12), token_ttl)
        written = keys[2 if lease else 3 :]
        if not self.one_commit(written):
            raise BackendError(
                f"{self.url} cannot write {min(written)!r} and {max(written)!r} in one commit: on a cluster, all keys"
                " of a commit must be in one slot: give them the same {hash tag}"
            )
        result = await self._script(COMMIT, keys, arguments)
        if result == 0 and lease:
            raise lease_lost(lease.key, self.url)
        if result > 1:
            raise unmet(conditions[result - 2], self.url)
        if result < 0:
            raise CorruptValue(
                f"{self.url} {ordered[-result - 1].key!r} is not of the kind that this commit needs: nothing written"
            )

    async def acquire(self, key: str, owner: bytes, ttl: float, *, replacing: bytes | None = None) -> Lease | None:
        """Take the lease ``key``; see Backend.acquire."""
        replaced = ["0", ""] if replacing is None else ["1", replacing]
        missing = token_key_of(key, secrets.token_hex(12))
        acquired = await self._script(ACQUIRE, [key, missing], [owner, milliseconds(ttl), *replaced])
        return Lease(key, owner, ttl) if acquired else None

    async def renew(self, lease: Lease) -> bool:
        """Extend ``lease``; see Backend.renew."""
        return bool(await self._script(RENEW, [lease.key], [lease.owner, milliseconds(lease.ttl)]))

    async def release(self, lease: Lease) -> None:
        """Give up ``lease``; see Backend.release."""
        await self._script(RELEASE, [lease.key], [lease.owner])

    async def close(self) -> None:
        """Close the connections; see Backend.close."""
        self._closed = True
        clients: list[_Client | None] = [self._client, None if self._waiting is None else self._waiting._client]
        if self._waiting is not None:
            await self._waiting.close()
        await self._disconnect(self._client)
        end = asyncio.get_running_loop().time() + self._target.timeout
        while self._waits and asyncio.get_running_loop().time() < end:
            # They must not outlive the loop. One that was still connecting has its connection only now.
            await asyncio.wait([*self._waits], timeout=_POLL)
            for client in clients:
                if client is not None:
                    await _close(client)

    async def ask(self, *command: str | int) -> Any:
        """Send a command that changes nothing; return the reply."""
        return await self._call(lambda client: client.execute_command(*command))

    async def _script(self, script: Script, keys: list[str], arguments: list[str | bytes]) -> int:
        async def send(client: _Client) -> int:
            tail = (len(keys), *keys, *arguments)
            try:
                result: int = await client.execute_command("EVALSHA", script.digest, *tail)
            except NoScriptError:
                # EVAL also caches the script on the server.
                result = await client.execute_command("EVAL", script.source, *tail)
            return result

        return await self._call(send)

    async def _scan_keys(self, prefix: str) -> list[str]:
        pattern = prefix.translate(_SPECIAL).encode() + b"*"

        async def walk(server: Redis | ClusterNode) -> set[bytes]:
            keys: set[bytes] = set()
            cursor = 0
            while True:
                cursor, page = await server.execute_command(
                    "SCAN", cursor, "MATCH", pattern, "COUNT", 1000, "TYPE", "string"
                )
                keys.update(page)
                if not cursor:
                    return keys

        async def walk_all(client: _Client) -> set[bytes]:
            if isinstance(client, Redis):
                return await walk(client)
            await client.initialize()
            return set().union(*[await walk(node) for node in client.get_primaries()])

        # Keys that are not UTF-8 belong to other programs.
        texts = {key: key.decode("utf-8", "ignore") for key in await self._call(walk_all)}
        return sorted(text for key, text in texts.items() if text.encode() == key)

    async def _values(self, keys: Sequence[str]) -> list[bytes | None]:
        by_slot: dict[int, list[str]] = {}
        for key in keys:
            by_slot.setdefault(slot(key) if self._target.scheme == "redis+cluster" else 0, []).append(key)
        values: dict[str, bytes | None] = {}
        for batch in by_slot.values():
            values.update(zip(batch, await self.ask("MGET", *batch), strict=True))
        return [values[key] for key in keys]

    def _check_open(self) -> None:
        if self._closed:
            raise BackendError(f"{self.url} is closed")

    async def _call(self, send: Callable[[_Client], Awaitable[_T]]) -> _T:
        """Run ``send`` with a client, again when the connection is lost, until the deadline."""
        try:
            async with asyncio.timeout(self._target.deadline), self._slots:
                return await self._retry(send)
        except TimeoutError as error:
            raise BackendUnavailable(
                f"{self.url} did not answer within {self._target.deadline:g} s: is the server overloaded or stopped?"
            ) from error

    async def _retry(self, send: Callable[[_Client], Awaitable[_T]]) -> _T:
        loop = asyncio.get_running_loop()
        # A little before the deadline, so that the error quotes the server.
        end = loop.time() + 0.9 * self._target.deadline
        pauses = iter(_PAUSES)
        while True:
            self._check_open()
            if self._client is None:
                self._client = self._connect()
            client = self._client
            try:
                try:
                    return await send(client)
                finally:
                    if self._closed:
                        # Closing found no connection while one was being made.
                        await _close(client)
            # AttributeError: redis-py was redirected to a node of the cluster that it does not know yet.
            except (RedisError, RedisClusterException, OSError, AttributeError) as error:
                self._check_open()
                pause = next(pauses, None)
                # Otherwise it was another call that closed the connections of this one.
                is_current = self._client is client
                if is_changing(error):
                    # Another server may have taken over behind the same address.
                    await self._disconnect(client)
                if is_changing(error) or not is_current:
                    pause = pause or _PAUSES[-1]
                if pause is None or loop.time() + pause > end or not worth_retrying(error):
                    mapped = map_error(error, self._target)
                    # A traceback shows the cause: a cause that quotes a password is left out.
                    quotes_secret = self._target.scrub(str(error)) != str(error)
                    raise mapped from (None if quotes_secret else error)
            await asyncio.sleep(pause)

    async def _disconnect(self, client: _Client | None) -> None:
        """Close ``client``, so that the next attempt resolves the address and connects again."""
        if self._client is client:
            sentinel, self._client, self._sentinel = self._sentinel, None, None
            for connected in (client, sentinel):
                if connected is not None:
                    await _close(connected)

    def _connect(self) -> _Client:
        """Create the client, without retries of its own: it would repeat an append that has landed."""
        target = self._target
        options: dict[str, Any] = {
            "socket_timeout": target.timeout,
            "socket_connect_timeout": target.timeout,
            "retry": Retry(NoBackoff(), 0),
            # RESP 2: version 3 starts with a command that an ACL may forbid.
            "protocol": 2,
            "driver_info": None,
        }
        login = {"username": target.username, "password": target.password, **target.tls}
        if target.scheme == "unix":
            return Redis(unix_socket_path=target.path, db=target.db, **login, **options)
        if target.scheme == "redis+cluster":
            nodes = [ClusterNode(host, port) for host, port in target.hosts]
            return RedisCluster(startup_nodes=nodes, **login, **options)
        if target.scheme == "redis+sentinel":
            sentinel_login = {"username": target.sentinel_username, "password": target.sentinel_password, **target.tls}
            self._sentinel = Sentinel(  # type: ignore[no-untyped-call]  # redis-py left its arguments untyped
                target.hosts, sentinel_kwargs={**options, **sentinel_login}
            )
            master: Redis = self._sentinel.master_for(target.service, db=target.db, **login, **options)
            return master
        host, port = target.hosts[0]
        return Redis(host=host, port=port, db=target.db, **login, **options)


async def _close(client: _Client | Sentinel) -> None:
    await client.aclose()
    if isinstance(client, RedisCluster):
        # After some errors, redis-py takes a cluster's client for closed, and goes on to open connections.
        for nodes in ("nodes_cache", "startup_nodes"):
            await client.nodes_manager.aclose(nodes)


def _int64(number: int) -> int:
    return max(-(2**62), min(2**62, number))
