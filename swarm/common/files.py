"""Read text files of any editor, and replace files atomically: readers see the old content or the new."""

import errno
import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from swarmchat.swarm.common.encoding import decode_text

MAX_TEXT_FILE = 4_000_000
"""Bytes of a file of settings, of a swarm or of MCP servers, and of a command's prompt."""


def read_text_file(path: Path) -> str:
    """Return the text of a file, decoded by `decode_text`, with ``\\n`` at the end of each line.

    Raises OSError, also for more than ``MAX_TEXT_FILE`` bytes, and UnicodeDecodeError.
    """
    with path.open("rb") as file:
        data = file.read(MAX_TEXT_FILE + 1)
    if len(data) > MAX_TEXT_FILE:
        raise OSError(errno.EFBIG, f"it has more than {MAX_TEXT_FILE:,} bytes")
    return decode_text(data).replace("\r\n", "\n").replace("\r", "\n")


def write_atomically(path: Path, data: bytes, *, mode: int | None = None) -> None:
    """Write ``data`` to ``path`` and sync it to the disk; after a crash the file is the old one or the new one.

    A symbolic link is followed: its target is replaced. A device or a pipe is written to, as it cannot be replaced.
    ``mode`` holds the permissions of a file that is created, 0o600 by default; an existing file keeps its own. Raises
    OSError, and leaves the old file as it was.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        path.write_bytes(data)
        return
    target = path.resolve()
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            mode = stat.S_IMODE(target.stat().st_mode)
        if mode is not None:
            os.chmod(temporary, mode)
        os.replace(temporary, target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    """Make the new name of a file in ``folder`` durable, where the system can."""
    # Windows opens no folders, some network drives sync none, and a folder may be unreadable. The file is whole anyway.
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
