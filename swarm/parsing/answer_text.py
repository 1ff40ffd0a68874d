"""The text of an answer for the user: holds back calls at its end, and closes the gaps where something was cut."""

import re
from collections.abc import Iterator
from itertools import groupby

from swarmchat.swarm.common.patterns import lazy_pattern
from swarmchat.swarm.models.base import ReasoningChunk, TextChunk
from swarmchat.swarm.parsing.call_values import Leak
from swarmchat.swarm.parsing.formats import STATEMENT

_QUOTES = "\"'“‘„‚«"
_LOOKED_AT = 120
_TAIL = 300
"""Characters before a call in which words show that it is an example."""
_EXPLAINS = lazy_pattern(
    r"\b(?:examples?|for instance|formats?|formatted|syntax|schema|structure|hypothetical(?:ly)?|you would(?! like)"
    r"|sample (?:calls?|requests?|outputs?|inputs?|json)|(?:looks?|works?) like this|calls? (?:is|are|gets?) made"
    r"|(?:you|one|we) (?:could|can|should|may|might) (?:then )?(?:call|write|use)"
    r"|beispiel\w*|ejemplo|exemple|esempio|exemplo)\b|\be\.g\.|пример|例如|示例|例子|例え",
    re.IGNORECASE,
)
# The last sentence before a call says that it might be made, or later; "I will check if you have one" does not.
_CONDITIONAL = lazy_pattern(
    r"(?:\b(?:once|as soon as|after|until|unless) you\b|(?:\A|[.!?:\n])\s*(?:if|when|whenever|falls|wenn|si) "
    r"|(?:\w'd| would)(?! like)\b|\b(?:could|might|must be|should be|should look)\b"
    r"|\b(?:würde|könnte|sähe|serait|pourrait|sería|podría|sarebbe|potrebbe)\w{0,2}\b|\bas follows\b)[^.!?]*\Z",
    re.IGNORECASE,
)
_ABOUT_MARKUP = lazy_pattern(
    r"\b(?:html|xml|markup|markdown|entit(?:y|ies)|escap\w+|tags?|templates?|brackets?|source code)\b", re.IGNORECASE
)
_ROLE = r"[*_]{0,2}(?:assistant|ai|bot|tool|client|user|agent|human)[*_]{0,2}:"
_MARKUP = lazy_pattern(rf"\s*(?:[{{\[\"<>|]|(?:[-*+•]|\d{{1,2}}[.)])(?:\s|\Z)|{_ROLE})", re.IGNORECASE)


class LineContext:
    """The state of the current line: whether what comes next is quoted, or is code."""

    def __init__(self) -> None:
        self.number = 0
        """How many lines stand before this one, without the blank ones."""
        self.code = False
        """Whether the last line before this one that is not blank is a statement of a program."""
        self._start = ""
        self._may_indent = True
        self._begin()

    def _begin(self) -> None:
        self.blank = True
        """Whether nothing but spaces and tabs stands on the line yet."""
        self.struck = False
        """Whether ``<s>`` stands on it: HTML's tag, which ``</s>`` then closes."""
        self.last = ""
        """The last character of the line so far."""
        self._quotes = self._curly = self._backticks = 0

    @property
    def indented(self) -> bool:
        """Whether the line is a block of code in Markdown: behind text and a blank line, four spaces in."""
        return self._indents(self._start)

    @property
    def quoted(self) -> bool:
        """Whether what comes next is quoted or is code."""
        return bool(
            self._quotes % 2
            or self._backticks % 2
            or self._curly > 0
            or (self.last and self.last in _QUOTES)
            or self.indented
        )

    @property
    def is_markup(self) -> bool:
        """Whether the line is markup, or that of a list, a quotation or a role."""
        return _MARKUP.match(self._start) is not None

    @property
    def in_word(self) -> bool:
        """Whether what comes next is part of a word, or of a run of signs."""
        return self.last.isalnum() or self.last in tuple("({[<=_*")

    def note(self, text: str, call: bool = False) -> None:
        """Take the next piece of text; ``call`` says that it is no line of a program, whatever it looks like."""
        if "\n" in text:
            *lines, text = text.split("\n")
            for line in lines:
                self._end(self._start + line[:_LOOKED_AT], call)
            self._begin()
        if not text:
            return
        if len(self._start) < _LOOKED_AT:
            self._start += text[:_LOOKED_AT]
        self.blank = self.blank and not text.strip(" \t")
        self._quotes += text.count('"')
        self._curly += text.count("“") + text.count("«") - text.count("”") - text.count("»")
        if "`" in text:
            runs = sum(1 for before, one in zip((self.last or "\n") + text, text, strict=False) if one == "`" != before)
            self._backticks += runs
        self.struck = self.struck or "<s>" in text
        self.last = text[-1]
        if call:
            self._start = ""

    def _end(self, line: str, call: bool) -> None:
        """Take note of what the whole line begins with."""
        self._start = ""
        if not line or line.isspace():
            self._may_indent = True
            return
        self._may_indent = self._indents(line)
        self.number += 1
        self.code = not call and STATEMENT.match(line, 0, _LOOKED_AT) is not None

    def _indents(self, line: str) -> bool:
        return self._may_indent and self.number > 0 and line.startswith(("    ", "\t"))


class AnswerText:
    """Collects the pieces of an answer."""

    def __init__(self) -> None:
        self.prose = False
        """Whether there was text other than white space."""
        self._tail = ""
        self._showed_call = False
        self._pieces: list[TextChunk | ReasoningChunk | Leak] = []
        self._waiting: list[tuple[str, Leak | None]] = []
        self._space: list[str] = []
        self._gap: str | None = None

    def take(self) -> Iterator[TextChunk | ReasoningChunk | Leak]:
        """Return the pieces that were decided since the last call."""
        pieces, self._pieces = self._pieces, []
        for kind, run in groupby(pieces, type):
            if kind is Leak:
                yield from run
            else:
                yield kind("".join(piece.text for piece in run))

    @property
    def explains(self) -> bool:
        """Whether the text so far is about calls, so that the next one is an example."""
        return bool(self._showed_call or _EXPLAINS.search(self._tail) or _CONDITIONAL.search(self._tail))

    @property
    def is_about_markup(self) -> bool:
        """Whether the text so far talks about markup, so that escaped tags are its subject."""
        return _ABOUT_MARKUP.search(self._tail) is not None

    def say(self, text: str) -> None:
        """Add text. Prose behind a waiting call makes that call an example."""
        if self._waiting:
            if not text.strip():
                self._waiting.append((text, None))
                return
            self._settle(False)
        self._say(text)

    def think(self, text: str) -> None:
        """Add to the thoughts."""
        if text:
            self._pieces.append(ReasoningChunk(text))

    def wait(self, text: str, leak: Leak) -> None:
        """Hold back a call that counts only if no text follows; otherwise its ``text`` is shown."""
        self._waiting.append((text, leak))

    def remove(self, leak: Leak | None = None) -> None:
        """Record that something was cut here: ``leak``, or a mark."""
        if self._waiting:
            self._waiting.append(("", leak))
        else:
            self._remove(leak)

    def finish(self) -> None:
        """End the text: waiting calls are calls."""
        self._settle(True)
        if self._gap is None and self._space:
            self._pieces.append(TextChunk("".join(self._space)))
        self._space = []

    def _settle(self, calls: bool) -> None:
        waiting, self._waiting = self._waiting, []
        for text, leak in waiting:
            if text and (leak is None or not calls):
                self._say(text)
                self._showed_call |= leak is not None
            else:
                self._remove(leak)

    def _remove(self, leak: Leak | None) -> None:
        before, self._space = "".join(self._space), []
        self._gap = before if self._gap is None else _wider(self._gap, before)
        if leak:
            self._pieces.append(leak)

    def _say(self, text: str) -> None:
        body = text.strip()
        self._tail = (self._tail + text)[-_TAIL:]
        if not body:
            self._space.append(text)
            return
        start = text.index(body[0])
        end = start + len(body)
        before = "".join(self._space) + text[:start]
        if self._gap is not None:
            indent = before.rpartition("\n")[2] if "\n" in before else ""
            gap = _wider(self._gap, before) if self.prose else ""
            before = gap.rstrip(" \t") + indent if indent else gap
        self._pieces.append(TextChunk(before + text[start:end]))
        self._space, self._gap, self.prose = [text[end:]], None, True


def _wider(one: str, other: str) -> str:
    """Return the white space that holds two texts further apart."""
    return max(one, other, key=lambda space: (space.count("\n"), bool(space)))
