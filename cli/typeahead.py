"""What is typed while an answer comes is kept for the next prompt, and does not mix with the answer on the screen."""

import asyncio
import os
import select
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from prompt_toolkit.input import Input
from prompt_toolkit.input.typeahead import store_typeahead
from prompt_toolkit.input.vt100_parser import Vt100Parser
from prompt_toolkit.key_binding.key_processor import KeyPress
from prompt_toolkit.output import Output
from prompt_toolkit.utils import is_dumb_terminal

try:
    import termios
except ImportError:  # Windows: typing shows while the answer comes, and is kept all the same.
    termios = None  # type: ignore[assignment]  # a module elsewhere

_CTRL_D = "\x04"


@contextmanager
def quiet_terminal(source: Input) -> Iterator[None]:
    """Keep the terminal from echoing and changing keys while no prompt reads them, as between two prompts.

    What was typed before goes to the first prompt that reads from ``source``.
    """
    if not _has_terminal():
        yield
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    quiet = termios.tcgetattr(descriptor)
    quiet[0] &= ~termios.ICRNL  # Enter and Ctrl-J stay different keys.
    # Ctrl-C is a key for the prompt that comes, but while an answer comes it is a signal: see typing_kept.
    quiet[3] &= ~(termios.ECHO | termios.ICANON | termios.ISIG)
    quiet[3] |= termios.NOFLSH  # It does not throw away what was typed before it.
    termios.tcsetattr(descriptor, termios.TCSANOW, quiet)
    early = _Typed(descriptor)
    early.read_rest()
    early.hand_over(source, enter="\n")
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSANOW, before)


Pause = Callable[[], AbstractContextManager[None]]
"""Lets somebody else read the terminal meanwhile."""


@contextmanager
def typing_kept(source: Input, output: Output) -> Iterator[Pause]:
    """Keep what is typed for the next prompt that reads from ``source``. Ctrl-C is a signal, Ctrl-D is ignored.

    Yields what pauses that, for a question in between.
    """
    if not _has_terminal():
        yield nullcontext
        return
    typed, loop = _Typed(sys.stdin.fileno()), asyncio.get_running_loop()
    before = termios.tcgetattr(typed.descriptor)
    with_signals = termios.tcgetattr(typed.descriptor)
    with_signals[3] |= termios.ISIG
    termios.tcsetattr(typed.descriptor, termios.TCSANOW, with_signals)

    # Read as it comes: the system keeps 4 kB only.
    def listen() -> None:
        loop.add_reader(typed.descriptor, lambda: typed.read() or loop.remove_reader(typed.descriptor))

    @contextmanager
    def pause() -> Iterator[None]:
        loop.remove_reader(typed.descriptor)
        try:
            yield
        finally:
            listen()

    listen()
    try:
        with _bracketed_paste(output):
            yield pause
    finally:
        termios.tcsetattr(typed.descriptor, termios.TCSANOW, before)
        loop.remove_reader(typed.descriptor)
        typed.read_rest()
        typed.hand_over(source)


def _has_terminal() -> bool:
    return termios is not None and sys.stdin.isatty()


class _Typed:
    """What came from the terminal ``descriptor``."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._bytes = bytearray()

    def read(self) -> bool:
        """Read what is there; return False when the terminal is gone."""
        try:
            piece = os.read(self.descriptor, 65536)
        except OSError:
            return False
        self._bytes += piece
        return bool(piece)

    def read_rest(self) -> None:
        """Read all that is there, and wait for nothing."""
        while select.select([self.descriptor], [], [], 0)[0] and self.read():
            pass

    def hand_over(self, source: Input, enter: str = "\r") -> None:
        """Give it to the next prompt; ``enter`` is what the terminal sent for Enter."""
        presses: list[KeyPress] = []
        typed = self._bytes.decode("utf-8", "replace").replace(_CTRL_D, "").replace(enter, "\r")
        Vt100Parser(presses.append).feed_and_flush(typed)
        store_typeahead(source, presses)


@contextmanager
def _bracketed_paste(output: Output) -> Iterator[None]:
    """Have the terminal mark what is pasted, as it does at the prompt: a line end in it does not send."""
    if is_dumb_terminal():
        yield
        return
    output.enable_bracketed_paste()
    output.flush()
    try:
        yield
    finally:
        output.disable_bracketed_paste()
        output.flush()
