"""What is typed while an answer comes is kept for the next prompt, and does not mix with the answer on the screen."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from prompt_toolkit.input import Input
from prompt_toolkit.input.typeahead import store_typeahead

try:
    import termios
except ImportError:  # Windows: typing shows while the answer comes, and is kept all the same.
    termios = None  # type: ignore[assignment]

_CTRL_D = "\x04"


@contextmanager
def typing_kept(source: Input) -> Iterator[None]:
    """Do not echo keys meanwhile; hand them to the next prompt that reads from ``source``. Ctrl-D is ignored."""
    descriptor = sys.stdin.fileno() if termios is not None and sys.stdin.isatty() else None
    if descriptor is None:
        yield
        return
    before = termios.tcgetattr(descriptor)
    quiet = termios.tcgetattr(descriptor)
    quiet[3] &= ~(termios.ECHO | termios.ICANON)
    termios.tcsetattr(descriptor, termios.TCSANOW, quiet)
    try:
        yield
    finally:
        typed = _drain(descriptor)
        termios.tcsetattr(descriptor, termios.TCSANOW, before)
        _store(source, typed.replace(_CTRL_D, ""))


def _drain(descriptor: int) -> str:
    """Read what is there, and wait for nothing."""
    pieces = []
    os.set_blocking(descriptor, False)
    try:
        with suppress(BlockingIOError):
            while piece := os.read(descriptor, 4096):
                pieces.append(piece)
    finally:
        os.set_blocking(descriptor, True)
    return b"".join(pieces).decode("utf-8", "replace")


def _store(source: Input, typed: str) -> None:
    from prompt_toolkit.input.vt100_parser import Vt100Parser
    from prompt_toolkit.key_binding.key_processor import KeyPress

    presses: list[KeyPress] = []
    parser = Vt100Parser(presses.append)
    # A terminal in this mode sends a line feed for Enter, which at a prompt means "new line".
    parser.feed_and_flush(typed.replace("\n", "\r"))
    store_typeahead(source, presses)
