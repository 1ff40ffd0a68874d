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
from swarmchat.cli.terminal.sanitize import one_line, sanitize
from swarmchat.cli.terminal.themes import paint
from swarmchat.swarm.agents.handoffs import BACK, PREFIX

if TYPE_CHECKING:
    from swarmchat.cli.markdown.stream import MarkdownStream
    from swarmchat.cli.render.live_tail import LiveTail
    from swarmchat.swarm.conversation.events import Event, ToolFinished

_T = TypeVar("_T")
_FRAMES = 1 / 12
"""Seconds between two looks at what is live."""
_RESULT = 100
"""Letters of a result that are shown whole; of a longer one only the beginning is."""
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
        """Print the ``events`` of a turn that ``agent`` begins, and meanwhile what is live."""
        from swarmchat.swarm.conversation.events import TextDelta

        self._activity.begin(agent)
        self._turn_has_results = False
        ticking = self._begin_ticking()
        try:
            # A turn that is left in the middle is to be stored now, not when nobody knows it any more.
            async with aclosing(events):
                async for event in events:
                    if isinstance(event, TextDelta) and len(event.text) > _PIECE:
                        for start in range(0, len(event.text), _PIECE):
                            self.show(TextDelta(event.text[start : start + _PIECE], event.agent))
                            await asyncio.sleep(0)
                    else:
                        self.show(event)
        finally:
            if ticking is not None:
                ticking.cancel()
            self._activity.end()

    async def during(self, work: Awaitable[_T], what: str) -> _T:
        """Return what ``work`` returns; meanwhile tell that ``what`` goes on. Raises what ``work`` raises."""
        self._activity.working(what)
        ticking = self._begin_ticking()
        try:
            return await work
        finally:
            if ticking is not None:
                ticking.cancel()
            self._activity.end()
            self._write("")

    def show(self, event: "Event") -> None:
        """Print what ``event`` tells, if anything."""
        # Nothing happens before the first prompt, and it is not to wait for these.
        from swarmchat.swarm.conversation import events as kinds

        match event:
            case kinds.TextDelta(text, agent):
                self._answer(text, agent)
                self._activity.happened(agent)
            case kinds.ReasoningDelta(_, agent):
                self._activity.thinking(agent)
            case kinds.Retrying(attempt, seconds, reason):
                self.remark(f"{reason}; attempt {attempt} in {seconds:.{0 if seconds >= 10 else 1}f} s")
            case kinds.Rotated(groups, before, after):
                self.remark(
                    f"context: the {groups} oldest messages are no longer sent ({before:,} to {after:,} tokens); "
                    "the session keeps them"
                )
            case kinds.ToolStarted(name, _, agent):
                self._activity.started(agent, name)
            case kinds.ToolFinished():
                self._finished(event)
            case kinds.HandedOver(source, target, _):
                self.remark(f"{one_line(source, 60)} → {one_line(target, 60)}")
                self._activity.happened(target)
            case kinds.Refused(policy, direction, banned, message):
                what = "your message" if direction == "input" else "the answer"
                self.remark(f"policy {one_line(policy, 60)} refused {what}" + ("; you are banned" if banned else ""))
                if direction == "input":
                    self._answer(message, policy)
            case kinds.Rescued(cause, step, _, detail, agent):
                self.remark(f"rescue: {rescue_line(cause, step, one_line(detail, 100), one_line(agent, 60))}")
            case kinds.Warned(text):
                self.remark(f"warning: {text}")
            case kinds.TurnEnded(text=text, finish=finish):
                self.end_turn()
                if finish == "length":
                    self.remark("the answer was cut off: the model reached its limit of tokens")
                elif finish == "content_filter":
                    self.remark("the answer was cut off by the provider's content filter")
                elif not text.strip():
                    self.remark("the model answered with nothing: ask again, or ask differently")

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

    def _finished(self, event: "ToolFinished") -> None:
        self._activity.finished(event.name)
        if event.status == "ok" and (event.name.startswith(PREFIX) or event.name == BACK):
            # A line of its own says so.
            return
        call = f"{one_line(event.agent, 60)} · {one_line(event.name, 60)}"
        if not self._turn_has_results:
            self._turn_has_results = True
            self._results.clear()
        self._results.append(f"{call}({event.arguments})  {event.status}:\n{event.result}")
        self.remark(f"{call}({one_line(event.arguments, 60)})  {self._outcome(event)}")

    def _outcome(self, event: "ToolFinished") -> str:
        if event.status == "denied":
            # What the result says is for the model.
            return event.status if self._chat else f"{event.status} (--approve auto allows it)"
        result = event.result.removeprefix("Error: ")
        long = len(result) > _RESULT
        told = one_line(result, 80 if long else _RESULT)
        size = f", {len(result):,} characters" if long and self._chat else ""
        took = f", {event.seconds:.1f} s" if event.seconds >= 0.1 else ""
        return f"{event.status}{size}{took}: {told}"

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

    def _begin_ticking(self) -> "asyncio.Future[None] | None":
        if self._live and self._tail is None:
            # Not before the first answer: a chat begins with a prompt.
            from swarmchat.cli.render.live_tail import LiveTail

            self._tail = LiveTail(shutil.get_terminal_size, styled=self._colour)
        return asyncio.ensure_future(self._tick_on()) if self._tail else None

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
