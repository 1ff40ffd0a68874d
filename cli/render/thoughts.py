"""Show the thoughts of a reasoning model at a terminal: folded into one line, or all of them, dim."""

import textwrap
from collections.abc import Callable, Iterator

from swarmchat.cli.terminal.sanitize import one_line, sanitize

MODES = ("folded", "shown", "hidden")
_FIRST_WORDS = 40
"""Characters of the thoughts in the line that folds them."""


class Thoughts:
    """Collects thoughts as they come. ``columns`` returns the width of the terminal, ``clock`` seconds."""

    def __init__(self, columns: Callable[[], int], clock: Callable[[], float]) -> None:
        self.mode = "hidden"
        """folded, shown or hidden."""
        self.last = ""
        """The last thoughts, all of them."""
        self._columns = columns
        self._clock = clock
        self._text: list[str] = []
        self._line = ""
        """What is not printed yet of thoughts that are shown."""
        self._since = 0.0

    def add(self, text: str) -> Iterator[str]:
        """Take the next piece; yield the lines to print now."""
        if not self._text:
            self._since, self._line = self._clock(), ""
        self._text.append(text)
        if self.mode != "shown":
            return
        self._line += sanitize(text)
        *lines, self._line = self._line.split("\n")
        for line in lines:
            yield from self._rows(line)
        *rows, rest = self._rows(self._line) or [""]
        if rows:
            yield from rows
            self._line = rest + self._line[len(self._line.rstrip()) :]

    def end(self, *, quiet: bool = False) -> Iterator[str]:
        """Yield the lines to print once the thoughts have ended; none if ``quiet``, or if there were none."""
        if not self._text:
            return
        self.last, self._text = "".join(self._text).strip(), []
        if quiet or not self.last:
            return
        if self.mode == "shown":
            yield from self._rows(self._line)
        elif self.mode == "folded":
            seconds = round(self._clock() - self._since)
            took = f" for {seconds} s" if seconds else ""
            yield f"thought{took}: {one_line(self.last, _FIRST_WORDS)} · /thoughts shows it"

    def _rows(self, line: str) -> list[str]:
        return textwrap.wrap(line, max(20, self._columns() - 2), break_long_words=True, break_on_hyphens=False)
