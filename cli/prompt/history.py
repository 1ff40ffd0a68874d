"""The history of the prompt, kept across sessions."""

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from prompt_toolkit.history import FileHistory, History, InMemoryHistory

_BYTES_READ = 1 << 20
"""Only the end of a longer file is read: reading it must not delay the first prompt."""
_LONGEST = 1 << 16
"""Characters. A longer entry is a paste, and is not written to the file: it would displace all others."""


class PromptHistory(FileHistory):
    """Entries in a file. Errors of the file are ignored: they lose history, never a message."""

    def load_history_strings(self) -> Iterable[str]:
        """Return the entries, the newest first."""
        with suppress(OSError), open(self.filename, "rb") as file:
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
        with suppress(OSError, UnicodeEncodeError):
            if len(string) <= _LONGEST:
                super().store_string(string)


def open_history(path: Path | None) -> History:
    """Return the history in the file ``path``, or one in memory if there is no path or it cannot be used."""
    if path is not None:
        with suppress(OSError):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.touch(mode=0o600)
            return PromptHistory(str(path))
    return InMemoryHistory()
