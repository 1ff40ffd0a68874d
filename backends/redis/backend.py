"""The Redis backend: Redis 6.2 or newer, or Valkey, as one server, a cluster, or behind sentinels."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, TypeVar

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisClusterException, RedisError
from swarmchat.backends.base import Condition, ExpectLength, Lease, Write
from swarmchat.backends.errors import (
    BackendError,
    BackendUnavailable,
    Conflict,
    CorruptValue,
    LeaseLost,
    LengthConflict,
)
from swarmchat.backends.redis.errors import is_changing, map_error, worth_retrying
from swarmchat.backends.redis.scripts import ACQUIRE, COMMIT, RELEASE, RENEW, Script, milliseconds, pack_commit, slot
from swarmchat.backends.redis.url import RedisTarget, parse_redis_url

_T = TypeVar("_T")
_Client = Redis | RedisCluster

_PAUSES = (0.05, 0.1, 0.2, 0.4)
"""Seconds before each new attempt of a call whose connection was lost. The last one is repeated, until the deadline,
while the server is becoming ready or another one takes over."""
_TOKEN_TTL = 60.0
_CONNECTIONS = 32
_BATCH = 500
_SPECIAL = str.maketrans({character: "\\" + character for character in "\\*?[]"})


def open_redis(url: str) -> "RedisBackend":
    """Return the store that a Redis URL names; ``url`` lists the forms.

    Raises UnknownBackend for a URL that cannot be right. Connects at the first call.
    """
    return RedisBackend(parse_redis_url(url))


class RedisBackend:
    """The store that ``target`` names. A call ends within ``target.deadline`` seconds, one way or the other."""

    def __init__(self, target: RedisTarget) -> None:
        self.url = target.masked
        self._target = target
        self._client: _Client | None = None
        self._sentinel: Sentinel | None = None
        # redis-py raises when all connections are busy; here the calls queue.
        self._places = asyncio.Semaphore(_CONNECTIONS)
        self._closed = False

    async def get(self, key: str) -> bytes | None:
        """Return the value of ``key``; see Backend.get."""
        value: bytes | None = await self._command("GET", key)
        return value

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return the values of ``keys``; see Backend.get_many."""
        batches = [await self._values(keys[first : first + _BATCH]) for first in range(0, len(keys), _BATCH)]
        return [value for batch in batches for value in batch]

    async def scan(self, prefix: str) -> AsyncIterator[tuple[str, bytes]]:
        """Yield the values whose key starts with ``prefix``, in order; see Backend.scan."""
        found = await self._scan_keys(prefix)
        for first in range(0, len(found), _BATCH):
            batch = found[first : first + _BATCH]
            for key, value in zip(batch, await self._values(batch), strict=True):
                if value is not None:
                    yield key, value

    async def length(self, key: str) -> int:
        """Return how many values the list ``key`` has; see Backend.length."""
        number: int = await self._command("LLEN", key)
        return number

    async def slice(self, key: str, start: int, stop: int | None = None) -> list[bytes]:
        """Return ``values[start:stop]``; see Backend.slice."""
        # LRANGE counts as Python does, but includes the last one; "up to 0" has no such form.
        first, last = (1, 0) if stop == 0 else (start, -1 if stop is None else stop - 1)
        values: list[bytes] = await self._command("LRANGE", key, _int64(first), _int64(last))
        return values

    async def commit(self, *writes: Write, lease: Lease | None = None) -> None:
        """Apply ``writes`` in one script; see Backend.commit."""
        if not writes and lease is None:
            self._check_open()
            return
        # It must outlive every retry, or the last of them would write a second time.
        token_ttl = max(_TOKEN_TTL, 2 * self._target.deadline)
        # The script checks what is expected before it writes; the sort keeps the order of the rest.
        ordered = sorted(writes, key=lambda write: not isinstance(write, Condition))
        keys, arguments = pack_commit(ordered, lease, secrets.token_hex(12), token_ttl)
        if self._target.scheme == "redis+cluster":
            self._check_slots(keys[1 if lease else 2 :])
        done = await self._script(COMMIT, keys, arguments)
        if done == 0 and lease:
            raise LeaseLost(f"{self.url} the lease {lease.key!r} is held by somebody else or has run out")
        if done > 1:
            unmet = ordered[done - 2]
            if isinstance(unmet, ExpectLength):
                raise LengthConflict(
                    f"{self.url} the list {unmet.key!r} does not have the {unmet.length} values that this commit relied"
                    " on; nothing was written"
                )
            raise Conflict(
                f"{self.url} {unmet.key!r} is not what this commit relied on, and nothing was written: read it again"
                " and retry"
            )
        if done < 0:
            raise CorruptValue(
                f"{self.url} {ordered[-done - 1].key!r} is of another kind than this commit needs; nothing was written"
            )

    async def acquire(self, key: str, owner: bytes, ttl: float, *, replacing: bytes | None = None) -> Lease | None:
        """Take the lease ``key``; see Backend.acquire."""
        replaced = ["0", ""] if replacing is None else ["1", replacing]
        taken = await self._script(ACQUIRE, [key], [owner, milliseconds(ttl), *replaced])
        return Lease(key, owner, ttl) if taken else None

    async def renew(self, lease: Lease) -> bool:
        """Hold ``lease`` for longer; see Backend.renew."""
        return bool(await self._script(RENEW, [lease.key], [lease.owner, milliseconds(lease.ttl)]))

    async def release(self, lease: Lease) -> None:
        """Give ``lease`` up; see Backend.release."""
        await self._script(RELEASE, [lease.key], [lease.owner])

    async def ask(self, *command: str) -> Any:
        """Send a command that changes nothing, for reports about the server; return what it answers."""
        return await self._command(*command)

    async def close(self) -> None:
        """Close the connections; see Backend.close."""
        self._closed = True
        await self._disconnect(self._client)

    async def _command(self, *command: str | bytes | int) -> Any:
        async def send(client: _Client) -> Any:
            return await client.execute_command(*command)

        return await self._call(send)

    async def _script(self, script: Script, keys: list[str], arguments: list[str | bytes]) -> int:
        async def send(client: _Client) -> int:
            tail = (len(keys), *keys, *arguments)
            try:
                done: int = await client.execute_command("EVALSHA", script.digest, *tail)
            except NoScriptError:
                # EVAL keeps the script for the next time, too.
                done = await client.execute_command("EVAL", script.source, *tail)
            return done

        return await self._call(send)

    async def _scan_keys(self, prefix: str) -> list[str]:
        pattern = prefix.translate(_SPECIAL).encode() + b"*"

        async def walk(server: Redis | ClusterNode) -> set[bytes]:
            found: set[bytes] = set()
            cursor = 0
            while True:
                cursor, keys = await server.execute_command(
                    "SCAN", cursor, "MATCH", pattern, "COUNT", 1000, "TYPE", "string"
                )
                found.update(keys)
                if not cursor:
                    return found

        async def walk_all(client: _Client) -> set[bytes]:
            if isinstance(client, Redis):
                return await walk(client)
            await client.initialize()
            return set().union(*[await walk(node) for node in client.get_primaries()])

        # A key that is not text is nobody's that calls this.
        return sorted(key.decode() for key in await self._call(walk_all) if _is_text(key))

    async def _values(self, keys: Sequence[str]) -> list[bytes | None]:
        if self._target.scheme != "redis+cluster":
            values: list[bytes | None] = await self._command("MGET", *keys)
            return values
        by_slot: dict[int, list[str]] = {}
        for key in keys:
            by_slot.setdefault(slot(key), []).append(key)
        found: dict[str, bytes | None] = {}
        for together in by_slot.values():
            found.update(zip(together, await self._command("MGET", *together), strict=True))
        return [found[key] for key in keys]

    def _check_slots(self, keys: list[str]) -> None:
        if len({slot(key) for key in keys}) > 1:
            raise BackendError(
                f"{self.url} cannot write {min(keys)!r} and {max(keys)!r} in one commit: on a cluster all its keys"
                " must lie in one slot, so give them the same {hash tag}"
            )

    def _check_open(self) -> None:
        if self._closed:
            raise BackendError(f"{self.url} is closed")

    async def _call(self, send: Callable[[_Client], Awaitable[_T]]) -> _T:
        """Let ``send`` talk to the server, again when the connection is lost, until the deadline."""
        try:
            async with asyncio.timeout(self._target.deadline), self._places:
                return await self._retry(send)
        except TimeoutError as error:
            raise BackendUnavailable(
                f"{self.url} did not answer within {self._target.deadline:g} s: is the server overloaded or stopped?"
            ) from error

    async def _retry(self, send: Callable[[_Client], Awaitable[_T]]) -> _T:
        loop = asyncio.get_running_loop()
        # A little before the deadline, so that the error says what the server said.
        end = loop.time() + 0.9 * self._target.deadline
        pauses = iter(_PAUSES)
        while True:
            self._check_open()
            if self._client is None:
                self._client = self._connect()
            client = self._client
            try:
                return await send(client)
            except (RedisError, RedisClusterException, OSError) as error:
                self._check_open()
                pause = next(pauses, None)
                if is_changing(error):
                    # Another server may have taken over behind the same address.
                    await self._disconnect(client)
                    pause = pause or _PAUSES[-1]
                if pause is None or loop.time() + pause > end or not worth_retrying(error):
                    mapped = map_error(error, self._target)
                    # A traceback shows the cause, so one that quotes a password is left out.
                    quotes_secret = self._target.scrub(str(error)) != str(error)
                    raise mapped from (None if quotes_secret else error)
            await asyncio.sleep(pause)

    async def _disconnect(self, client: _Client | None) -> None:
        """Close ``client``, so that the next attempt resolves the address and connects again."""
        if self._client is client:
            sentinel, self._client, self._sentinel = self._sentinel, None, None
            for part in (client, sentinel):
                if part is not None:
                    await part.aclose()

    def _connect(self) -> _Client:
        """Make the client. Its own retries are off: it would send an append again that has landed."""
        target = self._target
        options: dict[str, Any] = {
            "socket_timeout": target.timeout,
            "socket_connect_timeout": target.timeout,
            "retry": Retry(NoBackoff(), 0),
            # RESP 2: the greeting of 3 is a command that an ACL may forbid.
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
            sentinel_login = {
                "username": target.sentinel_username,
                "password": target.sentinel_password,
                **target.tls,
            }
            self._sentinel = Sentinel(  # type: ignore[no-untyped-call]  # redis-py left its arguments untyped
                target.hosts, sentinel_kwargs={**options, **sentinel_login}
            )
            master: Redis = self._sentinel.master_for(target.service, db=target.db, **login, **options)
            return master
        host, port = target.hosts[0]
        return Redis(host=host, port=port, db=target.db, **login, **options)


def _int64(number: int) -> int:
    return max(-(2**62), min(2**62, number))


def _is_text(key: bytes) -> bool:
    try:
        key.decode()
    except UnicodeDecodeError:
        return False
    return True
