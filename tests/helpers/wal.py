"""The write-ahead log of an SQLite database, read from outside: how many transactions, and how many bytes.

https://www.sqlite.org/fileformat2.html#the_write_ahead_log
"""

import sqlite3
from dataclasses import dataclass
from pathlib import Path

_HEADER, _FRAME = 32, 24


@dataclass(frozen=True)
class Written:
    """What was written to a database since ``begin_wal``."""

    transactions: int
    bytes: int


def begin_wal(database: Path) -> None:
    """Move what was written so far into ``database`` itself, so that its write-ahead log begins anew."""
    with sqlite3.connect(database, timeout=20) as connection:
        busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    connection.close()
    assert not busy


def read_wal(database: Path) -> Written:
    """Return what was written since ``begin_wal``: right up to some 4 MB, when SQLite begins anew by itself."""
    log = database.with_name(f"{database.name}-wal").read_bytes()
    if not log:
        return Written(0, 0)
    page = int.from_bytes(log[8:12], "big")
    # The size of the database stands in the last frame of each transaction, and in no other.
    frames = range(_HEADER, len(log), _FRAME + page)
    ends = sum(log[frame + 4 : frame + 8] != b"\0\0\0\0" for frame in frames)
    return Written(ends, len(log))
