"""How far a long work has come, on one line of the terminal; nothing where there is none."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from swarmchat.cli.terminal.capabilities import can_move, wants_colour
from swarmchat.cli.terminal.themes import theme_in_use

_WORTH_SHOWING = 2000
"""Records below which it is over at once."""


class Progress:
    """Counts, and shows it if there is something to show it on."""

    def __init__(self, bar: Any = None) -> None:
        self._bar = bar

    def advance(self, count: int) -> None:
        """So many more are done."""
        if self._bar is not None:
            self._bar.advance(0, count)

    def print(self, line: str) -> None:
        """Print a line of the result, above the bar."""
        if self._bar is not None and sys.stdout.isatty():
            self._bar.stop()
            print(line)
            self._bar.start()
        else:
            print(line, flush=self._bar is not None)

    def stop(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()


@contextmanager
def progress_on(total: int) -> Iterator[Progress]:
    """Show a bar on stderr while the context lasts, if it is a terminal and there is enough to do."""
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
