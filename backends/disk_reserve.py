"""Disk space reserved for deleting on a full disk: SQLite writes even a deletion to its journal first."""

import os
from contextlib import suppress

_RESERVE = "reserve"
_RESERVED = 512 * 1024
"""Bytes of the file that keeps the room."""


def free_reserve(folder: str) -> None:
    """Remove the reserve in ``folder``; the next ``keep_reserve`` that finds room makes it again."""
    with suppress(OSError):
        os.unlink(os.path.join(folder, _RESERVE))


def keep_reserve(folder: str) -> None:
    """Keep room on the disk for deleting, in a file, unless there is one or no room for it."""
    path = os.path.join(folder, _RESERVE)
    with suppress(OSError):
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        try:
            # Random, because some file systems store no zeros.
            with open(descriptor, "wb") as file:
                file.write(os.urandom(_RESERVED))
        except OSError:
            os.unlink(path)
