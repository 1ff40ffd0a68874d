"""Lenient JSON parser: reads valid JSON as ``json`` does, and damaged JSON as long as it is unambiguous.

Repaired: trailing commas, single and typographic quotes, Python's True, False and None, keys without quotes, comments,
raw newlines in strings, unknown escapes, zeros before numbers, doubled braces (as templates make them), and a round
bracket in place of the last brace. A value that is cut off at the end of the text is read as far as it goes, and is
``broken``.
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from swarmchat.swarm.common.patterns import lazy_pattern

MAX_DEPTH = 64
_LONGEST_KEY = 100


class NeedMore(Exception):
    """The text is too short to decide, and more of it may arrive."""


class NotACall(Exception):
    """The text is not a call. ``position``: how far it was read to see that."""

    def __init__(self, position: int) -> None:
        super().__init__(position)
        self.position = position


class Parsed(NamedTuple):
    """A value and where it ends."""

    value: Any
    end: int
    broken: bool = False
    """Whether the text ends within the value: what is missing cannot be known."""
    unclosed: int = 0
    """How many containers, counted from the outermost, a closing mark ended in place of their own brackets."""


Watch = Callable[[int, str, object], bool]
"""Asked for each key of an object, before its value (UNREAD, or MORE while the key is still being written) and after
it, with how many objects it is in; ``False`` refutes."""
UNREAD, MORE = object(), object()

_SPACE = lazy_pattern(
    r"[ \t\r\n\ufeff\u00a0]*+(?:(?://|#)[^\n]*+(?:\n[ \t\r\n]*+|\Z)|/\*(?s:.){0,200}?\*/[ \t\r\n]*+)*"
)
_OPEN_COMMENT = lazy_pattern(r"/(?:\*(?:(?!\*/)(?s:.)){0,201})?\Z")
_STRINGS = {
    first: lazy_pattern(rf"{first}([^{last}\\]*+(?:\\.[^{last}\\]*+)*+)({last})?", re.DOTALL)
    for first, last in ('""', "''", "“”", "‘’")
}
# Strings without escapes: those of Python, of FunctionGemma and of Gemma 4.
_RAW_STRINGS = {
    mark: lazy_pattern(rf"{re.escape(mark)}(.*?)(?:({re.escape(mark)})|\Z)", re.DOTALL)
    for mark in ('"""', "'''", "<escape>", '<|"|>')
}
_RAW_MARKS = tuple(_RAW_STRINGS)
_NUMBER = lazy_pattern(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_WORD = lazy_pattern(r"-?[^\W\d][\w$-]*+|\$[\w$-]*+")
_NUMBER_OR_WORD_GOES_ON = lazy_pattern(r"[\w.+$-]")
_WORDS = {
    "true": True, "false": False, "null": None, "True": True, "False": False, "None": None,
    "NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf"),
}  # fmt: skip
_STOP_START = lazy_pattern(r"[<\[✿][^<>\n]{0,40}\Z")
_ESCAPE = lazy_pattern(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "/": "/", "\\": "\\", '"': '"', "'": "'", "\n": ""}


def parse_loose(
    text: str, position: int = 0, final: bool = True, watch: Watch | None = None, stop: "re.Pattern[str] | None" = None
) -> Parsed:
    """Read the value at ``position``.

    ``final`` says that nothing follows ``text``; a text that matches ``stop`` ends everything that is still open.
    Raises NeedMore where the text ends and is not final, NotACall where it is no value.
    """
    reader = _Reader(text, final, watch, stop)
    value, end = reader.value(position, 0)
    return Parsed(value, end, reader.broken, reader.unclosed)


def skip_space(text: str, position: int, final: bool) -> int:
    """Return where the white space and comments at ``position`` end; raises NeedMore when the text does."""
    match = _SPACE.match(text, position)
    assert match is not None
    end = match.end()
    if not final and (end == len(text) or _OPEN_COMMENT.match(text, end)):
        raise NeedMore
    return end


def read_string(text: str, position: int, final: bool) -> Parsed:
    """Read the quoted string at ``position``, in any kind of quotes. Raises as ``parse_loose`` does."""
    if not final and text[position : position + 3] in ('""', "''"):
        raise NeedMore
    raw = None
    if text.startswith(_RAW_MARKS, position):
        raw = next(pattern for mark, pattern in _RAW_STRINGS.items() if text.startswith(mark, position))
    pattern = raw or _STRINGS.get(text[position : position + 1])
    match = pattern and pattern.match(text, position)
    if not match:
        raise NotACall(position)
    if match[2] is None and not final:
        raise NeedMore
    content, end = (text[match.start(1) :], len(text)) if match[2] is None else (match[1], match.end())
    return Parsed(content if raw else unescape(content), end, match[2] is None)


def _is_string(text: str, position: int) -> bool:
    return text[position : position + 1] in _STRINGS or text.startswith(("<escape>", '<|"|>'), position)


def unescape(raw: str) -> str:
    """Return the inside of a quoted string as what it means; escapes that JSON does not know stay as they are."""
    if "\\" not in raw:
        return raw
    text = _ESCAPE.sub(_meaning, raw)
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def _meaning(match: "re.Match[str]") -> str:
    escape = match[1]
    return chr(int(escape[1:], 16)) if len(escape) == 5 else _ESCAPES.get(escape, match[0])


class _Reader:
    """One reading of one text."""

    def __init__(self, text: str, final: bool, watch: Watch | None, stop: "re.Pattern[str] | None") -> None:
        self.text, self.final, self.watch, self.stop = text, final, watch, stop
        self.broken, self.unclosed = False, 0

    def value(self, position: int, depth: int, objects: int = 0) -> tuple[Any, int]:
        """Return the value at ``position`` and where it ends."""
        if depth > MAX_DEPTH:
            raise NotACall(position)
        position = skip_space(self.text, position, self.final)
        first = self.text[position : position + 1]
        if first and first in "{[":
            return self._container(position, depth, objects + (first == "{"))
        if _is_string(self.text, position):
            string = read_string(self.text, position, self.final)
            self.broken |= string.broken
            return string.value, string.end
        if self._ends(position):
            self.broken = True
            return None, position
        return self._plain(position, depth)

    def _need(self, position: int) -> None:
        """Raise NeedMore if the text ends before ``position`` and may still grow."""
        if position >= len(self.text) and not self.final:
            raise NeedMore

    def _plain(self, position: int, depth: int) -> tuple[Any, int]:
        """Read a number or a word such as ``true``."""
        is_word = _WORD.match(self.text, position)
        match = is_word or _NUMBER.match(self.text, position)
        if not match:
            self._need(position + 1)
            raise NotACall(position)
        self._need(match.end())
        word, end = match[0], match.end()
        if _NUMBER_OR_WORD_GOES_ON.match(self.text, end):
            self._need(end + 2)
            raise NotACall(end)
        if word in _WORDS:
            return _WORDS[word], end
        if is_word:
            self.broken = end == len(self.text)
            if self.broken:
                return None, end
            raise NotACall(position)
        # A number at the very end of a broken text may lack digits.
        self.broken |= depth > 0 and end == len(self.text)
        try:
            return (float(word) if match[1] or match[2] else int(word)), end
        except ValueError as error:
            # Python refuses to read integers of thousands of digits.
            raise NotACall(end) from error

    def _container(self, position: int, depth: int, objects: int) -> tuple[Any, int]:
        """Read an array or an object, which is ``objects`` deep in objects."""
        self._need(position + 1)
        is_object = self.text[position] == "{"
        closer = "]" if not is_object else "}}" if self.text.startswith("{{", position) else "}"
        members, values, goes_on = dict[str, Any](), list[Any](), True
        position += len(closer)
        while True:
            position = skip_space(self.text, position, self.final)
            length = self._closes(position, closer)
            if length or self._ends(position):
                return members if is_object else values, position + length
            if not goes_on:
                raise NotACall(position)
            if is_object:
                key, position = self._key(position, objects)
                position = skip_space(self.text, position, self.final)
                if self.broken or self._ends(position):
                    self.broken = True
                    return members, position
                if self.text[position] != ":":
                    raise NotACall(position)
                members[key], position = self.value(position + 1, depth + 1, objects)
                if self.watch and not self.broken and not self.watch(objects, key, members[key]):
                    raise NotACall(position)
            else:
                value, position = self.value(position, depth + 1, objects)
                values.append(value)
            position = skip_space(self.text, position, self.final)
            goes_on = self.text.startswith(",", position)
            position += goes_on

    def _key(self, position: int, objects: int) -> tuple[str, int]:
        quoted = _is_string(self.text, position)
        if quoted and self.watch and objects == 1:
            # A key that is not wanted is refuted before it is read to its end, and one that is too long to be wanted.
            start = read_string(self.text[position : position + _LONGEST_KEY], 0, True)
            if start.broken and (start.end == _LONGEST_KEY or not self.watch(1, start.value, MORE)):
                raise NotACall(position + 1)
        if quoted:
            key, end, broken, _ = read_string(self.text, position, self.final)
            self.broken |= broken
        else:
            match = _WORD.match(self.text, position)
            if not match:
                raise NotACall(position)
            key, end = match[0], match.end()
            self._need(end)
            self.broken |= end == len(self.text)
        if self.watch and not self.watch(objects, key, MORE if self.broken else UNREAD):
            raise NotACall(position + 1)
        return key, end

    def _closes(self, position: int, closer: str) -> int:
        """Return the length of the bracket at ``position`` that closes a container; 0 if there is none."""
        if self.text.startswith(closer, position):
            return len(closer)
        if not self.final and len(closer) > 1 and self.text[position : position + 2] == closer[:1]:
            raise NeedMore
        # Half of a doubled brace, or a round bracket, closes an object just as well: nothing is missing in it.
        return int(closer != "]" and self.text.startswith(("}", ")"), position))

    def _ends(self, position: int) -> bool:
        if self.stop and not self.final and _STOP_START.match(self.text, position):
            raise NeedMore
        if position >= len(self.text):
            self.broken = True
        elif not self.broken and self.stop and self.stop.match(self.text, position):
            self.unclosed += 1
            return True
        return self.broken
