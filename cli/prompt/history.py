"""What was entered at the prompt, in this and in earlier sessions, and what of it is suggested."""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from prompt_toolkit.auto_suggest import AutoSuggest, Suggestion
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory, History, InMemoryHistory

_READ = 1 << 20
"""How many bytes of the file are read, from its end: reading them must not hold up the first prompt."""
_LONGEST = 1 << 16
"""Letters of an entry that is kept in the file. A longer one is a paste, and would push out all others."""
_SUGGESTED = 1000
"""How many entries are looked through at each key for one to suggest."""


class PromptHistory(FileHistory):
    """Entries in a file. One that cannot be read or written costs the history, and never a message."""

    def load_history_strings(self) -> Iterable[str]:
        """Return the entries, the newest first."""
        lines: list[str] = []
        entries: list[str] = []
        with suppress(OSError), open(self.filename, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(0, size - _READ))
            data = file.read()
            if size > _READ:
                data = data[data.find(b"\n#") + 1 :]
            for line in [*data.decode("utf-8", "replace").split("\n"), ""]:
                if line.startswith("+"):
                    lines.append(line[1:])
                elif lines:
                    entries.append("\n".join(lines))
                    lines = []
        return reversed(entries)

    def store_string(self, string: str) -> None:
        """Append an entry to the file."""
        with suppress(OSError, UnicodeEncodeError):
            if len(string) <= _LONGEST:
                super().store_string(string)


def open_history(path: Path | None) -> History:
    """Return the history that is kept in ``path``, or one that is kept nowhere."""
    if path is not None:
        with suppress(OSError):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.touch(mode=0o600)
            return PromptHistory(str(path))
    return InMemoryHistory()


class SuggestFromHistory(AutoSuggest):
    """Suggests the rest of the newest entry that begins as what was typed."""

    def get_suggestion(self, buffer: Buffer, document: Document) -> Suggestion | None:
        """Return the rest of an entry, up to the end of its line."""
        text = document.text
        if not text.strip() or "\n" in text:
            return None
        for entry in buffer.history.get_strings()[: -_SUGGESTED - 1 : -1]:
            if entry.startswith(text) and len(entry) > len(text):
                return Suggestion(entry[len(text) :].split("\n", 1)[0])
        return None
