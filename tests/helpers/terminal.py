"""A real terminal for tests: a program on a pseudo-terminal, and the screen that its user would see.

    with terminal([sys.executable, "-m", "swarmchat.cli"], env=…) as screen:
        screen.wait_for("you ❯")
        screen.send("hello\r")
        assert "hello" in screen.lines

Every wait is bounded and fails with the whole screen.
"""

import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pexpect
import pyte
import warm

ENTER, CTRL_C, CTRL_D, CTRL_J, CTRL_Z, ESCAPE, UP = "\r", "\x03", "\x04", "\n", "\x1a", "\x1b", "\x1b[A"
TAB, BACKSPACE, CTRL_L, CTRL_R, CTRL_X = "\t", "\x7f", "\x0c", "\x12", "\x18"
LEFT, RIGHT, F3, F4 = "\x1b[D", "\x1b[C", "\x1bOR", "\x1bOS"
SECONDS = 20.0
"""How long a screen may take to show what is waited for; a busy machine is no finding."""


class Screen(pyte.Screen):  # type: ignore[misc]  # pyte ships no types
    """Answers the program's questions (where is the cursor?) as a terminal does, and keeps what scrolls away as text.

    pyte's own ``HistoryScreen`` and ``display`` take more time than the programs that are looked at.
    """

    answer: Callable[[str], object] = str

    def __init__(self, columns: int, rows: int) -> None:
        self.above: list[str] = []
        self._rows: dict[int, str] = {}
        super().__init__(columns, rows)

    def write_process_input(self, data: str) -> None:
        self.answer(data)

    def index(self) -> None:
        """Move down by a line: at the bottom, the line at the top scrolls away."""
        top, bottom = self.margins or (0, self.lines - 1)
        if self.cursor.y == bottom:
            self.above.append(self._row(top))
        super().index()

    def reset(self) -> None:
        """Begin anew, without what has scrolled away."""
        self.above.clear()
        super().reset()

    def erase_in_display(self, how: int = 0, *args: object, **kwargs: object) -> None:
        """Erase a part of the screen, or what has scrolled away (3)."""
        if how == 3:
            self.above.clear()
        super().erase_in_display(how, *args, **kwargs)

    @property
    def shown(self) -> list[str]:
        """The lines on the screen, without the spaces at their ends."""
        for row in self.dirty:
            self._rows.pop(row, None)
        self.dirty.clear()
        for row in range(self.lines):
            if row not in self._rows:
                self._rows[row] = self._row(row)
        return [self._rows[row] for row in range(self.lines)]

    def _row(self, row: int) -> str:
        line = self.buffer[row]
        end = min(max(line, default=-1) + 1, self.columns)
        return "".join(line.get(column, self.default_char).data for column in range(end)).rstrip()


class Terminal:
    """A running program. ``lines`` is all that it ever put on the screen, scrolled away or not."""

    def __init__(
        self, command: Sequence[str], *, env: Mapping[str, str], columns: int, rows: int, cwd: Path | None
    ) -> None:
        self.raw = b""
        """Every byte that the program wrote."""
        self._screen = Screen(columns, rows)
        self._stream = pyte.ByteStream(self._screen)
        if warm.can_be_warm(command, env):
            self.process = warm.OnTerminal(command, env=env, dimensions=(rows, columns), cwd=cwd)
        else:
            self.process = pexpect.spawn(
                command[0], list(command[1:]), env=dict(env), dimensions=(rows, columns), cwd=cwd, timeout=SECONDS
            )
            # No pause before what is sent: pexpect has one against programs that flush what was typed.
            self.process.delaybeforesend = None
        self._screen.answer = self.process.send

    def send(self, text: str) -> None:
        """Type ``text``."""
        self.process.send(text)

    def paste(self, text: str) -> None:
        """Paste ``text``, marked as a paste as terminals do."""
        self.process.send(f"\x1b[200~{text}\x1b[201~")

    def resize(self, columns: int, rows: int) -> None:
        """Give the window another size."""
        self._screen.resize(rows, columns)
        self.process.setwinsize(rows, columns)

    def close(self) -> int:
        """Close the terminal, as its window does, and return the exit code as ``wait_for_end`` does."""
        # Not os.close: pexpect closes the number once more.
        with open(os.devnull, "rb") as nothing:
            os.dup2(nothing.fileno(), self.process.child_fd)
        self.process.wait()
        return self._exit_code()

    @property
    def lines(self) -> list[str]:
        """What can be read by scrolling up, and on the screen, without the empty lines at the end."""
        lines = [*self._screen.above, *self._screen.shown]
        while lines and not lines[-1]:
            lines.pop()
        return lines

    @property
    def screen_lines(self) -> list[str]:
        """What is on the screen now."""
        return self._screen.shown

    def look(self, text: str) -> pyte.screens.Char:
        """Return how ``text`` begins where it stands last on the screen: its ``fg``, ``bg``, ``bold`` and the like."""
        row, line = next((row, line) for row, line in reversed(list(enumerate(self._screen.shown))) if text in line)
        return self._screen.buffer[row][line.rindex(text)]

    @property
    def looks(self) -> list[pyte.screens.Char]:
        """How each letter on the screen looks."""
        rows, columns = range(self._screen.lines), range(self._screen.columns)
        return [self._screen.buffer[row][column] for row in rows for column in columns]

    @property
    def text(self) -> str:
        """All lines as one text."""
        return "\n".join(self.lines)

    @property
    def words(self) -> str:
        """All words with one space between: what was said, wherever lines were broken."""
        return " ".join(self.text.split())

    def wait_for(self, wanted: str | Callable[["Terminal"], bool]) -> None:
        """Return once ``wanted`` can be read (wherever lines were broken), or holds."""
        deadline = time.monotonic() + SECONDS
        while not (wanted in self.words if isinstance(wanted, str) else wanted(self)):
            if not self._read(deadline) or time.monotonic() > deadline:
                what = repr(wanted) if isinstance(wanted, str) else "it"
                raise AssertionError(f"not to be seen: {what}\n--- screen\n{self.text}\n---")

    def wait_for_end(self) -> int:
        """Return the exit code once the program has ended; a signal's is 128 and its number, as in a shell."""
        deadline = time.monotonic() + SECONDS
        while self._read(deadline):
            assert time.monotonic() < deadline, f"it goes on\n--- screen\n{self.text}\n---"
        self.process.wait()
        return self._exit_code()

    def read(self) -> bool:
        """Show what the program has written by now; return whether it can write more."""
        return self._read(time.monotonic())

    def _exit_code(self) -> int:
        status = self.process.exitstatus
        return 128 + self.process.signalstatus if status is None else int(status)

    def _read(self, deadline: float) -> bool:
        """Show what the program wrote; return whether it can write more."""
        try:
            piece = self.process.read_nonblocking(65536, timeout=min(0.1, max(0.0, deadline - time.monotonic())))
        except pexpect.TIMEOUT:
            return True
        except pexpect.EOF:
            return False
        self.raw += piece
        self._stream.feed(piece)
        return True


@contextmanager
def terminal(
    command: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    columns: int = 80,
    rows: int = 24,
    cwd: Path | None = None,
) -> Iterator[Terminal]:
    """Run ``command`` on a terminal of this size until the block ends."""
    running = Terminal(command, env=os.environ if env is None else env, columns=columns, rows=rows, cwd=cwd)
    try:
        yield running
    finally:
        try:
            running.process.close(force=True)
        except pexpect.ExceptionPexpect:
            # It was killed, and had not ended a tenth of a second later: the machine is busy.
            running.process.wait()


def at_prompt(screen: Terminal) -> bool:
    """Whether the prompt of a chat is on the screen, with its toolbar."""
    return bool(screen.lines) and re.search(r"/ [0-9,]+ tokens ", screen.lines[-1]) is not None


def say(screen: Terminal, message: str, answer: str) -> None:
    """Send ``message`` and wait until ``answer`` is complete and the prompt is back."""
    screen.wait_for(at_prompt)
    screen.send(message + ENTER)
    screen.wait_for(answer)
    screen.wait_for(at_prompt)
