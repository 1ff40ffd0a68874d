"""Events as lines of text: the answer on one stream, all that is said about it on the other."""

import shutil
import sys
import textwrap
from typing import TextIO

from swarmchat.cli.sanitize import one_line, sanitize
from swarmchat.swarm.events import (
    Event,
    ReasoningDelta,
    Retrying,
    Rotated,
    TextDelta,
    ToolFinished,
    TurnEnded,
    Warned,
)

_DIM, _RED, _BOLD, _OFF = "\x1b[2m", "\x1b[31m", "\x1b[1m", "\x1b[0m"


class Renderer:
    """Prints the events of a turn.

    ``answers`` gets the model's text and nothing else, ``remarks`` everything else. In a chat both are the terminal
    and each answer begins with the name of the agent. ``colour`` allows dim and bold on the remarks.
    """

    def __init__(
        self,
        answers: TextIO | None = None,
        remarks: TextIO | None = None,
        *,
        chat: bool = False,
        colour: bool = False,
    ) -> None:
        self._answers = answers or sys.stdout
        self._remarks = remarks or sys.stderr
        self._chat = chat
        self._colour = colour
        self._open_line = False
        self._answers_closed = False

    def show(self, event: Event) -> None:
        """Print what ``event`` tells, if anything."""
        match event:
            case TextDelta(text, agent):
                if self._chat and not self._open_line:
                    self._write(f"{self._styled(_BOLD, sanitize(agent))} {mark(self._answers)} ")
                self._write(sanitize(text))
                self._open_line = True
            case ReasoningDelta():
                pass
            case Retrying(attempt, seconds, reason):
                self.remark(f"{reason}; attempt {attempt} in {seconds:.0f} s")
            case Rotated(groups, before, after):
                self.remark(
                    f"context: the {groups} oldest messages are no longer sent ({before:,} to {after:,} tokens); "
                    "the session keeps them"
                )
            case ToolFinished(name, arguments, status, result, _):
                self.remark(f"{name}({one_line(arguments, 60)})  {status}: {one_line(result, 80)}")
            case Warned(text):
                self.remark(f"warning: {text}")
            case TurnEnded(finish=finish):
                self.end_line()
                if finish == "length":
                    self.remark("the answer was cut off: the model reached its limit of tokens")
                elif finish == "content_filter":
                    self.remark("the answer was cut off by the provider's content filter")

    def remark(self, text: str) -> None:
        """Print a dim line about what happens."""
        self.end_line()
        line = f"  {sanitize(text)}"
        if self._chat:
            # The terminal would break it in the middle of a word.
            columns = max(20, shutil.get_terminal_size().columns)
            line = textwrap.fill(line.strip(), columns, initial_indent="  ", subsequent_indent="  ")
        self._remark(self._styled(_DIM, line))

    def error(self, text: str) -> None:
        """Print what went wrong."""
        self.end_line()
        self._remark(self._styled(_RED, f"error: {sanitize(text)}"))

    def end_line(self) -> None:
        """End the line of an answer, if one is open."""
        if self._open_line:
            self._open_line = False
            self._write("\n")

    def _styled(self, style: str, text: str) -> str:
        return f"{style}{text}{_OFF}" if self._colour else text

    def _remark(self, line: str) -> None:
        try:
            print(line, file=self._remarks, flush=True)
        except (OSError, ValueError):
            # Nobody is there to be told. The turn goes on: what it says is stored.
            return

    def _write(self, text: str) -> None:
        if self._answers_closed:
            return
        try:
            self._answers.write(text)
            self._answers.flush()
        except (OSError, ValueError):
            # The reader of a pipe left, as `head` does. The turn goes on: what it says is stored.
            self._answers_closed = True
        except UnicodeEncodeError:
            encoding = self._answers.encoding or "ascii"
            self._answers.write(text.encode(encoding, "replace").decode(encoding))
            self._answers.flush()


def mark(stream: TextIO) -> str:
    """Return the sign between a name and what it says, in what ``stream`` can show."""
    try:
        "❯".encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return ">"
    return "❯"
