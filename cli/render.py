"""Events as lines of text: the answer on one stream, all that is said about it on the other."""

import re
import shutil
import sys
import textwrap
from typing import TextIO

from swarmchat.cli.errors import OutputLost
from swarmchat.cli.sanitize import one_line, sanitize
from swarmchat.swarm.events import (
    Event,
    HandedOver,
    ReasoningDelta,
    Refused,
    Rescued,
    Retrying,
    Rotated,
    TextDelta,
    ToolFinished,
    ToolStarted,
    TurnEnded,
    Warned,
)

_DIM, _RED, _BOLD, _OFF = "\x1b[2m", "\x1b[31m", "\x1b[1m", "\x1b[0m"
_CLEAR_LINE = "\r\x1b[K"


class Renderer:
    """Prints the events of a turn.

    ``answers`` gets the model's text and nothing else, ``remarks`` everything else. In a chat both are the terminal
    and each answer begins with the name of the agent. ``colour`` allows dim and bold on the remarks, ``live`` a
    line that tells which tools run, until they have ended.
    """

    def __init__(
        self,
        answers: TextIO | None = None,
        remarks: TextIO | None = None,
        *,
        chat: bool = False,
        colour: bool = False,
        live: bool = False,
    ) -> None:
        self._answers = answers or sys.stdout
        self._remarks = remarks or sys.stderr
        self._chat = chat
        self._colour = colour
        self._live = live
        self._running: list[str] = []
        self._live_line = False
        self._answering = False
        self._line_ends = ""
        """Line ends of the answer that are held back until it goes on: none of them may be the last."""
        self._lost: OSError | ValueError | None = None

    def show(self, event: Event) -> None:
        """Print what ``event`` tells, if anything."""
        match event:
            case TextDelta(text, agent):
                self._answer(text, agent)
            case ReasoningDelta():
                pass
            case Retrying(attempt, seconds, reason):
                self.remark(f"{reason}; attempt {attempt} in {seconds:.{0 if seconds >= 10 else 1}f} s")
            case Rotated(groups, before, after):
                self.remark(
                    f"context: the {groups} oldest messages are no longer sent ({before:,} to {after:,} tokens); "
                    "the session keeps them"
                )
            case ToolStarted(name, arguments, agent):
                self._running.append(_call(agent, name, arguments))
                self._show_running()
            case ToolFinished(name, arguments, status, result, agent, seconds):
                call = _call(agent, name, arguments)
                if call in self._running:
                    self._running.remove(call)
                self.remark(f"{call}  {self._outcome(status, result, seconds)}")
                self._show_running()
            case HandedOver(source, target, _):
                self.remark(f"{one_line(source, 60)} → {one_line(target, 60)}")
            case Refused(policy, direction, banned, message):
                what = "your message" if direction == "input" else "the answer"
                self.remark(f"policy {one_line(policy, 60)} refused {what}" + ("; you are banned" if banned else ""))
                if direction == "input":
                    self._answer(message, policy)
            case Rescued(cause, step, _, detail, agent):
                self.remark(f"rescue: {rescue_line(cause, step, one_line(detail, 100), one_line(agent, 60))}")
            case Warned(text):
                self.remark(f"warning: {text}")
            case TurnEnded(text=text, finish=finish):
                self.end_turn()
                if finish == "length":
                    self.remark("the answer was cut off: the model reached its limit of tokens")
                elif finish == "content_filter":
                    self.remark("the answer was cut off by the provider's content filter")
                elif not text.strip():
                    self.remark("the model answered with nothing: ask again, or ask differently")

    def remark(self, text: str) -> None:
        """Print a dim line about what happens."""
        self.end_answer()
        self._remark(self._styled(_DIM, self._wrapped(f"  {sanitize(text)}", "  ")))

    def verbatim(self, text: str) -> None:
        """Print a dim line that is to be copied: in one piece, however long it is."""
        self.end_answer()
        self._remark(self._styled(_DIM, f"  {sanitize(text)}"))

    def page(self, text: str) -> None:
        """Print lines that the user asked for; what follows a gap in a line stays in its column."""
        self.end_answer()
        for line in sanitize(text).split("\n"):
            gap = re.match(r"\s*\S*\s{2,}", line)
            self._remark(self._wrapped(line, " " * len(gap[0]) if gap else ""))

    def error(self, text: str) -> None:
        """Print what went wrong."""
        self.end_answer()
        self._remark(self._styled(_RED, self._wrapped(f"error: {sanitize(text)}", "       ")))

    def end_turn(self) -> None:
        """Nothing runs any more, however it ended."""
        self._running.clear()
        self.end_answer()

    def end_answer(self) -> None:
        """End the line of an answer, if one is open."""
        self._hide_running()
        if self._answering:
            self._answering, self._line_ends = False, ""
            self._write("\n")

    def check_output(self) -> None:
        """Raise OutputLost if the answers could not all be written, unless their reader left, as ``head`` does."""
        if isinstance(self._lost, OSError) and not isinstance(self._lost, BrokenPipeError):
            raise OutputLost(f"the answer could not be written: {self._lost.strerror}") from self._lost

    def _outcome(self, status: str, result: str, seconds: float) -> str:
        if status == "denied":
            # What the result says is for the model.
            return status if self._chat else f"{status} (--approve auto allows it)"
        took = f", {seconds:.1f} s" if seconds >= 0.1 else ""
        return f"{status}{took}: {one_line(result.removeprefix('Error: '), 80)}"

    def _show_running(self) -> None:
        """Tell on the last line what runs, in one line of the terminal at most."""
        if not (self._live and self._running):
            return
        self.end_answer()
        more = f" and {len(self._running) - 1} more" if len(self._running) > 1 else ""
        text = self._running[-1] + more
        room = shutil.get_terminal_size().columns - 5
        # A letter may take two columns.
        line = f"  {one_line(text, max(1, room if text.isascii() or len(text) * 2 <= room else room // 2))} …"
        self._write(self._styled(_DIM, line))
        self._live_line = True

    def _hide_running(self) -> None:
        if self._live_line:
            self._live_line = False
            self._write(_CLEAR_LINE)

    def _answer(self, text: str, agent: str) -> None:
        self._hide_running()
        text = sanitize(text)
        if not self._answering:
            # Some models begin with empty lines.
            text = text.lstrip("\n")
            if not text:
                return
            if self._chat:
                self._write(f"{self._styled(_BOLD, sanitize(agent))} {mark(self._answers)} ")
            self._answering = True
        text = self._line_ends + text
        shown = text.rstrip("\n")
        self._line_ends = text[len(shown) :]
        self._write(shown)

    def _wrapped(self, line: str, indent: str) -> str:
        """Return ``line`` broken between words, where the terminal would break it anywhere."""
        if not self._chat:
            return line
        columns = max(20, shutil.get_terminal_size().columns)
        return textwrap.fill(
            line, columns, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False, tabsize=4
        )

    def _styled(self, style: str, text: str) -> str:
        return f"{style}{text}{_OFF}" if self._colour else text

    def _remark(self, line: str) -> None:
        try:
            print(line, file=self._remarks, flush=True)
        except (OSError, ValueError):
            # Nobody is there to be told. The turn goes on: what it says is stored.
            return

    def _write(self, text: str) -> None:
        if self._lost is not None:
            return
        try:
            self._answers.write(text)
            self._answers.flush()
        except (OSError, ValueError) as error:
            # The turn goes on: what it says is stored.
            self._lost = error


def _call(agent: str, name: str, arguments: str) -> str:
    return f"{one_line(agent, 60)} · {one_line(name, 60)}({one_line(arguments, 60)})"


_REPAIRED = {
    "leaked_call": "repaired a call written as text",
    "unknown_tool": "repaired the name of a call",
    "bad_arguments": "repaired",
    "control_tokens": "removed control tokens",
    "repetition": "cut off an answer that repeated itself",
}
_FAULTS = {
    "unknown_tool": "the model called a tool that there is not",
    "bad_arguments": "the model called a tool with arguments that do not fit",
    "repeated_call": "the model made the same call again and again",
    "handoff_loop": "the agents hand over in a circle",
    "request_limit": "the model asked for tools and did not answer",
    "repetition": "the answer repeated itself without an end",
    "empty": "the model answered with nothing",
    "rejected": "the answer was not accepted",
}
_STEPS = {
    "feedback": "told it so",
    "recomplete": "asked again",
    "flush": "asked again on a clean slate: {agent} no longer sees what was said before",
    "placeholder": "gave up; ask again, or try another model",
}


def rescue_line(cause: str, step: str, detail: str, agent: str) -> str:
    """Return in words what was wrong and what was done about it."""
    # Of control tokens, not even the names: they are what was not to be seen.
    told = f" ({detail})" if detail and cause != "control_tokens" else ""
    if step == "repair":
        return f"{_REPAIRED.get(cause, cause)}{told}"
    done = _STEPS.get(step, f"{step} answered").format(agent=agent)
    return f"{_FAULTS.get(cause, cause)}{told}; {done}"


def mark(stream: TextIO) -> str:
    """Return the sign between a name and what it says, in what ``stream`` can show."""
    try:
        "❯".encode(stream.encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return ">"
    return "❯"
