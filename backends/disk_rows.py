"""Values and lists as rows of a diskcache database: diskcache's table and connections, with a layout of our own.

    key column                          tag     value column
    ----------------------------------  ------  ---------------------------
    "k" KEY                             NULL    the value
    "k" KEY                             "list"  how many values the list has
    "i" length of KEY, KEY, index       NULL    one value of a list

Lengths and indexes are 8 bytes, big-endian. Keys are blobs, so SQLite orders them by byte, which for UTF-8 is the
order of the code points, and no character is special. The length before KEY keeps the values of different lists apart.
Only the row of the key has a lifetime. Everything here blocks, and is for one thread.
"""

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import diskcache
from swarmchat.backends.base import Append, Delete, Put, Touch, Truncate, Write
from swarmchat.backends.disk_schema import SCHEMA, SCHEMA_ROW, SETTINGS, check_schema, connect, identity_of
from swarmchat.backends.errors import CorruptValue

_LIST = "list"
_LENGTH = 8
"""Bytes of a length and of an index."""
_SWEEP = 20
_VARIABLES = 500
"""The most variables of one statement; SQLite before 3.32 accepts 999."""
_COLUMNS = ("store_time", "expire_time", "access_time", "tag", "value")
_PUT = (
    "INSERT INTO Cache (key, raw, access_count, size, mode, filename, "  # noqa: S608  # fixed names only
    f"{', '.join(_COLUMNS)}) VALUES (?, 1, 0, 0, {diskcache.core.MODE_RAW}, NULL, ?, ?, ?, ?, ?)"
    f" ON CONFLICT (key, raw) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in _COLUMNS)}"
)
"""Writes a row, whatever stood there, in one statement: SQLite 3.24 or newer."""


class BytesDisk(diskcache.Disk):  # type: ignore[misc]  # diskcache ships no types
    """Stores and reads bytes only. Anything else in the file, a pickle above all, is refused and not decoded."""

    def put(self, key: object) -> tuple[bytes, bool]:
        """Return the stored form of ``key``."""
        if type(key) is not bytes:
            raise TypeError(f"a key must be bytes, not {type(key).__name__}")
        return key, True

    def get(self, key: object, raw: object) -> bytes:
        """Return the stored ``key``. Raises CorruptValue when it is anything but bytes."""
        if not raw or type(key) is not bytes:
            raise CorruptValue("contains a key that swarmchat did not write")
        return key

    def store(self, value: object, read: bool, key: object = None) -> tuple[int, int, None, bytes]:
        """Return the columns for ``value``."""
        if type(value) is not bytes or read:
            raise TypeError(f"a value must be bytes, not {type(value).__name__}")
        return 0, diskcache.core.MODE_RAW, None, value

    def fetch(self, mode: int, filename: object, value: object, read: bool) -> bytes:
        """Return the stored ``value``. Raises CorruptValue when it is a pickle, a file, or not bytes."""
        if mode != diskcache.core.MODE_RAW or filename is not None or type(value) is not bytes or read:
            raise CorruptValue("contains a value that swarmchat did not write; it was not read")
        return value


@dataclass(frozen=True, slots=True)
class Head:
    """The row of a key. ``count`` is the length of a list, and ``None`` for a value."""

    rowid: int
    value: bytes
    count: int | None


class DiskRows(diskcache.Cache):  # type: ignore[misc]  # diskcache ships no types
    """The open database in ``folder``. ``patience``: seconds to wait for another process's lock."""

    def __init__(self, folder: str, synchronous: int, patience: float, clock: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._patience = patience
        self._clock = clock
        os.makedirs(folder, mode=0o700, exist_ok=True)
        # SQLite gives the files beside it (-wal, -shm) the mode of this one.
        os.close(os.open(os.path.join(folder, diskcache.core.DBNAME), os.O_CREAT | os.O_RDWR, 0o600))
        self._identity = identity_of(folder)
        with closing(connect(folder, patience)) as connection:
            is_complete = check_schema(connection)
        if is_complete:
            # The base class would write all settings once more, and wait for whoever else writes.
            self._timeout, self._local, self._disk = patience, threading.local(), BytesDisk(folder)
            self._sql(f"PRAGMA synchronous = {synchronous:d}")
            return
        settings = {**SETTINGS, "sqlite_synchronous": synchronous, SCHEMA_ROW: SCHEMA}
        try:
            super().__init__(os.sep, patience, BytesDisk, **settings)
            # Another process may have written its own setting into the file meanwhile.
            self._sql(f"PRAGMA synchronous = {synchronous:d}")
        except BaseException:
            self.close()
            raise

    def is_replaced(self) -> bool:
        """Whether the file was deleted since it was opened, or another one is in its place, such as a backup.

        SQLite would go on with the old one, which nobody else can open any more.
        """
        with suppress(FileNotFoundError):
            return identity_of(self._folder) != self._identity
        return True

    @property
    def _directory(self) -> str:
        # The base class expands $NAME in its argument, which may be part of a folder's name: it gets another folder.
        return self._folder

    @_directory.setter
    def _directory(self, expanded: str) -> None:
        pass

    @property
    def _sql_retry(self) -> Callable[..., sqlite3.Cursor]:
        """Run a statement, waiting for a lock for ``patience`` seconds, not for the base class's minute."""

        def run(*statement: Any) -> sqlite3.Cursor:
            deadline = time.monotonic() + self._patience
            while True:
                try:
                    cursor: sqlite3.Cursor = self._sql(*statement)
                except sqlite3.OperationalError as error:
                    if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                        raise
                    time.sleep(0.001)
                else:
                    return cursor

        return run

    @contextmanager
    def transaction(self, begin: str = "BEGIN IMMEDIATE") -> Iterator[None]:
        """Commit the statements of the block, or none of them.

        The base class's ``transact`` reports every failure to begin as a timeout, and leaves the transaction open
        when the commit itself fails, as on a full disk.
        """
        self._sql(begin)
        try:
            yield
            self._sql("COMMIT")
        except BaseException:
            if self._con.in_transaction:
                self._sql("ROLLBACK")
            raise

    def empty_journal(self) -> None:
        """Write SQLite's journal into the database, and give its room back to the disk."""
        self._sql("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def snapshot(self) -> Any:
        """Let the reads of the block see one state of the store."""
        return self.transaction("BEGIN")

    def find(self, key: bytes) -> Head | None:
        """Return the row of ``key``, or ``None`` if it is missing or expired."""
        row = self._sql(
            "SELECT rowid, tag, mode, filename, value FROM Cache WHERE key = ? AND raw = 1"
            " AND (expire_time IS NULL OR expire_time > ?)",
            (b"k" + key, self._clock()),
        ).fetchone()
        if row is None:
            return None
        rowid, tag, mode, filename, stored = row
        value = self._disk.fetch(mode, filename, stored, False)
        if tag == _LIST and len(value) != _LENGTH:
            raise CorruptValue(f"contains a damaged list: {key.decode('utf-8', 'replace')!r}")
        return Head(rowid, value, int.from_bytes(value, "big") if tag == _LIST else None)

    def value(self, key: str) -> bytes | None:
        """Return the value of ``key``. Raises CorruptValue when it is a list."""
        head = self.find(key.encode())
        if head is not None and head.count is not None:
            raise CorruptValue(f"{key!r} is a list, not a value")
        return None if head is None else head.value

    def length(self, key: str) -> int:
        """Return the length of the list ``key``. Raises CorruptValue when it is a value."""
        head = self.find(key.encode())
        if head is not None and head.count is None:
            raise CorruptValue(f"{key!r} is a value, not a list")
        return 0 if head is None or head.count is None else head.count

    def values(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return the values of ``keys``, without keys that have none."""
        values: dict[bytes, bytes] = {}
        for first in range(0, len(keys), _VARIABLES):
            batch = [b"k" + key for key in keys[first : first + _VARIABLES]]
            rows = self._sql(
                "SELECT key, mode, filename, value FROM Cache WHERE raw = 1 AND tag IS NULL"  # noqa: S608  # marks only
                f" AND (expire_time IS NULL OR expire_time > ?) AND key IN ({','.join('?' * len(batch))})",
                (self._clock(), *batch),
            )
            for key, mode, filename, value in rows:
                values[key[1:]] = self._disk.fetch(mode, filename, value, False)
        return values

    def page(self, prefix: bytes, after: bytes | None, limit: int) -> list[tuple[bytes, bytes]]:
        """Return up to ``limit`` values whose key starts with ``prefix`` and is above ``after``, in order."""
        start = (">=", b"k" + prefix) if after is None else (">", b"k" + after)
        rows = self._sql(
            f"SELECT key, raw, mode, filename, value FROM Cache WHERE key {start[0]} ? AND key < ? AND tag IS NULL"  # noqa: S608  # one of two fixed operators
            " AND (expire_time IS NULL OR expire_time > ?) ORDER BY key LIMIT ?",
            # UTF-8 never contains 0xff, so this is above every key with the prefix.
            (start[1], b"k" + prefix + b"\xff", self._clock(), limit),
        )
        return [
            (self._disk.get(key, raw)[1:], self._disk.fetch(mode, filename, value, False))
            for key, raw, mode, filename, value in rows
        ]

    def items(self, key: bytes, start: int, stop: int) -> list[bytes]:
        """Return the values of the list ``key`` from ``start`` up to ``stop``."""
        prefix = _item_prefix(key)
        rows = self._sql(
            "SELECT mode, filename, value FROM Cache WHERE key >= ? AND key < ? AND raw = 1 ORDER BY key",
            (prefix + _number(start), prefix + _number(stop)),
        )
        values = [self._disk.fetch(mode, filename, value, False) for mode, filename, value in rows]
        if len(values) != stop - start:
            raise CorruptValue(f"has lost {stop - start - len(values)} values of the list {key.decode()!r}")
        return values

    def apply(self, writes: Sequence[Write]) -> None:
        """Apply the writes of a transaction in their order. Raises CorruptValue when a key is of the other kind."""
        for is_put, group in groupby(writes, lambda write: isinstance(write, Put)):
            if is_put:
                self.put_all([write for write in group if isinstance(write, Put)])
            else:
                for write in group:
                    self._change(write)

    def _change(self, write: Write) -> None:
        key = write.key.encode()
        match write:
            case Append(values=values, ttl=ttl):
                count = self.length(write.key)
                if values or count:
                    self._append(key, count, values, ttl)
            case Truncate(keep=keep):
                count = self.length(write.key)
                if keep and count > keep:
                    self._drop_items(key, keep)
                    self._sql("UPDATE Cache SET value = ? WHERE key = ? AND raw = 1", (_number(keep), b"k" + key))
                elif not keep:
                    self.drop(key)
            case Touch(ttl=ttl):
                if head := self.find(key):
                    self.set_ttl(head, ttl)
            case Delete():
                self.drop(key)

    def put_all(self, puts: Sequence[Put]) -> None:
        """Write values, in their order. Raises CorruptValue for a key that is a list, or no row of ours."""
        now = self._clock()
        for first in range(0, len(puts), _VARIABLES):
            batch = [(b"k" + put.key.encode(), put) for put in puts[first : first + _VARIABLES]]
            odd = self._sql(
                f"SELECT key FROM Cache WHERE raw = 1 AND key IN ({','.join('?' * len(batch))})"  # noqa: S608  # marks only
                " AND (tag IS NOT NULL OR mode != ? OR filename IS NOT NULL OR typeof(value) != 'blob')",
                (*(key for key, _ in batch), diskcache.core.MODE_RAW),
            )
            for (key,) in odd.fetchall():
                self.value(key[1:].decode())
                # What remains is a list that has expired.
                self._drop_items(key[1:], 0)
            rows = [
                (key, now, None if put.ttl is None else now + put.ttl, now, None, self._disk.store(put.value, False)[3])
                for key, put in batch
            ]
            self._con.executemany(_PUT, rows)

    def set_ttl(self, head: Head, ttl: float | None) -> None:
        """Let the key of ``head`` expire ``ttl`` seconds from now."""
        expires = None if ttl is None else self._clock() + ttl
        self._sql("UPDATE Cache SET expire_time = ? WHERE rowid = ?", (expires, head.rowid))

    def sweep(self) -> None:
        """Remove at most 20 expired keys, so that the cost for each commit is bounded."""
        rows = self._sql(
            "SELECT key, raw FROM Cache WHERE expire_time <= ? ORDER BY expire_time LIMIT ?", (self._clock(), _SWEEP)
        ).fetchall()
        for key, raw in rows:
            self.drop(self._disk.get(key, raw)[1:])

    def _append(self, key: bytes, count: int, values: tuple[bytes, ...], ttl: float | None) -> None:
        if not count:
            # An expired list may have left its values.
            self._drop_items(key, 0)
        prefix, now = _item_prefix(key), self._clock()
        items = [
            (prefix + _number(index), self._disk.store(value, False)[3]) for index, value in enumerate(values, count)
        ]
        head = (b"k" + key, now, None if ttl is None else now + ttl, now, _LIST, _number(count + len(values)))
        self._con.executemany(_PUT, [*((item, now, None, now, None, value) for item, value in items), head])

    def drop(self, key: bytes) -> None:
        """Remove ``key``, value or list."""
        self._sql("DELETE FROM Cache WHERE key = ? AND raw = 1", (b"k" + key,))
        self._drop_items(key, 0)

    def _drop_items(self, key: bytes, start: int) -> None:
        prefix = _item_prefix(key)
        self._sql(
            "DELETE FROM Cache WHERE key >= ? AND key <= ? AND raw = 1",
            (prefix + _number(start), prefix + b"\xff" * _LENGTH),
        )


class ReadOnlyRows(DiskRows):
    """The database in ``folder`` on a disk that is full or cannot be written. Every write fails."""

    def __init__(self, folder: str, patience: float, clock: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._patience = self._timeout = patience
        self._clock = clock
        self._disk = BytesDisk(folder)
        self._identity = identity_of(folder)
        self._local = threading.local()
        self._local.pid = os.getpid()
        # Without a journal nothing is being written, and SQLite needs none of the files that it cannot create.
        journal = os.path.join(folder, diskcache.core.DBNAME + "-wal")
        is_closed = not os.path.exists(journal) or not os.path.getsize(journal)
        self._local.con = connect(folder, patience, "&immutable=1" if is_closed else "")
        try:
            check_schema(self._local.con)
            self._sql("SELECT 1 FROM Cache LIMIT 1")
        except BaseException:
            self.close()
            raise


def _item_prefix(key: bytes) -> bytes:
    return b"i" + _number(len(key)) + key


def _number(number: int) -> bytes:
    return number.to_bytes(_LENGTH, "big")
