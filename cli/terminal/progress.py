"""A progress bar for long operations, on stderr."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from swarmchat.cli.terminal.capabilities import can_move, wants_colour
from swarmchat.cli.terminal.themes import theme_in_use

_WORTH_SHOWING = 2000
"""Records; fewer are done at once."""


class Progress:
    """Counts finished records, and shows them if there is a ``bar``."""

    def __init__(self, bar: Any = None) -> None:
        self._bar = bar

    def advance(self, count: int) -> None:
        """Add ``count`` finished records."""
        if self._bar is not None:
            self._bar.advance(0, count)

    def print(self, line: str) -> None:
        """Print a line of output above the bar."""
        # While the bar is on the screen, rich redirects output to the bar's stream.
        self.stop()
        print(line, flush=self._bar is not None)
        if self._bar is not None:
            self._bar.start()

    def stop(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.stop()


@contextmanager
def progress_on(total: int) -> Iterator[Progress]:
    """Show a bar while the context lasts, if stderr is a terminal and ``total`` is large."""
    if total < _WORTH_SHOWING or not can_move(sys.stderr):
        yield Progress()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    console = Console(file=sys.stderr, no_color=not wants_colour(sys.stderr) or theme_in_use() == "mono")
    with Bar(BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console, transient=True) as bar:
        bar.add_task("records", total=total)
        yield Progress(bar)
