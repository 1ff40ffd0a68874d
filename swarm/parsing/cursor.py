"""A cursor over a growing text; base class of the tool-call parsers."""

import re
from collections.abc import Mapping
from typing import Any

from swarmchat.swarm.common.patterns import lazy_pattern
from swarmchat.swarm.parsing.call_values import ParsedCall
from swarmchat.swarm.parsing.formats import CLOSER_START, CLOSERS
from swarmchat.swarm.parsing.lenient_json import NeedMore, NotACall, parse_loose
from swarmchat.swarm.tools.toolset import Toolset

_SPACE = lazy_pattern(r"\s*+")
# Surplus brackets, or brackets around the whole call: only before a gap or a mark.
_STRAY = lazy_pattern(r"[)}\]>]{1,3}(?=[\s<\[]|\Z)")
_STRAY_START = lazy_pattern(r"[)}\]>]{1,3}\Z")
_CUT_CLOSER = lazy_pattern(r"(?:</?[\w|｜▁:]{0,40}|\[/?[A-Z_]{0,20})\Z")
_CALL_FOLLOWS = lazy_pattern(r"\s*:?\s*(?:[\[{<`]|[\w.:/-]{1,100}\s*(?:[\[({\n<]|\w{1,100}\s{0,3}[=:]))")
_CALL_FOLLOWS_START = lazy_pattern(r"\s*:?\s*[\w.:/-]{0,100}(?:\s+\w{0,100}\s{0,3})?\Z")


class Cursor:
    """Reads ``text`` by position. Unless it is ``final``, methods raise NeedMore if more text may change the result."""

    def __init__(self, text: str, final: bool, toolset: Toolset) -> None:
        self.text, self.final, self.toolset = text, final, toolset

    def properties(self, name: str) -> Mapping[str, Any]:
        """Return the JSON schemas of the parameters of the tool that ``name`` means, if any."""
        tool = self.toolset.tools.get(self.toolset.resolve(name) or "")
        schemas = tool.signature.parameters.get("properties") if tool else None
        return schemas if isinstance(schemas, dict) else {}

    def space(self, position: int) -> int:
        """Return where the white space at ``position`` ends; raises NeedMore if more of it may come."""
        match = _SPACE.match(self.text, position)
        assert match is not None
        self.need(match.end())
        return match.end()

    def need(self, position: int) -> None:
        """Raise NeedMore if the text ends before ``position`` and may still grow."""
        if position >= len(self.text) and not self.final:
            raise NeedMore

    def json_arguments(self, name: str, position: int) -> tuple[ParsedCall, int]:
        """Read the JSON object with the arguments of ``name``; return the call and where the object ends."""
        arguments, end, broken, unclosed = parse_loose(self.text, position, self.final, None, CLOSERS)
        if not isinstance(arguments, dict):
            raise NotACall(end)
        return ParsedCall(name, arguments, broken or unclosed > 0, True), end

    def at(self, mark: str, position: int) -> bool:
        """Tell whether ``mark`` stands at ``position``; raises NeedMore if it may still become ``mark``."""
        if not self.final and len(self.text) - position < len(mark) and mark.startswith(self.text[position:]):
            raise NeedMore
        return self.text.startswith(mark, position)

    def begins(self, beginnings: frozenset[str], position: int) -> None:
        """Raise NeedMore if the rest of the text from ``position`` is one of the short ``beginnings``."""
        if not self.final and len(self.text) - position <= 40 and self.text[position:] in beginnings:
            raise NeedMore

    def match(self, pattern: "re.Pattern[str]", start: "re.Pattern[str]", position: int) -> "re.Match[str] | None":
        """Return the match at ``position``; raises NeedMore while the rest of the text matches ``start``."""
        match = pattern.match(self.text, position)
        if not self.final and start.match(self.text, position) and (match is None or match.end() == len(self.text)):
            raise NeedMore
        return match

    def closers(self, position: int, mark: str) -> int:
        """Return the end of the closing marks behind a call; the opening ``mark``, repeated by mistake, is one too."""
        stray = self.match(_STRAY, _STRAY_START, position)
        if stray:
            position = stray.end()
        while True:
            end = self.space(position)
            match = self.match(CLOSERS, CLOSER_START, end)
            if match:
                position = match.end()
            elif self._repeats(end, mark):
                return end + len(mark)
            elif self.final and end < len(self.text) and _CUT_CLOSER.match(self.text, end):
                return len(self.text)
            else:
                return position

    def _repeats(self, position: int, mark: str) -> bool:
        """Tell whether ``mark`` is repeated in place of its closing mark: no call follows it."""
        return self.at(mark, position) and not self.match(_CALL_FOLLOWS, _CALL_FOLLOWS_START, position + len(mark))

    def fence_end(self, position: int) -> int:
        """Return the end of the closing code fence behind ``position``; without one, ``position``."""
        end = self.space(position)
        return end + 3 if self.at("```", end) else position
