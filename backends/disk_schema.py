"""Whether a file is a database of ours, and with which settings diskcache opens it."""

import os
import sqlite3
from urllib.parse import quote_from_bytes

import diskcache
from swarmchat.backends.errors import CorruptValue

SCHEMA = 1
"""Version of the layout, kept in the Settings table. A store with a newer version is refused and not changed."""

SCHEMA_ROW = "swarmchat_schema"
_OBJECTS = {"Cache", "Cache_key_raw", "Cache_expire_time", "Settings_size_delete"}
"""The table, its indexes, and the trigger that is made last."""
SETTINGS = {
    # diskcache deletes the oldest entries by default when the file reaches 1 GB.
    "eviction_policy": "none",
    "size_limit": 2**62,
    "cull_limit": 0,
    "statistics": 0,
    # No value gets a file of its own: such files are written outside the transaction.
    "disk_min_file_size": 2**62,
    # Pages for each connection, 8,192 by default. The operating system caches the file anyway.
    "sqlite_cache_size": 512,
    # A file that somebody truncates while it is mapped kills the process with SIGBUS.
    "sqlite_mmap_size": 0,
}


def identity_of(folder: str) -> tuple[int, int]:
    """Return what tells the database file from others, whatever their names."""
    status = os.stat(os.path.join(folder, diskcache.core.DBNAME))
    return status.st_dev, status.st_ino


def connect(folder: str, patience: float, options: str = "") -> sqlite3.Connection:
    """Return a connection for reading."""
    # Some characters of a path mean something in a URI.
    path = quote_from_bytes(os.fsencode(os.path.join(folder, diskcache.core.DBNAME)))
    return sqlite3.connect(f"file:{path}?mode=ro{options}", timeout=patience, uri=True, isolation_level=None)


def check_schema(connection: sqlite3.Connection) -> bool:
    """Return whether the file can be used as it is. Changes nothing.

    Raises CorruptValue for a file of a newer swarmchat or of another program, and for a damaged one.
    """
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if "Settings" not in tables:
        if tables:
            raise CorruptValue("is another program's database and was not changed: name another folder")
        return False
    row = connection.execute("SELECT value FROM Settings WHERE key = ?", (SCHEMA_ROW,)).fetchone()
    if row is None:
        if "Cache" in tables and connection.execute("SELECT 1 FROM Cache LIMIT 1").fetchone():
            raise CorruptValue("is another program's cache and was not changed: name another folder")
    elif not isinstance(row[0], int) or row[0] > SCHEMA:
        raise CorruptValue(
            f"has data version {row[0]}, this swarmchat reads up to {SCHEMA}, and was not changed: update"
            " swarmchat, or use another folder"
        )
    return row is not None and _is_complete(connection)


def _is_complete(connection: sqlite3.Connection) -> bool:
    """Whether the file has all settings and tables as they are written at first. Raises CorruptValue."""
    settings = dict(connection.execute("SELECT key, value FROM Settings"))
    ours = {**diskcache.core.DEFAULT_SETTINGS, **SETTINGS, SCHEMA_ROW: SCHEMA}
    for key in settings.keys() - diskcache.core.METADATA.keys():
        # The base class makes an attribute of each name, and a pragma of what sqlite_ precedes. The rest is put right.
        if key not in ours or (key.startswith("sqlite_") and type(settings[key]) is not type(ours[key])):
            raise CorruptValue(
                f"is damaged (setting {key!r} is {settings[key]!r}) and was not changed: start fresh in another folder,"
                " or restore a backup"
            )
    names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    # Each connection sets the pragma of its durability.
    of_all = ours.keys() - {"sqlite_synchronous"}
    return names >= _OBJECTS and all(settings.get(key) == ours[key] for key in of_all)
