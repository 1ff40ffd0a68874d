"""The history of the prompt, kept across sessions."""

import errno
import os
import re
import stat
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from prompt_toolkit.history import FileHistory, History, InMemoryHistory

_BYTES_READ = 1 << 20
"""Only the end of a longer file is read: reading it must not delay the first prompt."""
_LONGEST = 1 << 16
"""Characters. A longer entry is a paste, and is not written to the file: it would displace all others."""


class PromptHistory(FileHistory):
    """Entries in a file. Errors of the file lose history, never a message; ``report`` gets the first one."""

    def __init__(self, filename: str, report: Callable[[str], object]) -> None:
        self._report: Callable[[str], object] | None = report
        super().__init__(filename)

    def load_history_strings(self) -> Iterable[str]:
        """Return the entries, the newest first."""
        with suppress(OSError), open(self.filename, "rb", opener=_open_own) as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(0, size - _BYTES_READ))
            text = file.read().decode("utf-8", "replace")
            if size > _BYTES_READ:
                # The first entry is cut off.
                text = text[text.find("\n#") :]
            # An entry is a block of lines that begin with "+".
            entries = re.findall(r"(?:^\+.*\n?)+", text, re.MULTILINE)
            return [re.sub(r"^\+", "", entry, flags=re.MULTILINE).removesuffix("\n") for entry in reversed(entries)]
        return []

    def store_string(self, string: str) -> None:
        """Append an entry to the file."""
        if len(string) <= _LONGEST:
            self._write(string)

    def keep_unsent(self, string: str) -> None:
        """Append an entry that was never sent, and is so long that the file does not have it yet."""
        if len(string) > _LONGEST:
            self._write(string)

    def _write(self, string: str) -> None:
        lines = "".join(f"+{line}\n" for line in string.split("\n"))
        try:
            with open(self.filename, "ab", opener=_open_own) as file:
                file.write(f"\n# {datetime.now()}\n{lines}".encode("utf-8", "replace"))
        except OSError as error:
            if self._report is not None:
                self._report(_not_kept(self.filename, error))
                self._report = None


def _open_own(path: str, flags: int) -> int:
    """Open a history: no symbolic link, through which a folder of others could add lines to any file, and no pipe."""
    descriptor = os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0), 0o600)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a file", path)
    return descriptor


def open_history(path: Path | None, report: Callable[[str], object] = lambda line: None) -> History:
    """Return the history in the file ``path``, or one in memory if there is no path or it cannot be used.

    ``report`` gets a line for the user if the file cannot be used, or later not be written.
    """
    if path is not None:
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(_open_own(str(path), os.O_WRONLY | os.O_APPEND | os.O_CREAT))
        except OSError as error:
            report(_not_kept(path, error))
        else:
            return PromptHistory(str(path), report)
    return InMemoryHistory()


def _not_kept(path: object, error: OSError) -> str:
    return f"what you enter is in the history of this chat only: {path} cannot be written ({error.strerror or error})"
