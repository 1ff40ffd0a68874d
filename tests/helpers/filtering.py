"""Filter whole answers, and measure what filtering them costs."""

from swarmchat.swarm.models.base import ReasoningChunk, TextChunk
from swarmchat.swarm.parsing.answer_filter import AnswerFilter
from swarmchat.swarm.parsing.call_finder import CallFinder
from swarmchat.swarm.parsing.call_values import Leak
from swarmchat.swarm.parsing.lenient_json import NotACall
from swarmchat.swarm.tools.toolset import Toolset


def filter_text(text: str, toolset: Toolset, question: str = "") -> tuple[str, str, list[Leak], list[str]]:
    """Return the text, the thoughts, the leaks and the control tokens of a whole answer."""
    output = AnswerFilter(toolset, question)
    pieces = [*output.feed(text), *output.finish()]
    shown = "".join(piece.text for piece in pieces if isinstance(piece, TextChunk))
    thought = "".join(piece.text for piece in pieces if isinstance(piece, ReasoningChunk))
    return shown, thought, [piece for piece in pieces if isinstance(piece, Leak)], output.control_tokens


class MeasuredFinder(CallFinder):
    """Counts the characters that it reads: those of calls, and those of what turns out to be none."""

    work = 0

    def frame(self, text: str, start: int, mark: str, final: bool, line_start: bool) -> tuple[Leak, int]:
        try:
            leak, end = super().frame(text, start, mark, final, line_start)
        except NotACall as refuted:
            self.work += refuted.position - start
            raise
        self.work += end - start
        return leak, end

    def bare(self, text: str, start: int, final: bool, code: bool, first: bool) -> tuple[Leak, int]:
        try:
            leak, end = super().bare(text, start, final, code, first)
        except NotACall as refuted:
            self.work += max(refuted.position - start, 1)
            raise
        self.work += end - start
        return leak, end


class MeasuredFilter(AnswerFilter):
    """Counts the characters that are read to decide what they are."""

    def __init__(self, toolset: Toolset) -> None:
        super().__init__(toolset)
        self._finder: MeasuredFinder = MeasuredFinder(toolset)
        self._held_back = 0

    @property
    def work(self) -> int:
        return self._finder.work + self._held_back

    def _run(self, final: bool) -> None:
        super()._run(final)
        self._held_back += self._length
