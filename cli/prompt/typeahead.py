"""Read input typed during an answer, without showing it in the middle of the answer."""

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Any

from prompt_toolkit.input import Input
from prompt_toolkit.input.typeahead import get_typeahead, store_typeahead
from prompt_toolkit.key_binding.key_processor import KeyPress
from prompt_toolkit.keys import Keys
from prompt_toolkit.output import Output
from prompt_toolkit.utils import is_dumb_terminal
from swarmchat.cli.terminal.notification import FOCUS_REPORTS_OFF, FOCUS_REPORTS_ON

try:
    import termios

    from prompt_toolkit.input.vt100 import raw_mode
except ImportError:  # Windows: typed text is shown in the answer, but not lost.
    termios = None  # type: ignore[assignment]  # a module elsewhere

_ESCAPE = 0.1
"""Seconds after which Esc is a key of its own, not the start of Alt and another key."""
_ENTER = KeyPress(Keys.Enter, "\r")
_END = KeyPress(Keys.Ignore, "")
"""Ends a sequence of keys that could continue."""

Feed = Callable[[list[KeyPress]], None]
"""Handles pressed keys."""
Pause = Callable[[], AbstractContextManager[None]]
"""Leaves the terminal's input to other readers while its context lasts."""


@contextmanager
def quiet_terminal(source: Input) -> Iterator[None]:
    """Keep the terminal from echoing and changing keys while no prompt reads them, as between two prompts.

    What was typed before goes to the first prompt that reads from ``source``.
    """
    if not _has_terminal():
        yield
        return
    with _terminal_mode(_make_quiet):
        # A terminal that was not quiet yet has sent a line end for Enter, and Ctrl-D for the end of a file.
        presses = [_ENTER if press.data == "\n" else press for press in _waiting_keys(source)]
        store_typeahead(source, [press for press in presses if press.key != Keys.ControlD])
        yield


@contextmanager
def typing_kept(source: Input, output: Output, feed: Feed, *, focus: bool = False) -> Iterator[Pause]:
    """Give ``feed`` the pressed keys, first those that a prompt left unread. Ctrl-C is a signal.

    With ``focus``, the terminal reports meanwhile whether it has the focus. Yields the pause for a question that is
    asked then.
    """
    if not _has_terminal():
        yield nullcontext
        return
    reader = _KeyReader(source, feed)
    feed(get_typeahead(source))
    try:
        reports = _focus_reports(output) if focus else nullcontext()
        with _terminal_mode(_allow_signals), _bracketed_paste(output), reports, source.attach(reader.read):
            yield source.detach
    finally:
        reader.finish()


def take_terminal_back(*, at_prompt: bool) -> bool:
    """Put the terminal into the mode of a prompt or of work again, if a shell has changed it meanwhile; return whether.

    That happens after SIGSTOP, which no program can prepare for; Ctrl-Z is a key, and prompt_toolkit handles it.
    """
    if not _has_terminal():
        return False
    descriptor = sys.stdin.fileno()
    attributes = termios.tcgetattr(descriptor)
    if not attributes[3] & termios.ICANON:
        return False
    if at_prompt:
        # What the prompt itself restores at its end is the mode of work.
        raw_mode(descriptor).__enter__()
        return True
    _make_quiet(attributes)
    _allow_signals(attributes)
    termios.tcsetattr(descriptor, termios.TCSANOW, attributes)
    return True


def _has_terminal() -> bool:
    return termios is not None and sys.stdin.isatty()


@contextmanager
def _terminal_mode(change: Callable[[list[Any]], None]) -> Iterator[None]:
    """Apply ``change`` to the attributes of the terminal while the context lasts."""
    descriptor = sys.stdin.fileno()
    before, attributes = termios.tcgetattr(descriptor), termios.tcgetattr(descriptor)
    change(attributes)
    termios.tcsetattr(descriptor, termios.TCSANOW, attributes)
    try:
        yield
    finally:
        # A terminal that was closed meanwhile takes nothing back.
        with suppress(termios.error):
            termios.tcsetattr(descriptor, termios.TCSANOW, before)


def _make_quiet(attributes: list[Any]) -> None:
    attributes[0] &= ~termios.ICRNL  # Enter and Ctrl-J stay different keys.
    # Ctrl-C is a key for the next prompt, but a signal during an answer: see _allow_signals.
    attributes[3] &= ~(termios.ECHO | termios.ICANON | termios.ISIG)
    attributes[3] |= termios.NOFLSH  # A signal does not discard what was typed before it.


def _allow_signals(attributes: list[Any]) -> None:
    attributes[3] |= termios.ISIG
    # Ctrl-Z stays a key: before the program stops, the terminal must be restored.
    attributes[6][termios.VSUSP] = b"\0"


def _waiting_keys(source: Input) -> list[KeyPress]:
    """Return the keys that were pressed already."""
    presses: list[KeyPress] = []
    while batch := source.read_keys():
        presses += batch
    return presses + source.flush_keys()


class _KeyReader:
    """Passes the keys from ``source`` to ``feed``."""

    def __init__(self, source: Input, feed: Feed) -> None:
        self._source = source
        self._feed = feed
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(_ESCAPE, self._flush)

    def read(self) -> None:
        """Read the input so far; the system buffers only 4 kB."""
        self._feed(self._source.read_keys())
        self._timer.cancel()
        self._timer = self._loop.call_later(_ESCAPE, self._flush)

    def finish(self) -> None:
        """Read the rest, and input that a question left unread."""
        self._timer.cancel()
        self._feed([*_waiting_keys(self._source), _END, *get_typeahead(self._source)])

    def _flush(self) -> None:
        """Handle keys that may be the start of a longer sequence, such as Esc, as they are."""
        # It must not read: a question may be reading now.
        self._feed([*self._source.flush_keys(), _END])


@contextmanager
def _focus_reports(output: Output) -> Iterator[None]:
    if is_dumb_terminal():
        yield
        return
    output.write_raw(FOCUS_REPORTS_ON)
    output.flush()
    try:
        yield
    finally:
        # A shell, or a program that is started from here, would take them for keys.
        output.write_raw(FOCUS_REPORTS_OFF)
        output.flush()


@contextmanager
def _bracketed_paste(output: Output) -> Iterator[None]:
    """Let the terminal mark pasted text, so that a line end in it does not send."""
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
