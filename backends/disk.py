"""The disk backend: a folder that several processes share safely, holding a SQLite database made by diskcache."""

import asyncio
import errno
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from typing import TypeVar
from urllib.parse import parse_qsl

from swarmchat.backends.base import Append, Condition, ExpectLength, Lease, Put, Write
from swarmchat.backends.disk_reserve import free_reserve, keep_reserve
from swarmchat.backends.disk_rows import DiskRows, ReadOnlyRows
from swarmchat.backends.errors import (
    BackendError,
    BackendFull,
    BackendUnavailable,
    CorruptValue,
    UnknownBackend,
    lease_lost,
    unmet,
)

DURABILITY = {"normal": 1, "full": 2}
"""What ``?durability=`` may be, and SQLite's ``synchronous`` for it."""

_PAGE = 500
_POLL = 0.2
"""Seconds between two looks of a wait: each is one row by its key, some 0.1 ms of work."""
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
# An exceeded quota, unlike a full disk, is reported as a failed write, or as a journal index that cannot be created.
_NO_ROOM_CODES = {sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE, sqlite3.SQLITE_IOERR_SHMOPEN}
_NO_WRITES = {errno.EROFS, errno.EACCES, errno.EPERM}
_IMPOSSIBLE = {errno.ENAMETOOLONG, errno.EINVAL, errno.ELOOP}

_T = TypeVar("_T")


def open_disk(url: str) -> "DiskBackend":
    """Return the store for ``disk:PATH?durability=normal|full&timeout=SECONDS``; its first call opens it.

    ``~`` at the start of PATH is the home folder; nothing else in it is expanded. Raises UnknownBackend for an
    unknown option and an impossible path.
    """
    path, _, query = url.partition(":")[2].partition("?")
    if not path or "\0" in path:
        raise UnknownBackend(f"{url!r}: not a valid folder path: write disk:PATH")
    options = dict(parse_qsl(query, keep_blank_values=True))
    durability = options.pop("durability", "normal")
    if durability not in DURABILITY:
        raise UnknownBackend(f"{url!r}: durability is {durability!r}, expected normal or full")
    timeout = options.pop("timeout", "5")
    try:
        seconds = float(timeout)
    except ValueError:
        seconds = -1
    if not 0 <= seconds <= 3600:
        raise UnknownBackend(f"{url!r}: timeout is {timeout!r}, expected seconds from 0 to 3600")
    if options:
        raise UnknownBackend(f"{url!r}: unknown option {min(options)!r}; known: durability, timeout")
    return DiskBackend(os.path.expanduser(path), durability, seconds)


class DiskBackend:
    """The store in ``folder``, which is created if it is missing.

    Every call is one transaction on one thread of its own: calls keep their order, and a call whose task is
    cancelled still happens wholly or not at all.
    """

    def __init__(
        self, folder: str, durability: str = "normal", timeout: float = 5, clock: Callable[[], float] = time.time
    ) -> None:
        self._folder = os.path.abspath(folder)
        self.url = f"disk:{self._folder}" + ("" if durability == "normal" else f"?durability={durability}")
        self._synchronous = DURABILITY[durability]
        self._timeout = timeout
        self._clock = clock
        self._rows: DiskRows | None = None
        self._thread = ThreadPoolExecutor(1, "swarmchat-disk")
        self._closed = False

    def one_commit(self, keys: Sequence[str]) -> bool:
        """Return True; see Backend.one_commit."""
        return True

    async def get(self, key: str) -> bytes | None:
        """Return the value of ``key``; see Backend.get."""
        return await self._run(lambda rows: rows.value(key))

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return the values of ``keys``; see Backend.get_many."""
        values = await self._run(partial(DiskRows.values, keys=[key.encode() for key in keys]))
        return [values.get(key.encode()) for key in keys]

    async def scan(self, prefix: str) -> AsyncIterator[tuple[str, bytes]]:
        """Yield the values whose key starts with ``prefix``, in order; see Backend.scan."""
        start, after = prefix.encode(), None
        while True:
            page = await self._run(partial(DiskRows.page, prefix=start, after=after, limit=_PAGE))
            for key, value in page:
                yield key.decode(), value
            if len(page) < _PAGE:
                return
            after = page[-1][0]

    async def length(self, key: str) -> int:
        """Return how many values the list ``key`` has; see Backend.length."""
        return await self._run(lambda rows: rows.length(key))

    async def slice(self, key: str, start: int, stop: int | None = None) -> list[bytes]:
        """Return ``values[start:stop]``; see Backend.slice."""

        def read(rows: DiskRows) -> list[bytes]:
            with rows.snapshot():
                first, last, _ = slice(start, stop).indices(rows.length(key))
                return rows.items(key.encode(), first, last) if first < last else []

        return await self._run(read)

    async def wait(self, key: str, timeout: float) -> bool:
        """Wait until the list ``key`` has values; see Backend.wait. SQLite wakes nobody: this looks again and again."""
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout
        while not await self.length(key):
            if (left := end - loop.time()) <= 0:
                return False
            await asyncio.sleep(min(_POLL, left))
        return True

    async def commit(self, *writes: Write, lease: Lease | None = None) -> None:
        """Apply ``writes`` in one transaction; see Backend.commit."""

        def write_all(rows: DiskRows) -> None:
            rows.sweep()
            if lease and not _renew(rows, lease):
                raise lease_lost(lease.key)
            for write in writes:
                if isinstance(write, Condition) and not _holds(rows, write):
                    raise unmet(write)
            rows.apply([write for write in writes if not isinstance(write, Condition)])

        try:
            await self._transact(write_all)
        except BackendFull:
            if any(isinstance(write, Put | Append) for write in writes):
                raise
            free_reserve(self._folder)
            await self._run(DiskRows.empty_journal, writes=True)
            await self._transact(write_all)

    async def acquire(self, key: str, owner: bytes, ttl: float, *, replacing: bytes | None = None) -> Lease | None:
        """Take the lease ``key``; see Backend.acquire."""

        def take(rows: DiskRows) -> Lease | None:
            holder = rows.value(key)
            if holder is not None and holder not in (owner, replacing):
                return None
            rows.put_all([Put(key, owner, ttl)])
            return Lease(key, owner, ttl)

        return await self._transact(take)

    async def renew(self, lease: Lease) -> bool:
        """Extend ``lease``; see Backend.renew."""
        return await self._transact(lambda rows: _renew(rows, lease))

    async def release(self, lease: Lease) -> None:
        """Give up ``lease``; see Backend.release."""

        def release(rows: DiskRows) -> None:
            if rows.value(lease.key) == lease.owner:
                rows.drop(lease.key.encode())

        await self._transact(release)

    async def close(self) -> None:
        """Finish the calls under way and close the database; see Backend.close."""
        if self._closed:
            return
        self._closed = True
        closing = self._thread.submit(self._close_rows)
        self._thread.shutdown(wait=False)
        await asyncio.wrap_future(closing)

    async def _transact(self, call: Callable[[DiskRows], _T]) -> _T:
        """Run ``call`` in one transaction that writes."""

        def run(rows: DiskRows) -> _T:
            with rows.transaction():
                return call(rows)

        return await self._run(run, writes=True)

    async def _run(self, call: Callable[[DiskRows], _T], *, writes: bool = False) -> _T:
        if self._closed:
            raise BackendError(f"{self.url} is closed")
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._call, call, writes)

    def _call(self, call: Callable[[DiskRows], _T], writes: bool) -> _T:
        """Open the database if necessary, and run ``call``. Only this method, on the thread, touches the database."""
        with self._mapped_errors():
            if self._rows is not None and self._rows.is_replaced():
                self._close_rows()
            if self._rows is None or (writes and isinstance(self._rows, ReadOnlyRows)):
                self._close_rows()
                self._rows = self._open(writes)
            return call(self._rows)

    def _open(self, writes: bool) -> DiskRows:
        """Open the database; unless ``writes``, also on a disk that is full or cannot be written."""
        try:
            return DiskRows(self._folder, self._synchronous, self._timeout, self._clock)
        except (sqlite3.Error, OSError) as error:
            if not writes and _refuses_writes(error):
                # What else is wrong is told by the first error.
                with suppress(sqlite3.Error, OSError):
                    return ReadOnlyRows(self._folder, self._timeout, self._clock)
            raise

    def _close_rows(self) -> None:
        if self._rows is not None:
            self._rows.close()
            if not isinstance(self._rows, ReadOnlyRows):
                keep_reserve(self._folder)
            self._rows = None

    @contextmanager
    def _mapped_errors(self) -> Iterator[None]:
        """Turn errors of SQLite and the file system into errors of this package."""
        try:
            yield
        except BackendError as error:
            raise type(error)(f"{self.url} {error}") from error
        except sqlite3.Error as error:
            raise self._from_sqlite(error) from error
        except OSError as error:
            kind: type[BackendError] = BackendUnavailable
            advice = "check its permissions, or name another folder"
            if error.errno in _NO_ROOM:
                kind, advice = BackendFull, "make room; stored data can still be read"
            elif error.errno == errno.EROFS:
                advice = "make it writable, or name another folder; stored data can still be read"
            elif error.errno in _IMPOSSIBLE:
                kind, advice = UnknownBackend, "name another folder"
            raise kind(f"{self.url} cannot be opened ({error.strerror}): {advice}") from error

    def _from_sqlite(self, error: sqlite3.Error) -> BackendError:
        extended = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
        code = extended & 0xFF
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return BackendUnavailable(
                f"{self.url} has been locked by another process for {self._timeout:g} s: wait for it, or end it"
            )
        if code == sqlite3.SQLITE_FULL or extended in _NO_ROOM_CODES:
            return BackendFull(f"{self.url} has no room left ({error}): make room; stored data can still be read")
        if code == sqlite3.SQLITE_TOOBIG:
            return BackendFull(f"{self.url} cannot store a value of that size ({error})")
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR):
            return CorruptValue(
                f"{self.url} is damaged ({error}) and was not changed: move {self._folder!r} away, and start fresh or"
                " restore a backup (sqlite3's .recover may save most of it)"
            )
        if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
            return BackendUnavailable(
                f"{self.url} cannot be written ({error}): check the permissions of {self._folder!r}"
            )
        return BackendUnavailable(f"{self.url} failed ({error}): check the disk that {self._folder!r} is on")


def _refuses_writes(error: sqlite3.Error | OSError) -> bool:
    if isinstance(error, OSError):
        return error.errno in _NO_ROOM | _NO_WRITES
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    return code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN)


def _holds(rows: DiskRows, condition: Condition) -> bool:
    if isinstance(condition, ExpectLength):
        return rows.length(condition.key) == condition.length
    return rows.value(condition.key) == condition.value


def _renew(rows: DiskRows, lease: Lease) -> bool:
    head = rows.find(lease.key.encode())
    if head is None or head.count is not None or head.value != lease.owner:
        return False
    rows.set_ttl(head, lease.ttl)
    return True
