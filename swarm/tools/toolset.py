"""The tools and handoffs that a request offers, and the match for a name that a model misspelt."""

import re
from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from swarmchat.swarm.common.names import nearest, portable_name
from swarmchat.swarm.common.patterns import lazy_pattern
from swarmchat.swarm.models.base import ToolCall
from swarmchat.swarm.tools.context import ArgumentsError

if TYPE_CHECKING:
    from swarmchat.swarm.tools.tool import Tool

# Namespaces that models put before a name: OpenAI's (``functions.``), Gemini's (``default_api.``), and guesses.
_NAMESPACE = lazy_pattern(r"^(?:functions?|tools?|default_api|namespace)\s*[.:/]\s*", re.IGNORECASE)
# gpt-oss leaves tokens behind a name (vllm-project/vllm#22578), Kimi a running number.
_TAIL = lazy_pattern(r"(?:<\|.*|:\d*|\(.*\))$", re.DOTALL)
_LONGEST_NAME = 200
_SEPARATORS = lazy_pattern(r"[\s_.\\-]+")
# The start of a spelling may end anywhere, even inside the separator of a namespace, so all signs are ignored.
_SIGNS = lazy_pattern(r"[\W_]+")
_PLAIN_NAMESPACES = ("", "functions", "function", "tools", "tool", "defaultapi", "namespace")


class Toolset:
    """The tools and handoffs that one request offers."""

    def __init__(self, tools: "Iterable[Tool]" = (), handoffs: Iterable[str] = ()) -> None:
        self.tools = {tool.name: tool for tool in tools}
        self.handoffs = tuple(handoffs)
        self.names = (*self.tools, *self.handoffs)
        self._own_names = {portable_name(name): name for name in self.tools}
        """The names of the tools by the names that models know them by."""
        self._plain: dict[str, str | None] = {}
        for name in self.names:
            plain = _plain(name)
            # Names that differ only in case and separators are ambiguous.
            self._plain[plain] = None if plain in self._plain else name

    def __bool__(self) -> bool:
        return bool(self.names)

    @property
    def definitions(self) -> list[dict[str, Any]]:
        """The definitions of the tools as a request offers them: with names that every server takes."""
        definitions = [tool.definition for tool in self.tools.values()]
        return [
            {**each, "function": {**each["function"], "name": portable_name(each["function"]["name"])}}
            for each in definitions
        ]

    def with_own_names(self, calls: Iterable[ToolCall]) -> tuple[ToolCall, ...]:
        """Return the ``calls`` of an answer with the names that the tools have in the swarm and in the log."""
        return tuple(replace(call, name=self._own_names.get(call.name, call.name)) for call in calls)

    def resolve(self, name: str) -> str | None:
        """Return the offered name that equals ``name`` apart from case, separators and namespace, or ``None``."""
        return self._known(name) or self._known(_cut(name)) or self._plain.get(_plain(_cut(name)))

    def _known(self, name: str) -> str | None:
        return name if name in self.tools or name in self.handoffs else self._own_names.get(name)

    def may_begin(self, text: str) -> bool:
        """Tell whether a spelling that ``resolve`` accepts may begin with ``text``."""
        start = _without_signs(text)
        return any(spelling.startswith(start) or start.startswith(spelling) for spelling in self._spellings)

    @cached_property
    def _spellings(self) -> frozenset[str]:
        """The names, alone and in each namespace, without signs."""
        names = (*self.names, *self._own_names)
        return frozenset(_without_signs(space + name) for name in names for space in _PLAIN_NAMESPACES)

    def problem(self, name: str, arguments: str) -> str | None:
        """Return why ``name`` cannot be called with the JSON text ``arguments``; ``None`` if it can."""
        tool = self.tools.get(name)
        if tool is None:
            return None if name in self.handoffs else self.unknown(name)
        try:
            tool.read_arguments(arguments)
        except ArgumentsError as error:
            return str(error)
        return None

    def unknown(self, name: str) -> str:
        """Return the error message for a call of ``name``, which is not offered."""
        return f"unknown tool {name!r}; {nearest(name, self.names)}"


def _cut(name: str) -> str:
    return _TAIL.sub("", _NAMESPACE.sub("", name[:_LONGEST_NAME].strip()))


def _plain(name: str) -> str:
    return _SEPARATORS.sub("", name).casefold()


def _without_signs(text: str) -> str:
    return _SIGNS.sub("", text).casefold()
