"""Print the events of a turn: answers on one stream, notes about them on another, and a live status line."""

import asyncio
import re
import shutil
import sys
import textwrap
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from typing import TYPE_CHECKING, TextIO, TypeVar

from swarmchat.cli.errors import OutputLost
from swarmchat.cli.render.activity import Activity
from swarmchat.cli.render.thoughts import Thoughts
from swarmchat.cli.terminal.capabilities import wants_colour
from swarmchat.cli.terminal.sanitize import one_line, sanitize
from swarmchat.cli.terminal.themes import paint

if TYPE_CHECKING:
    from swarmchat.cli.markdown.stream import MarkdownStream
    from swarmchat.cli.render.live_tail import LiveTail
    from swarmchat.swarm.conversation.events import Event

_T = TypeVar("_T")
_TICK = 1 / 12
"""Seconds between two updates of the live rows."""
_JOINED = re.compile("[\u200d\ufe0f\U0001f1e6-\U0001f1ff\U0001f3fb-\U0001f3ff]")
"""Parts of combined emoji, which some terminals show as one and others side by side."""
_NAME = 60
"""Characters of the name of a sender."""
_SHORT_NAME = 20
"""Up to this many characters of a name, further lines of its text are indented by it."""
_PIECE = 1024
"""Characters of an answer that are printed in one go, before other tasks get their turn."""


class Renderer:
    """Prints the events of a turn.

    ``answers`` gets only the model's text, ``remarks`` everything else. In a ``chat`` both are the terminal, and each
    answer begins with the agent's name. ``colour`` allows styles. ``live`` means that the chat's terminal has a
    movable cursor: answers are then drawn as Markdown, and the last line shows the status. Without ``print_answers``,
    ``answers`` gets only what ``write_data`` writes.
    """

    def __init__(
        self,
        answers: TextIO | None = None,
        remarks: TextIO | None = None,
        *,
        chat: bool = False,
        colour: bool = False,
        live: bool = False,
        print_answers: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._answers = answers or sys.stdout
        self._remarks = remarks or sys.stderr
        self._chat = chat
        self._print_answers = print_answers
        self._colour = colour
        self._activity = Activity(clock)
        self.thoughts = Thoughts(_columns, clock)
        """What the model thought, and how much of it a chat shows."""
        # Drawing needs Unicode.
        self._live = chat and live and mark(self._answers) != ">"
        self._tail: LiveTail | None = None
        self._cursor_unknown = False
        """Whether the last line contains text whose width differs between terminals."""
        self._stream: MarkdownStream | None = None
        self._answering = False
        self._line_ends = ""
        """Line ends that are printed only if the answer continues after them."""
        self._error: OSError | ValueError | None = None
        """Why the answers cannot be written."""
        self._held_back: list[Event] = []
        """What has happened while a question has the terminal."""
        self._tasks_unfolded = False
        """Whether events of tasks are printed, even if live lines show them."""
        self._turn_results: list[str] = []
        self._results = self._turn_results
        """The results of the last turn that called tools."""
        self.format_error: Callable[[Exception], str] | None = None
        """Makes the text that is shown of a failed tool's error; ``None``: nothing but the remark."""

    async def follow(self, events: "AsyncGenerator[Event, None]", agent: str) -> None:
        """Print the ``events`` of a turn that starts with ``agent``; keep the status line up to date."""
        from swarmchat.swarm.conversation.events import TextDelta

        self._activity.begin(agent)
        self._turn_results = []
        # A turn that is abandoned must be stored now, not when the garbage collector closes it.
        with self._ticking():
            async with aclosing(events):
                async for event in events:
                    if isinstance(event, TextDelta) and len(event.text) > _PIECE:
                        for start in range(0, len(event.text), _PIECE):
                            self.show(TextDelta(event.text[start : start + _PIECE], event.agent))
                            await asyncio.sleep(0)
                    else:
                        self.show(event)

    def embedding(self, storage: str, done: int, total: int) -> None:
        """Show on the status line how far a search has embedded the items of ``storage``."""
        self._activity.embedding(storage, done, total)

    def show_waiting(self, waiting: Callable[[], str]) -> None:
        """Show the text from ``waiting`` on the status line instead of the model, if it is not empty."""
        self._activity.waiting = waiting

    def tool_progress(self, tool: str, progress: str) -> None:
        """Show the progress of ``tool`` on the status line."""
        self._activity.tool_progress(tool, progress)

    async def during(self, work: Awaitable[_T], name: str) -> _T:
        """Return the result of ``work``; meanwhile, show ``name`` on the status line."""
        self._activity.begin(name, "at work")
        with self._ticking():
            return await work

    def show(self, event: "Event") -> None:
        """Print ``event``; while a question has the terminal, later."""
        if self._activity.paused:
            self._held_back.append(event)
            return
        # Importing these must not delay the first prompt, before which there are no events.
        from swarmchat.cli.render.wording import remark_on
        from swarmchat.swarm.conversation import events as kinds

        if not isinstance(event, kinds.ReasoningDelta):
            self._end_thoughts()
        if isinstance(event, kinds.ToolFinished):
            self._activity.tool_finished(event.name)
        if isinstance(event, kinds.TaskStarted | kinds.TaskProgress | kinds.TaskEnded):
            self._activity.task_event(event)
            warns = isinstance(event, kinds.TaskProgress) and isinstance(event.event, kinds.Warned)
            if self._live and not self._tasks_unfolded and not warns:
                # The live lines show it, and the result of the call comes.
                return
        if remark := remark_on(event, chat=self._chat):
            self.remark(remark)
        if isinstance(event, kinds.ToolFinished) and event.error is not None and self.format_error is not None:
            self.page(self.format_error(event.error))
        match event:
            case kinds.TextDelta(text, agent):
                self._answer(text, agent)
                self._activity.printed(agent)
            case kinds.ReasoningDelta(text, agent):
                self._activity.thinking(agent)
                lines = [*self.thoughts.add(text)]
                for line in lines if not self._answering else ():
                    self._print(f"  {line}", "remark")
            case kinds.ToolStarted(name, _, agent):
                self._activity.tool_started(agent, name)
            case kinds.ToolFinished() if remark:
                call = f"{event.agent} · {event.name}({event.arguments})"
                self._turn_results.append(f"{call}  {event.status}:\n{event.result}")
                self._results = self._turn_results
            case kinds.HandedOver(_, target):
                self._activity.printed(target)
            case kinds.Refused(policy, "input", _, message):
                self._answer(message, policy)
            case kinds.Steered(text):
                self.entered("you", text)
            case kinds.MailReceived(text, sender, act="said"):
                self.entered(one_line(sender, _NAME), text)
            case kinds.MailReceived(text, sender, act=""):
                self.entered(f"message from {one_line(sender, _NAME)}" if sender else "message", text)
            case kinds.TurnEnded():
                self.end_turn()

    def tick(self) -> None:
        """Update the live rows: text whose final form is not known yet, and the status."""
        if self._tail is None or self._activity.paused:
            return
        rows, column = (self._stream.tail(), self._stream.column) if self._stream else ([""], 0)
        if self._cursor_unknown:
            # No column is as far right as this, so that nothing is drawn.
            column = sys.maxsize
        self._put(self._tail.draw(rows, column, self._activity.status()))

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """Leave the terminal to a question while the context lasts."""
        self.end_answer()
        self._activity.paused = True
        try:
            yield
        finally:
            self._activity.paused = False
            self._activity.printed()
            events, self._held_back = self._held_back, []
            for event in events:
                self.show(event)

    def show_results(self) -> None:
        """Print the last results of tools in full."""
        if not self._results:
            self.remark("no tool has been called in this chat yet")
        for result in self._results:
            self.page(result)

    def show_thoughts(self, mode: str) -> None:
        """Show thoughts by ``mode`` from now on, and the last ones if they are to be shown; ``toggle`` changes it."""
        thoughts = self.thoughts
        thoughts.mode = mode if mode != "toggle" else "folded" if thoughts.mode == "shown" else "shown"
        for line in thoughts.last.splitlines() if thoughts.mode == "shown" else ():
            self._print(self._wrapped(f"  {sanitize(line)}", "  "), "remark")
        self.remark(f"thoughts are {thoughts.mode} from now on; swarmchat config set thoughts {thoughts.mode} keeps it")

    def _end_thoughts(self) -> None:
        # In the middle of an answer, a line about them would cut it in two.
        for line in self.thoughts.end(quiet=self._answering):
            self._print(f"  {line}", "remark")

    def unfold_tasks(self) -> None:
        """Start or stop printing the events of tasks."""
        self._tasks_unfolded = not self._tasks_unfolded
        self.remark(f"what agents do in tasks is {'shown' if self._tasks_unfolded else 'folded into one line each'}")

    def show_typed(self, typed: Callable[[], str]) -> None:
        """Show on the status line the text from ``typed``, a description of the user's input."""
        self._activity.typed = typed

    def remark(self, text: str) -> None:
        """Print a dim line."""
        self._print(self._wrapped(f"  {sanitize(text)}", "  "), "remark")
        self._activity.printed()

    def verbatim(self, text: str) -> None:
        """Print a dim line that is never wrapped, so that it can be copied."""
        self._print(f"  {sanitize(text)}", "remark")

    def error(self, text: str) -> None:
        """Print an error."""
        self._print(self._wrapped(f"error: {sanitize(text)}", "       "), "error")

    def page(self, text: str) -> None:
        """Print lines that the user asked for; the second column of a table wraps within itself."""
        for line in sanitize(text).split("\n"):
            gap = re.match(r"\s*\S*\s{2,}", line)
            self._print(self._wrapped(line, " " * len(gap[0]) if gap else ""))

    def head(self, name: str) -> str:
        """Return the styled start of a line that ``name`` writes."""
        return f"{self._styled('name', name)} {mark(self._answers)} "

    def entered(self, name: str, text: str) -> None:
        """Print ``text`` as if ``name`` had just entered it at the prompt."""
        # Below a long name, little of a narrow line would be left.
        indent = " " * (len(name) + 3 if len(name) <= _SHORT_NAME else 2)
        first, *more = sanitize(text).split("\n")
        # Stands for the head, whose control characters have no width.
        place = "x" * (len(name) + 2)
        lines = [self._wrapped(f"{place} {first}", indent)[len(place) :].removeprefix(" ")]
        lines += [self._wrapped(indent + line, indent) for line in more]
        self._print(self.head(name) + "\n".join(lines))

    def raw(self, text: str) -> None:
        """End the answer, then write the program's own control characters unchanged."""
        self.end_answer()
        self._put(text)

    def write_data(self, data: bytes) -> None:
        """Write UTF-8 for programs to the stream of the answers; on a terminal, nothing in it controls that."""
        self._put(sanitize(data.decode("utf-8", "replace")) if self._answers.isatty() else data)

    def end_turn(self) -> None:
        """End the turn, whether or not TurnEnded was shown."""
        self._end_thoughts()
        self._activity.end()
        self.end_answer()

    def end_answer(self) -> None:
        """End the line of an answer, if one is open."""
        self._write("")
        if self._stream is not None:
            stream, self._stream, self._answering = self._stream, None, False
            stream.finish()
        elif self._answering:
            self._answering, self._line_ends = False, ""
            self._write("\n")

    @property
    def reader_left(self) -> bool:
        """Whether the reader of the answers has closed its end, as ``head`` does."""
        return isinstance(self._error, BrokenPipeError)

    def check_output(self) -> None:
        """Raise OutputLost if answers could not be written, unless the reader left."""
        if isinstance(self._error, OSError) and not self.reader_left:
            raise OutputLost(f"standard output cannot be written: {self._error.strerror}") from self._error

    def _answer(self, text: str, agent: str) -> None:
        if not self._print_answers:
            return
        text = sanitize(text)
        if not self._answering:
            # Some models begin with empty lines.
            text = text.lstrip("\n")
            if not text:
                return
            self._answering = True
            if self._chat:
                self._begin_answer(sanitize(agent))
        if self._stream is not None:
            self._stream.feed(text)
            return
        text = self._line_ends + text
        line = text.rstrip("\n")
        self._line_ends = text[len(line) :]
        self._write(line)

    def _begin_answer(self, agent: str) -> None:
        head = self.head(agent)
        self._write(head.removesuffix(" ") if self._tail else head)
        if self._tail:
            from swarmchat.cli.markdown.layout import cells
            from swarmchat.cli.markdown.stream import MarkdownStream

            self._stream = MarkdownStream(self._write, _columns, styled=self._colour, lead=cells(agent) + 2)

    def _wrapped(self, line: str, indent: str) -> str:
        """Return ``line`` wrapped between words; off a chat, as it is."""
        if not self._chat:
            return line
        width = max(20, _columns())
        return textwrap.fill(
            line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False, tabsize=4
        )

    def _styled(self, role: str, text: str) -> str:
        return paint(role, text) if self._colour else text

    def _print(self, line: str, role: str | None = None) -> None:
        """Print a line to the remarks, below the answer."""
        self.end_answer()
        try:
            print(self._styled(role, line) if role else line, file=self._remarks, flush=True)
        except (OSError, ValueError):
            # The turn continues: its answer is stored.
            return

    @contextmanager
    def _ticking(self) -> Iterator[None]:
        """Keep the live rows up to date while the context lasts."""
        if self._live and self._tail is None:
            # Loading it must not delay the first prompt.
            from swarmchat.cli.render.live_tail import LiveTail

            self._tail = LiveTail(shutil.get_terminal_size, styled=self._colour)
        ticking = asyncio.ensure_future(self._tick_forever())
        try:
            yield
        finally:
            ticking.cancel()
            self._activity.end()

    async def _tick_forever(self) -> None:
        while self._tail is not None:
            await asyncio.sleep(_TICK)
            self.tick()

    def _write(self, text: str) -> None:
        """Write to the answers, after erasing the live rows."""
        _, end, line = text.rpartition("\n")
        self._cursor_unknown = bool(_JOINED.search(line)) or (self._cursor_unknown and not end)
        self._put((self._tail.erase() if self._tail else "") + text)

    def _put(self, text: str | bytes) -> None:
        if self._error is not None or not text:
            return
        try:
            if isinstance(text, bytes):
                self._answers.buffer.write(text)
            else:
                self._answers.write(text)
            self._answers.flush()
        except (OSError, ValueError) as error:
            # The turn continues: its answer is stored.
            self._error = error


def _columns() -> int:
    return shutil.get_terminal_size().columns


def mark(stream: TextIO) -> str:
    """Return the sign between a name and its text, ``>`` if ``stream`` is not Unicode."""
    try:
        "❯".encode(stream.encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return ">"
    return "❯"


def remark(text: str) -> None:
    """Print a remark on stderr."""
    Renderer(colour=wants_colour(sys.stderr)).remark(text)
