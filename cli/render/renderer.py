"""Events as lines of text: the answer on one stream, all that is said about it on the other."""

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
from swarmchat.cli.terminal.sanitize import sanitize
from swarmchat.cli.terminal.themes import paint

if TYPE_CHECKING:
    from swarmchat.cli.markdown.stream import MarkdownStream
    from swarmchat.cli.render.live_tail import LiveTail
    from swarmchat.swarm.conversation.events import Event, ToolFinished

_T = TypeVar("_T")
_FRAMES = 1 / 12
"""Seconds between two looks at what is live."""
_JOINED = re.compile("[\u200d\ufe0f\U0001f1e6-\U0001f1ff\U0001f3fb-\U0001f3ff]")
"""Parts of emoji that are put together, which some terminals show as one and others side by side."""
_PIECE = 1024
"""Letters of an answer that are shown at once, before the program looks at anything else."""


class Renderer:
    """Prints the events of a turn.

    ``answers`` gets the model's text and nothing else, ``remarks`` everything else. In a chat both are the terminal
    and each answer begins with the name of the agent. ``colour`` allows styles. ``live`` says that the terminal of a
    chat can move its cursor: answers are shown as Markdown then, and what goes on is told on the last line.
    """

    def __init__(
        self,
        answers: TextIO | None = None,
        remarks: TextIO | None = None,
        *,
        chat: bool = False,
        colour: bool = False,
        live: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._answers = answers or sys.stdout
        self._remarks = remarks or sys.stderr
        self._chat = chat
        self._colour = colour
        self._activity = Activity(clock)
        # Without Unicode there is nothing to draw with.
        self._live = chat and live and mark(self._answers) != ">"
        self._tail: LiveTail | None = None
        self._joined = False
        """Whether the last line holds what terminals disagree about the width of."""
        self._stream: MarkdownStream | None = None
        self._answering = False
        self._line_ends = ""
        """Line ends of the answer that are held back until it goes on: none of them may be the last."""
        self._lost: OSError | ValueError | None = None
        self._results: list[str] = []
        """What the tools of the last turn with tools returned."""
        self._turn_has_results = False

    async def follow(self, events: "AsyncGenerator[Event, None]", agent: str) -> None:
        """Print the ``events`` of a turn that ``agent`` begins, with a live status line meanwhile."""
        from swarmchat.swarm.conversation.events import TextDelta

        self._activity.begin(agent)
        self._turn_has_results = False
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

    async def during(self, work: Awaitable[_T], name: str) -> _T:
        """Return or raise what ``work`` does; meanwhile the status line says that ``name`` is at work."""
        self._activity.working(name)
        try:
            with self._ticking():
                return await work
        finally:
            self._write("")

    def show(self, event: "Event") -> None:
        """Print ``event``."""
        # Importing these must not delay the first prompt, before which there are no events.
        from swarmchat.cli.render.wording import is_handoff, remark_on
        from swarmchat.swarm.conversation import events as kinds

        match event:
            case kinds.TextDelta(text, agent):
                self._answer(text, agent)
                self._activity.happened(agent)
            case kinds.ReasoningDelta(_, agent):
                self._activity.thinking(agent)
            case kinds.ToolStarted(name, _, agent):
                self._activity.started(agent, name)
            case kinds.ToolFinished(name):
                self._activity.finished(name)
                if not is_handoff(event):
                    self._keep_result(event)
            case kinds.TurnEnded():
                self.end_turn()
        if text := remark_on(event, chat=self._chat):
            self.remark(text)
        match event:
            case kinds.HandedOver(_, target):
                self._activity.happened(target)
            case kinds.Refused(policy, "input", _, message):
                self._answer(message, policy)

    def tick(self) -> None:
        """Show what is live: what is held back of an answer, and what goes on while nothing comes."""
        if self._tail is None or self._activity.held:
            return
        rows, column = (self._stream.tail(), self._stream.column) if self._stream else ([""], 0)
        if self._joined:
            # Nobody knows where the cursor is: there is no way back to it.
            column = sys.maxsize
        self._put(self._tail.drawn(rows, column, self._activity.note()))

    @contextmanager
    def held(self) -> Iterator[None]:
        """Leave the terminal to somebody else meanwhile."""
        self.end_answer()
        self._activity.hold(True)
        try:
            yield
        finally:
            self._activity.hold(False)

    def show_results(self) -> None:
        """Print in full what the last tools returned."""
        for result in self._results:
            self.page(result)
        if not self._results:
            self.remark("no tool was called in this chat yet")

    def remark(self, text: str) -> None:
        """Print a dim line about what happens."""
        self.end_answer()
        self._remark(self._styled("remark", self._wrapped(f"  {sanitize(text)}", "  ")))
        self._activity.happened()

    def entered(self, prompt: str, text: str) -> None:
        """Print what the user entered behind ``prompt``, as it stands at one."""
        self.end_answer()
        first, *rest = sanitize(text).split("\n")
        lines = [f"{self._styled('name', prompt)} {mark(self._answers)} {first}"]
        lines += [" " * (len(prompt) + 3) + line for line in rest]
        self._remark("\n".join(lines))

    def tell_aside(self, aside: Callable[[], str]) -> None:
        """Tell what ``aside`` returns on the line that says what goes on."""
        self._activity.aside = aside

    def verbatim(self, text: str) -> None:
        """Print a dim line that is to be copied: in one piece, however long it is."""
        self.end_answer()
        self._remark(self._styled("remark", f"  {sanitize(text)}"))

    def page(self, text: str) -> None:
        """Print lines that the user asked for; what follows a gap in a line stays in its column."""
        self.end_answer()
        for line in sanitize(text).split("\n"):
            gap = re.match(r"\s*\S*\s{2,}", line)
            self._remark(self._wrapped(line, " " * len(gap[0]) if gap else ""))

    def raw(self, text: str) -> None:
        """Write what the program itself made for the terminal, as it is."""
        self.end_answer()
        self._put(text)

    def error(self, text: str) -> None:
        """Print what went wrong."""
        self.end_answer()
        self._remark(self._styled("error", self._wrapped(f"error: {sanitize(text)}", "       ")))

    def end_turn(self) -> None:
        """Nothing runs any more, however it ended."""
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

    def divide(self) -> None:
        """Write a line that no answer contains, between two answers."""
        self.end_answer()
        self._write("\f\n")

    @property
    def reader_left(self) -> bool:
        """Whether nobody reads the answers any more, as when ``head`` has had enough."""
        return isinstance(self._lost, BrokenPipeError)

    def check_output(self) -> None:
        """Raise OutputLost if the answers could not all be written, unless their reader left, as ``head`` does."""
        if isinstance(self._lost, OSError) and not isinstance(self._lost, BrokenPipeError):
            raise OutputLost(f"the answer could not be written: {self._lost.strerror}") from self._lost

    def _keep_result(self, event: "ToolFinished") -> None:
        if not self._turn_has_results:
            self._turn_has_results = True
            self._results.clear()
        call = f"{event.agent} · {event.name}({event.arguments})"
        self._results.append(f"{call}  {event.status}:\n{event.result}")

    def _answer(self, text: str, agent: str) -> None:
        text = sanitize(text)
        if not self._answering:
            # Some models begin with empty lines.
            text = text.lstrip("\n")
            if not text:
                return
            self._answering = True
            self._begin_answer(sanitize(agent))
        if self._stream is not None:
            self._stream.feed(text)
            return
        text = self._line_ends + text
        shown = text.rstrip("\n")
        self._line_ends = text[len(shown) :]
        self._write(shown)

    def _begin_answer(self, agent: str) -> None:
        if not self._chat:
            return
        sign = mark(self._answers)
        self._write(f"{self._styled('name', agent)} {sign}" + ("" if self._tail else " "))
        if self._tail:
            from swarmchat.cli.markdown.layout import cells
            from swarmchat.cli.markdown.stream import MarkdownStream

            self._stream = MarkdownStream(self._write, _columns, styled=self._colour, lead=cells(f"{agent} {sign}"))

    def _wrapped(self, line: str, indent: str) -> str:
        """Return ``line`` broken between words, where the terminal would break it anywhere."""
        if not self._chat:
            return line
        columns = max(20, shutil.get_terminal_size().columns)
        return textwrap.fill(
            line, columns, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False, tabsize=4
        )

    def _styled(self, role: str, text: str) -> str:
        return paint(role, text) if self._colour else text

    def _remark(self, line: str) -> None:
        try:
            print(line, file=self._remarks, flush=True)
        except (OSError, ValueError):
            # Nobody is there to be told. The turn goes on: what it says is stored.
            return

    @contextmanager
    def _ticking(self) -> Iterator[None]:
        """Keep what is live up to date while the context lasts."""
        if self._live and self._tail is None:
            # Not before the first answer: a chat begins with a prompt.
            from swarmchat.cli.render.live_tail import LiveTail

            self._tail = LiveTail(shutil.get_terminal_size, styled=self._colour)
        ticking = asyncio.ensure_future(self._tick_on()) if self._tail else None
        try:
            yield
        finally:
            if ticking is not None:
                ticking.cancel()
            self._activity.end()

    async def _tick_on(self) -> None:
        while True:
            await asyncio.sleep(_FRAMES)
            self.tick()

    def _write(self, text: str) -> None:
        """Write to the answers, in place of what is live."""
        _, end, line = text.rpartition("\n")
        self._joined = bool(_JOINED.search(line)) or (self._joined and not end)
        self._put((self._tail.taken_back() if self._tail else "") + text)

    def _put(self, text: str) -> None:
        if self._lost is not None or not text:
            return
        try:
            self._answers.write(text)
            self._answers.flush()
        except (OSError, ValueError) as error:
            # The turn goes on: what it says is stored.
            self._lost = error


def _columns() -> int:
    return shutil.get_terminal_size().columns


def mark(stream: TextIO) -> str:
    """Return the sign between a name and what it says, in what ``stream`` can show."""
    try:
        "❯".encode(stream.encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return ">"
    return "❯"
