"""Read an answer while it streams in: separate the text to show from calls written as text."""

from collections.abc import Iterator
from dataclasses import replace

from swarmchat.swarm.models.base import Answer, ReasoningChunk, TextChunk, ToolCall
from swarmchat.swarm.parsing.answer_filter import AnswerFilter
from swarmchat.swarm.parsing.call_repair import Repair, identity, is_cut_off, repair_calls
from swarmchat.swarm.parsing.call_values import CUT_OFF, Leak
from swarmchat.swarm.parsing.repetition import RepetitionGuard, cut_repetition
from swarmchat.swarm.tools.toolset import Toolset

_ENOUGH = 200
"""Characters before a repetition that are enough to be an answer."""
_STOPPED = ("length", "repetition", "content_filter")
"""Finish reasons that say that more was to come."""


class AnswerReader:
    """Reads the answer to ``question``. Without ``repair``, the text is taken as it comes."""

    def __init__(self, toolset: Toolset, question: str = "", *, repair: bool = True) -> None:
        self.toolset = toolset
        self.stuck = False
        """Whether the model repeats itself without end, so that the rest is not worth waiting for."""
        self.doubts: dict[str, str] = {}
        """Why calls must not be carried out, by id: cut off, unreadable, or examples."""
        self.calls_from_text: set[str] = set()
        """The ids of calls that were written as text."""
        self.unreadable = ""
        """What is wrong with a call in the text that has no name, or without tools; empty if nothing is."""
        self._filter = AnswerFilter(toolset, question) if repair else None
        self._guards = {TextChunk: RepetitionGuard(), ReasoningChunk: RepetitionGuard()}
        self._raw: list[str] = []
        self._text: list[str] = []
        self._thoughts: list[str] = []
        self._reasoning: list[str] = []
        """The thoughts that did not come as part of the text."""
        self._leaks: list[Leak] = []
        self._ends_in_leak = False

    def add(self, chunk: TextChunk | ReasoningChunk) -> Iterator[TextChunk | ReasoningChunk]:
        """Take the next chunk; yield the text to show, also of earlier chunks."""
        self.stuck = self._guards[type(chunk)].add(chunk.text)
        if isinstance(chunk, ReasoningChunk):
            self._thoughts.append(chunk.text)
            self._reasoning.append(chunk.text)
            yield chunk
            return
        self._raw.append(chunk.text)
        if self._filter is None:
            self._text.append(chunk.text)
            yield chunk
        else:
            yield from self._sort(self._filter.feed(chunk.text))

    def finish(self) -> Iterator[TextChunk | ReasoningChunk]:
        """End the answer; yield the text that was held back."""
        if self._filter is not None:
            yield from self._sort(self._filter.finish())

    @property
    def text(self) -> str:
        """The text that was shown so far."""
        return "".join(self._text)

    @property
    def has_text(self) -> bool:
        """Whether any text came so far."""
        return bool(self._raw)

    @property
    def said_nothing(self) -> bool:
        """Whether nothing came, or nothing but thoughts."""
        return not (self._leaks or self.text.strip()) and (bool(self._thoughts) or not "".join(self._raw).strip())

    def raw_answer(self, answer: Answer | None) -> Answer:
        """Return the answer as the model gave it; ``answer`` is how it ended, ``None`` if it was cut off as stuck.

        Its calls have the names that the tools have in the swarm.
        """
        if answer is not None:
            return replace(answer, tool_calls=self.toolset.with_own_names(answer.tool_calls))
        return Answer("".join(self._raw), finish="repetition", reasoning="".join(self._reasoning))

    def repaired_answer(self, raw: Answer, prefix: str) -> tuple[Answer, list[Repair]]:
        """Return ``raw`` with all repairs that lose no content, and a list of the repairs.

        Calls that were written as text get ids that begin with ``prefix``. Those that do not fit the offer are among
        the calls too, as they were written.
        """
        calls = list(raw.tool_calls)
        self.doubts = {call.id: CUT_OFF.format(call.name) for call in calls if is_cut_off(call.arguments)}
        if self._filter is None:
            self._doubt_stopped(raw, calls)
            return raw, []
        repairs: list[Repair] = []
        text = self.text
        if raw.finish == "repetition":
            before, cut = cut_repetition(text)
            if len(before.strip()) >= _ENOUGH:
                text = cut
                repairs.append(Repair("repetition", f"{len(self.text) - len(cut):,} characters"))
        leaked_calls = [call for leak in self._leaks for call in leak.calls]
        for number, leaked in enumerate(leaked_calls):
            call = ToolCall(f"{prefix}_{number}", leaked.name, leaked.arguments)
            if not leaked.name or not self.toolset:
                self.unreadable = str(leaked.problem)
            # Some servers send a call and leave it in the text as well.
            elif identity(call) not in map(identity, raw.tool_calls):
                calls.append(call)
                self.calls_from_text.add(call.id)
                if leaked.doubtful:
                    self.doubts[call.id] = str(leaked.problem)
        self._doubt_stopped(raw, calls)
        if any(call.name for call in leaked_calls):
            names = ", ".join(dict.fromkeys(call.name for call in leaked_calls if call.name))
            repairs.append(Repair("leaked_call", f"{names}, {self._leaks[0].format}"))
        if self._filter.control_tokens:
            repairs.append(Repair("control_tokens", " ".join(dict.fromkeys(self._filter.control_tokens))))
        tool_calls, call_repairs = repair_calls(calls, self.toolset, self.doubts)
        finish = "tool_calls" if tool_calls and raw.finish == "stop" else raw.finish
        reasoning = "".join(self._thoughts) or raw.reasoning
        answer = replace(raw, text=text, tool_calls=tool_calls, finish=finish, reasoning=reasoning)
        return answer, repairs + call_repairs

    def _doubt_stopped(self, raw: Answer, calls: list[ToolCall]) -> None:
        """Doubt the calls that ``raw`` was stopped in: the last one, or all if a filter of the provider did it."""
        if raw.finish in _STOPPED and (raw.tool_calls or self._ends_in_leak):
            for call in calls if raw.finish == "content_filter" else calls[-1:]:
                self.doubts.setdefault(call.id, CUT_OFF.format(call.name))

    def _sort(self, pieces: Iterator[TextChunk | ReasoningChunk | Leak]) -> Iterator[TextChunk | ReasoningChunk]:
        for piece in pieces:
            if isinstance(piece, Leak):
                self._leaks.append(piece)
                self._ends_in_leak = True
                continue
            self._ends_in_leak &= isinstance(piece, ReasoningChunk) or not piece.text.strip()
            (self._text if isinstance(piece, TextChunk) else self._thoughts).append(piece.text)
            yield piece
