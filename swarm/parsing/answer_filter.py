"""Separate an answer, while it streams, into text for the user, thoughts, leaked calls and control tokens."""

import re
from collections.abc import Iterator
from functools import cached_property

from swarmchat.swarm.common.patterns import lazy_pattern
from swarmchat.swarm.models.base import ReasoningChunk, TextChunk
from swarmchat.swarm.parsing import formats
from swarmchat.swarm.parsing.answer_text import AnswerText, LineContext
from swarmchat.swarm.parsing.call_finder import CallFinder
from swarmchat.swarm.parsing.call_values import Leak
from swarmchat.swarm.parsing.lenient_json import NeedMore, NotACall
from swarmchat.swarm.parsing.line_calls import NARRATED, PYTHONIC
from swarmchat.swarm.parsing.mark_spellings import ESCAPED, PlainText, plain_text
from swarmchat.swarm.parsing.question_kind import asks_about_calls, asks_for_code, asks_hypothetically
from swarmchat.swarm.tools.toolset import Toolset

Piece = TextChunk | ReasoningChunk | Leak

# A candidate is read again with every piece while it is this short, then with every piece that may end something,
# then when it has grown by a quarter: so the work stays in proportion to the text.
_SHORT, _MIDDLE, _GROWTH = 64, 512, 1.25
_MAY_END = lazy_pattern(r"[}\])>\n`]")
_FENCE = lazy_pattern(r"(`{3,100})(?!`)[^`\n]{0,100}(?![^\n])|(`{3,100})(?!`)[^`\n]{101}|(~{3,100})(?!~)")
_FENCE_START = lazy_pattern(r"`{1,100}[^`\n]{0,100}\Z|~{1,100}\Z")
_THOUGHT_TAIL = lazy_pattern(r"[<\[◁][^>\]▷\n]{0,30}\Z")
_RECIPIENT = lazy_pattern(r"\bto=([\w.-]{1,100})")
_MOST_TOKENS = 16
"""Control tokens in a row that are judged together: each may be kept, and then those behind it are judged again."""
_SENTENCE_ENDS = ".!?…:。！？)"
_BEFORE_CALL = tuple(":.!?…→>")
_REST_OF_LINE = lazy_pattern(r"[ \t]*+(?:(?P<more>[^\s<\[&(\\])|)")
_LINE_END = lazy_pattern(r"[ \t]*\r?\n")
_SPACE = lazy_pattern(r"\s*+")
_PROGRAM = lazy_pattern(r"(?:`{3,20}|~{3,20})[ \t]*(?:py(?:thon)?|js|javascript|bash|te?xt|plaintext)?[ \t]*\r?\n|\w")


class AnswerFilter:
    """Takes one answer in pieces of any size, and returns text, thoughts and leaks as soon as each is decided.

    The result does not depend on how the answer is cut. Never raises, whatever the answer contains.
    """

    def __init__(self, toolset: Toolset, question: str = "") -> None:
        """``question``: what the user asked. If it is about calls, those in the answer are examples."""
        self.toolset = toolset
        self.control_tokens: list[str] = []
        """Tokens of chat templates that were cut from the text."""
        self._finder = CallFinder(toolset)
        self._output = AnswerText()
        self._question = question
        self._line = LineContext()
        self._marks = formats.marks_for(toolset.names)
        self._parts: list[str] = []
        self._length = self._retry = 0
        self._raw, self._plain, self._final = "", PlainText(""), False
        self._fence: str | None = None
        self._thought: re.Pattern[str] | None = None
        self._recipient: str | None = None
        self._thought_said = self._dropping = self._is_result = False

    def feed(self, text: str) -> Iterator[Piece]:
        """Take the next piece of the answer; return the pieces that are decided now."""
        self._parts.append(text)
        self._length += len(text)
        if self._length >= self._retry or (self._length <= _MIDDLE and _MAY_END.search(text)):
            self._run(False)
        return self._output.take()

    def finish(self) -> Iterator[Piece]:
        """End the answer; return the remaining pieces."""
        self._run(True)
        self._output.finish()
        return self._output.take()

    def _run(self, final: bool) -> None:
        self._raw, self._final = "".join(self._parts), final
        self._plain = plain_text(self._raw, final)
        position = 0
        self._retry = 0
        try:
            while position < len(self._text):
                position = self._step(position)
        except NeedMore:
            length = len(self._text) - position
            self._retry = length + 1 if length < _SHORT else int(length * _GROWTH) + 1
        rest = self._raw[self._plain.origin(position) :]
        self._parts, self._length = [rest] if rest else [], len(rest)
        self._raw, self._plain = "", PlainText("")

    @property
    def _text(self) -> str:
        """The text that is read: in it, escaped marks are plain ones."""
        return self._plain.text

    def _original(self, position: int, end: int) -> str:
        """Return a piece of the text as the model wrote it."""
        return self._raw[self._plain.origin(position) : self._plain.origin(end)]

    def _step(self, position: int) -> int:
        """Decide what the text at ``position`` is; return where to continue. Raises NeedMore."""
        text = self._text
        if self._dropping:
            return len(text)
        if self._thought:
            return self._step_thought(position, self._thought)
        if self._fence:
            return self._step_fence(position, self._fence)
        match = self._marks.match(text, position)
        if match and match["line"] is None and match["inline"] is None:
            return self._mark(position, match[0])
        if self._line.blank:
            if self._final and text[position : position + 40] in self._marks.cut_openers:
                self._remove(self._finder.cut_off(text[position:]))
                return len(text)
            start = self._marks.line.match(text, position)
            if start and start.end() > position:
                return self._say(position, start.end())
            if start:
                if not self._final and text[position : position + 40] in self._marks.beginnings:
                    raise NeedMore
                return self._line_candidate(position)
        elif match and match["inline"] is not None:
            return self._inline_candidate(position, match["inline"])
        match = match if match and match["line"] else self._marks.search(text, position + 1)
        if match and match["inline"] is None:
            return self._say(position, match.end() if match["line"] else match.start())
        end = len(text) if self._final else self._tail(position)
        end = min(end, match.start()) if match else end
        if end > position:
            return self._say(position, end)
        raise NeedMore

    def _tail(self, position: int) -> int:
        """Return the position from which the rest of the text may be the start of a mark."""
        text = self._text
        for start in range(max(position, len(text) - 40), len(text)):
            # A mark that begins with a letter is not found inside a word.
            inside = text[start].isalpha() and text[start - 1 : start].isalnum()
            if text[start] in self._marks.heads and not inside and text[start:] in self._marks.beginnings:
                return start
        return len(text)

    def _say(self, position: int, end: int) -> int:
        self._line.note(self._text[position:end])
        self._output.say(self._original(position, end))
        return end

    # A line's beginning

    def _line_candidate(self, position: int) -> int:
        text = self._text
        refuted = position + 1
        if self.toolset and not self._line.indented:
            first = not (self._output.prose or self._explains or "json" in self._question.casefold())
            try:
                leak, end = self._finder.bare(text, position, self._final, self._line.code, first)
                return self._take(position, leak, end)
            except NotACall as no:
                refuted = max(no.position, refuted)
            if self._final and self._finder.is_begun(text, position, self._line.code, first):
                self._remove(self._finder.cut_off(text[position:]))
                return len(text)
        if text[position] not in "`~":
            return self._say(position, min(refuted, len(text)))
        if not self._final and _FENCE_START.match(text, position):
            raise NeedMore
        fence = _FENCE.match(text, position)
        if fence:
            self._fence = fence[1] or fence[2] or fence[3]
            return self._say(position, fence.end())
        return self._say(position, position + 1)

    def _inline_candidate(self, position: int, head: str) -> int:
        """Read what may be a call in the middle of a line: behind a colon, or in signs of its own."""
        is_sentence = head == " "
        start = position + is_sentence
        if not self._final and self._text[position : position + 40] in self._marks.beginnings:
            raise NeedMore
        line = self._line
        is_possible = line.last in _BEFORE_CALL if is_sentence else not line.in_word
        if self.toolset and is_possible and not (line.quoted or line.is_markup):
            try:
                leak, end = self._finder.inline(self._text, start, self._final)
            except NotACall:
                if self._final and self._finder.is_begun(self._text, start):
                    self._say(position, start)
                    self._remove(self._finder.cut_off(self._text[start:]))
                    return len(self._text)
            else:
                self._say(position, start)
                return self._take(start, leak, end)
        return self._say(position, position + 1)

    def _take(self, position: int, leak: Leak, end: int) -> int:
        """Take a call without a frame: remove it, or hold it back if text behind it would make it an example."""
        text = self._text
        if leak.calls and (self._is_example or (_PROGRAM.match(text, position) and self._wants_program(leak))):
            return self._say(position, end)
        leak = leak.as_example() if self._supposes else leak
        is_sure = all(call.name in self.toolset.names and not call.is_example for call in leak.calls)
        if leak.format == NARRATED or (is_sure and not (self._output.prose or leak.waits)):
            self._output.remove(leak)
        else:
            self._line.note(text[position:end], call=True)
            self._output.wait(self._original(position, end), leak)
        return end

    def _step_fence(self, position: int, fence: str) -> int:
        """Pass a code block through, up to its closing fence."""
        text = self._text
        closing = rf"[ \t]*{fence[0]}{{{len(fence)},100}}[ \t]*(?=\r?\n|\Z)"
        match = re.compile(closing).match(text, position) if self._line.blank else None
        match = match or re.compile(rf"\n{closing}").search(text, position)
        if match and (match.end() < len(text) or self._final):
            self._fence = None
            return self._say(position, match.end())
        last = text.rfind("\n", position)
        if self._final:
            return self._say(position, len(text))
        if (last >= 0 or self._line.blank) and not text[max(last, position) :].strip().strip(fence[0]):
            if last > position:
                return self._say(position, last)
            raise NeedMore
        return self._say(position, len(text))

    # Marks

    def _mark(self, position: int, mark: str) -> int:
        end = position + len(mark)
        if self._line.quoted:
            return self._say(position, end)
        if mark in formats.THOUGHTS or mark in formats.RESULTS:
            self._is_result = mark in formats.RESULTS
            if not self._line.blank if self._is_result else self._output.prose:
                self._thought_said |= not self._is_result
                return self._say(position, end)
            self._output.remove()
            self._thought = re.compile(re.escape(formats.THOUGHTS.get(mark) or formats.RESULTS[mark]))
            return end
        if mark in formats.THOUGHT_ENDS:
            return self._thought_end(position, mark)
        if mark == formats.HARMONY:
            return self._harmony(position)
        if mark in formats.CONTROL:
            return self._control(position)
        written = self._raw[self._plain.origin(position)]
        if written in "[{" and mark in ("<tool>", "<call>") and not self._line.blank and self._line.is_markup:
            return self._say(position, end)
        try:
            leak, end = self._finder.frame(self._text, position, mark, self._final, self._line.blank)
        except NotACall as refuted:
            if "call" in mark and self._line.blank and not self._output.prose and _LINE_END.match(self._text, end):
                self.control_tokens.append(mark)
                self._output.remove()
                return end
            return self._say(position, min(refuted.position, len(self._text)))
        if written in ESCAPED and self._is_quotation(end):
            return self._say(position, end)
        self._remove(leak)
        return end

    def _is_quotation(self, end: int) -> bool:
        """Tell whether escaped marks are part of a text about markup: its words say so, or its sentence continues."""
        rest = _REST_OF_LINE.match(self._text, end)
        assert rest is not None
        if not self._final and rest.end() == len(self._text):
            raise NeedMore
        return self._output.is_about_markup or rest["more"] is not None

    @cached_property
    def _explains(self) -> bool:
        """Whether the question is about calls, so that those in the answer are examples."""
        return asks_about_calls(self._question, self.toolset.names)

    @cached_property
    def _supposes(self) -> bool:
        """Whether the question is hypothetical, so that calls in the answer are neither carried out nor shown."""
        return asks_hypothetically(self._question, self.toolset.names)

    def _wants_program(self, leak: Leak) -> bool:
        """Whether the question asks for a program, and ``leak`` is one: neither JSON nor a form of a chat template."""
        return leak.format in ("fenced call", PYTHONIC) and asks_for_code(self._question)

    @property
    def _is_example(self) -> bool:
        """Whether a call that comes now is an example."""
        return self._explains or self._output.explains

    def _remove(self, leak: Leak) -> None:
        self._output.remove(leak.as_example() if self._is_example or self._supposes else leak)

    def _thought_end(self, position: int, mark: str) -> int:
        """Cut the closing mark of a thought without an opening one, at the start or after one line of the answer."""
        text, end, line = self._text, position + len(mark), self._line
        cut = not self._output.prose
        if not cut and not self._thought_said:
            first = line.number == (1 if line.blank else 0) and (line.blank or line.last in _SENTENCE_ENDS)
            if first and end == len(text) and not self._final:
                raise NeedMore
            cut = first and text[end : end + 1] in ("", "\n", "\r")
        self._thought_said = True
        if not cut:
            return self._say(position, end)
        self.control_tokens.append(mark)
        self._output.remove()
        return end

    def _step_thought(self, position: int, closing: "re.Pattern[str]") -> int:
        text = self._text
        match = closing.search(text, position)
        tail = None if match or self._final else _THOUGHT_TAIL.search(text, max(position, len(text) - 40))
        end = match.start() if match else tail.start() if tail else len(text)
        if not match and end == position:
            raise NeedMore
        if not self._is_result:
            self._output.think(text[position:end])
        if match is None:
            return end
        self._thought = None
        self._output.remove()
        return match.end()

    def _harmony(self, position: int) -> int:
        """Read the header of one of gpt-oss's messages: a thought, text, or a call."""
        text, end = self._text, position + len(formats.HARMONY)
        header = formats.HARMONY_HEADER.match(text, end)
        if header is None:
            if not formats.HARMONY_HEADER_START.match(text, end):
                return self._say(position, end)
            if not self._final:
                raise NeedMore
            if not formats.HARMONY_CHANNEL_START.match(text, end):
                return self._say(position, end)
            self._remove(self._finder.cut_off(text[position:]))
            return len(text)
        recipient = _RECIPIENT.search(header["header"])
        name = recipient[1] if recipient else self._recipient
        if name:
            leak, end = self._finder.header(text, position, header.end(), name, self._final)
            self._remove(leak)
            self._recipient = None
            return end
        self._recipient = None
        self.control_tokens += [formats.HARMONY, "<|message|>"]
        self._output.remove()
        if header["channel"] == "analysis":
            self._thought, self._is_result = formats.HARMONY_END, False
        return header.end()

    def _control(self, position: int) -> int:
        """Cut control tokens where a turn begins or ends; keep those that the text talks about."""
        text, end, other, role, recipient = self._text, position, False, False, None
        tokens: list[str] = []
        after = position
        while len(tokens) < _MOST_TOKENS and (match := formats.CONTROL_MARK.match(text, after)):
            tokens.append(match[0])
            end = match.end()
            other |= match[0] in formats.OTHER_ROLES and bool(tokens[:-1] or self._line.blank)
            if match[0] in formats.STARTS:
                if not self._final and formats.ROLE_START.match(text, end):
                    raise NeedMore
                role_match = formats.ROLE.match(text, end)
                if role_match:
                    role, end, recipient = True, role_match.end(), role_match["to"]
                    other |= role_match["other"] is not None
            space = _SPACE.match(text, end)
            assert space is not None
            after = space.end()
            if not self._final and (after == len(text) or text[after : after + 40] in self._marks.beginnings):
                raise NeedMore
        first = tokens[0]
        if first in formats.ENDS:
            if not self._final and formats.OTHER_TURN_START.match(text, after):
                raise NeedMore
            other |= formats.OTHER_TURN.match(text, after) is not None
        nothing = not self._output.prose
        line_ends = after >= len(text) or "\n" in text[end:after]
        cut = nothing or other or role or len(tokens) > 1 or line_ends or bool(self._marks.any.match(text, after))
        if first in formats.STRAY_ENDS:
            cut = self._line.blank and line_ends
        elif first == "<s>":
            cut = nothing and (after > end or len(tokens) > 1)
        elif first == "</s>" and self._line.struck:
            cut = False
        elif first in formats.OTHER_ROLES and not other:
            cut = nothing
        if not cut:
            return self._say(position, position + len(first))
        self.control_tokens += tokens
        self._output.remove()
        self._recipient = recipient
        turned = first in formats.ENDS or not nothing or first in formats.STARTS
        self._dropping = other and turned
        return end
