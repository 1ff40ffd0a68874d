"""Listen to one answer as it comes: what may be shown comes out, calls written as text stay behind."""

from collections.abc import Iterator
from dataclasses import replace

from swarmchat.swarm.models.base import Answer, ReasoningChunk, TextChunk, ToolCall
from swarmchat.swarm.parsing.answer_filter import AnswerFilter
from swarmchat.swarm.parsing.call_finder import Leak
from swarmchat.swarm.parsing.call_repair import Repair, repair_calls, same_call
from swarmchat.swarm.parsing.repetition import RepetitionGuard, cut_repetition
from swarmchat.swarm.tools.toolset import Toolset

_ENOUGH = 200
"""Characters before a repetition that make an answer of their own."""


class AnswerReader:
    """One answer on its way in. ``toolset`` is what may be called; without ``repair`` the text is taken as it comes."""

    def __init__(self, toolset: Toolset, *, repair: bool = True) -> None:
        self.toolset = toolset
        self.stuck = False
        """Whether the model repeats itself without an end: nothing more need be heard."""
        self._filter = AnswerFilter(toolset) if repair else None
        self._guards = {TextChunk: RepetitionGuard(), ReasoningChunk: RepetitionGuard()}
        self._raw: list[str] = []
        self._shown: list[str] = []
        self._thought: list[str] = []
        self._aside: list[str] = []
        """Of the thoughts, those that did not stand in the text."""
        self._leaks: list[Leak] = []

    def add(self, chunk: TextChunk | ReasoningChunk) -> Iterator[TextChunk | ReasoningChunk]:
        """Take the next piece; yield what may be shown of it and of those before."""
        self.stuck = self._guards[type(chunk)].add(chunk.text)
        if isinstance(chunk, ReasoningChunk):
            self._thought.append(chunk.text)
            self._aside.append(chunk.text)
            yield chunk
            return
        self._raw.append(chunk.text)
        if self._filter is None:
            self._shown.append(chunk.text)
            yield chunk
        else:
            yield from self._sort(self._filter.feed(chunk.text))

    def finish(self) -> Iterator[TextChunk | ReasoningChunk]:
        """Yield what was still held back: no more comes."""
        if self._filter is not None:
            yield from self._sort(self._filter.finish())

    @property
    def text(self) -> str:
        """What was shown so far."""
        return "".join(self._shown)

    @property
    def heard(self) -> bool:
        """Whether any text came so far."""
        return bool(self._raw)

    def raw_answer(self, answer: Answer | None) -> Answer:
        """Return the answer as the model gave it; ``answer`` is its end, ``None`` if it was not waited for."""
        if answer is not None:
            return answer
        return Answer("".join(self._raw), finish="repetition", reasoning="".join(self._aside))

    def repaired_answer(self, said: Answer, prefix: str) -> tuple[Answer, list[Repair]]:
        """Return ``said`` with all put right that can be without losing anything, and what that was.

        Calls that were written as text get ids that begin with ``prefix``. Those that do not fit the offer are among
        the calls too, as they were written.
        """
        if self._filter is None:
            return said, []
        repairs: list[Repair] = []
        text = self.text
        if said.finish == "repetition":
            before, once = cut_repetition(text)
            if len(before.strip()) >= _ENOUGH:
                text = once
                repairs.append(Repair("repetition", f"{len(self.text) - len(once):,} characters"))
        calls = list(said.tool_calls)
        written = [call for leak in self._leaks for call in leak.calls]
        for number, leaked in enumerate(written):
            call = ToolCall(f"{prefix}_{number}", leaked.name, leaked.arguments)
            if not any(same_call(call, other) for other in said.tool_calls):
                calls.append(call)
        if written:
            names = ", ".join(dict.fromkeys(call.name for call in written))
            repairs.append(Repair("leaked_call", f"{names}, {self._leaks[0].format}"))
        if self._filter.control_tokens:
            repairs.append(Repair("control_tokens", " ".join(dict.fromkeys(self._filter.control_tokens))))
        fitting, further = repair_calls(calls, self.toolset, whole=said.finish not in ("length", "repetition"))
        finish = "tool_calls" if fitting and said.finish == "stop" else said.finish
        reasoning = "".join(self._thought) or said.reasoning
        answer = replace(said, text=text, tool_calls=fitting, finish=finish, reasoning=reasoning)
        return answer, repairs + further

    def _sort(self, pieces: Iterator[TextChunk | ReasoningChunk | Leak]) -> Iterator[TextChunk | ReasoningChunk]:
        for piece in pieces:
            if isinstance(piece, Leak):
                self._leaks.append(piece)
                continue
            (self._shown if isinstance(piece, TextChunk) else self._thought).append(piece.text)
            yield piece
