"""The memory backend: everything is lost when the process ends. Also the shortest complete driver to read."""

import asyncio
import math
import time
from bisect import bisect_left
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from swarmchat.backends.base import Append, Condition, Delete, ExpectLength, Lease, Put, Touch, Truncate, Write
from swarmchat.backends.errors import BackendError, CorruptValue, UnknownBackend, lease_lost, unmet


def open_memory(url: str) -> "MemoryBackend":
    """Return an empty store for the URL ``memory:``. Raises UnknownBackend when anything follows the colon."""
    if url.lower() != "memory:":
        raise UnknownBackend(f"{url!r}: a memory backend has no name and no options: write memory:")
    return MemoryBackend()


@dataclass(frozen=True, slots=True)
class _Entry:
    content: bytes | list[bytes]
    expires: float | None


class MemoryBackend:
    """Values and lists in a dict. Lifetimes are measured by ``clock``, which returns seconds."""

    url = "memory:"

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._entries: dict[str, _Entry] = {}
        self._soonest = math.inf
        self._closed = False
        self._committed = asyncio.Event()
        """Set by the next commit, and replaced then."""

    def one_commit(self, keys: Sequence[str]) -> bool:
        """Return True; see Backend.one_commit."""
        return True

    async def get(self, key: str) -> bytes | None:
        """Return the value of ``key``; see Backend.get."""
        return self._value(key)

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return the values of ``keys``; see Backend.get_many."""
        entries = [self._find(key) for key in keys]
        return [entry.content if entry and isinstance(entry.content, bytes) else None for entry in entries]

    async def scan(self, prefix: str) -> AsyncIterator[tuple[str, bytes]]:
        """Yield the values whose key starts with ``prefix``, in order; see Backend.scan."""
        self._sweep()
        keys = sorted(self._entries)
        for key in keys[bisect_left(keys, prefix) :]:
            if not key.startswith(prefix):
                return
            entry = self._find(key)
            if entry and isinstance(entry.content, bytes):
                yield key, entry.content

    async def length(self, key: str) -> int:
        """Return how many values the list ``key`` has; see Backend.length."""
        return len(self._list(key))

    async def slice(self, key: str, start: int, stop: int | None = None) -> list[bytes]:
        """Return ``values[start:stop]``; see Backend.slice."""
        return self._list(key)[start:stop]

    async def wait(self, key: str, timeout: float) -> bool:
        """Wait until the list ``key`` has values; see Backend.wait."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while not self._list(key):
                    await self._committed.wait()
        return bool(self._list(key))

    async def commit(self, *writes: Write, lease: Lease | None = None) -> None:
        """Apply ``writes``, all or none; see Backend.commit."""
        self._sweep()
        if lease and self._value(lease.key) != lease.owner:
            raise lease_lost(lease.key, self.url)
        for write in writes:
            if isinstance(write, Condition) and not self._holds(write):
                raise unmet(write, self.url)
        if lease:
            writes = (Touch(lease.key, lease.ttl), *writes)
        before = {write.key: self._find(write.key) for write in writes}
        lists = [entry.content for entry in before.values() if entry and isinstance(entry.content, list)]
        lengths = [len(content) for content in lists]
        try:
            for write in writes:
                self._apply(write)
        except CorruptValue:
            for content, length in zip(lists, lengths, strict=True):
                del content[length:]
            self._entries = {key: entry for key, entry in {**self._entries, **before}.items() if entry}
            raise
        self._wake()

    async def acquire(self, key: str, owner: bytes, ttl: float, *, replacing: bytes | None = None) -> Lease | None:
        """Take the lease ``key``; see Backend.acquire."""
        holder = self._value(key)
        if holder is not None and holder not in (owner, replacing):
            return None
        self._entries[key] = _Entry(owner, self._expiry(ttl))
        return Lease(key, owner, ttl)

    async def renew(self, lease: Lease) -> bool:
        """Extend ``lease``; see Backend.renew."""
        if self._value(lease.key) != lease.owner:
            return False
        self._entries[lease.key] = _Entry(lease.owner, self._expiry(lease.ttl))
        return True

    async def release(self, lease: Lease) -> None:
        """Give up ``lease``; see Backend.release."""
        if self._value(lease.key) == lease.owner:
            del self._entries[lease.key]

    async def close(self) -> None:
        """Drop all entries; see Backend.close."""
        self._closed = True
        self._entries.clear()
        self._wake()

    def _wake(self) -> None:
        self._committed.set()
        self._committed = asyncio.Event()

    def _find(self, key: str) -> _Entry | None:
        if self._closed:
            raise BackendError(f"{self.url} is closed")
        entry = self._entries.get(key)
        if entry and entry.expires is not None and entry.expires <= self._clock():
            del self._entries[key]
            return None
        return entry

    def _value(self, key: str) -> bytes | None:
        entry = self._find(key)
        if entry is None:
            return None
        if isinstance(entry.content, list):
            raise CorruptValue(f"{self.url} {key!r} is a list, not a value")
        return entry.content

    def _list(self, key: str) -> list[bytes]:
        entry = self._find(key)
        if entry is None:
            return []
        if isinstance(entry.content, bytes):
            raise CorruptValue(f"{self.url} {key!r} is a value, not a list")
        return entry.content

    def _expiry(self, ttl: float | None) -> float | None:
        if ttl is None:
            return None
        expires = self._clock() + ttl
        self._soonest = min(self._soonest, expires)
        return expires

    def _sweep(self) -> None:
        """Remove expired keys, so that keys that nobody reads again do not pile up."""
        if self._closed:
            raise BackendError(f"{self.url} is closed")
        now = self._clock()
        if now < self._soonest:
            return
        self._entries = {key: e for key, e in self._entries.items() if e.expires is None or e.expires > now}
        self._soonest = min((e.expires for e in self._entries.values() if e.expires is not None), default=math.inf)

    def _holds(self, condition: Condition) -> bool:
        if isinstance(condition, ExpectLength):
            return len(self._list(condition.key)) == condition.length
        return self._value(condition.key) == condition.value

    def _apply(self, write: Write) -> None:
        """Apply ``write``. Entries are replaced, so that a refused commit can put them back; lists grow in place."""
        match write:
            case Put(key, value, ttl):
                self._value(key)  # checks the kind
                self._entries[key] = _Entry(value, self._expiry(ttl))
            case Append(key, values, ttl):
                content = self._list(key)
                content += values
                if content:
                    self._entries[key] = _Entry(content, self._expiry(ttl))
            case Truncate(key, keep):
                if content := self._list(key)[:keep]:
                    self._entries[key] = _Entry(content, self._entries[key].expires)
                else:
                    self._entries.pop(key, None)
            case Touch(key, ttl):
                if entry := self._find(key):
                    self._entries[key] = _Entry(entry.content, self._expiry(ttl))
            case Delete(key):
                self._entries.pop(key, None)
