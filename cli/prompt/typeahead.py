"""What is typed while an answer comes is not lost, and does not mix with the answer on the screen."""

import asyncio
import os
import select
import sys
from codecs import getincrementaldecoder
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from prompt_toolkit.input import Input
from prompt_toolkit.input.typeahead import get_typeahead, store_typeahead
from prompt_toolkit.input.vt100_parser import Vt100Parser
from prompt_toolkit.key_binding.key_processor import KeyPress
from prompt_toolkit.keys import Keys
from prompt_toolkit.output import Output
from prompt_toolkit.utils import is_dumb_terminal

try:
    import termios
except ImportError:  # Windows: typing shows while the answer comes, and is kept all the same.
    termios = None  # type: ignore[assignment]  # a module elsewhere

_ESCAPE = 0.1
"""Seconds after which an Esc that nothing followed is no Alt."""

Feed = Callable[[list[KeyPress]], None]
"""Takes keys that were pressed."""


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
    _hand_over_early(descriptor, source)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSANOW, before)


Pause = Callable[[], AbstractContextManager[None]]
"""Lets somebody else read the terminal meanwhile."""


@contextmanager
def typing_kept(source: Input, output: Output, feed: Feed) -> Iterator[Pause]:
    """Give ``feed`` the keys that are pressed, those first that a prompt left over. Ctrl-C is a signal.

    Yields what pauses that, for a question in between.
    """
    if not _has_terminal():
        yield nullcontext
        return
    descriptor, loop = sys.stdin.fileno(), asyncio.get_running_loop()
    typed = _Typed(descriptor, feed, loop)
    before = termios.tcgetattr(descriptor)
    with_signals = termios.tcgetattr(descriptor)
    with_signals[3] |= termios.ISIG
    # Ctrl-Z is a key: before the program stops, the terminal has to be put in order.
    with_signals[6][termios.VSUSP] = b"\0"
    termios.tcsetattr(descriptor, termios.TCSANOW, with_signals)

    # Read as it comes: the system keeps 4 kB only.
    def listen() -> None:
        loop.add_reader(descriptor, lambda: typed.read() or loop.remove_reader(descriptor))

    @contextmanager
    def pause() -> Iterator[None]:
        loop.remove_reader(descriptor)
        try:
            yield
        finally:
            listen()

    feed(get_typeahead(source))
    listen()
    try:
        with _bracketed_paste(output):
            yield pause
    finally:
        termios.tcsetattr(descriptor, termios.TCSANOW, before)
        loop.remove_reader(descriptor)
        _read_rest(descriptor, typed.read)
        typed.flush()
        feed(get_typeahead(source))


def _has_terminal() -> bool:
    return termios is not None and sys.stdin.isatty()


class _Typed:
    """Makes keys of what comes from the terminal ``descriptor``."""

    def __init__(self, descriptor: int, feed: Feed, loop: asyncio.AbstractEventLoop) -> None:
        self._descriptor = descriptor
        self._feed = feed
        self._loop = loop
        self._presses: list[KeyPress] = []
        self._parser = Vt100Parser(self._presses.append)
        self._letters = getincrementaldecoder("utf-8")("replace")
        self._flushing: asyncio.TimerHandle | None = None

    def read(self) -> bool:
        """Read what is there; return False when the terminal is gone."""
        try:
            piece = os.read(self._descriptor, 65536)
        except OSError:
            return False
        self._parser.feed(self._letters.decode(piece))
        self._deliver()
        if self._flushing is not None:
            self._flushing.cancel()
        # An Esc that nothing follows is one, else it is Alt with a key.
        self._flushing = self._loop.call_later(_ESCAPE, self.flush)
        return bool(piece)

    def flush(self) -> None:
        """Take what was read as complete."""
        if self._flushing is not None:
            self._flushing.cancel()
            self._parser.flush()
            self._presses.append(KeyPress(Keys.Ignore, ""))
            self._deliver()

    def _deliver(self) -> None:
        presses = self._presses[:]
        self._presses.clear()
        self._feed(presses)


def _read_rest(descriptor: int, read: Callable[[], bool]) -> None:
    """Read all that is there, and wait for nothing."""
    while select.select([descriptor], [], [], 0)[0] and read():
        pass


def _hand_over_early(descriptor: int, source: Input) -> None:
    """Give what was typed before anybody listened to the first prompt; Enter was a line end then."""
    early = bytearray()

    def read() -> bool:
        try:
            piece = os.read(descriptor, 65536)
        except OSError:
            return False
        early.extend(piece)
        return bool(piece)

    _read_rest(descriptor, read)
    presses: list[KeyPress] = []
    typed = early.decode("utf-8", "replace").replace("\x04", "").replace("\n", "\r")
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
