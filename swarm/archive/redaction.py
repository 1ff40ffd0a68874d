"""Redact records: replace all matches of given regular expressions."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from swarmchat.swarm.common.encoding import encode_json
from swarmchat.swarm.common.patterns import BoundedPattern
from swarmchat.swarm.persistence.records import Record

MARK = "[redacted]"

_UNTOUCHED_FIELDS = frozenset(
    """
    act active agent cause digest direction encoding entry finish from key kind model policy program role stack status
    step swarm task to tool_call_id type via
    """.split()
)
"""Fields that redaction never touches: a log is invalid without them. They include names of tools and agents."""

_PLACEHOLDER = "\ufdd0"
"""Placeholder for the mark during redaction: a code point that no text contains."""
_ROUNDS = 5


class Redaction:
    """Replaces matches of ``patterns`` by ``[redacted]`` in texts, arguments and session names."""

    def __init__(self, patterns: Sequence[str]) -> None:
        """Raise ``re.error`` for an invalid pattern, and ValueError for one that matches the empty text.

        What is redacted raises DefinitionError if a pattern takes too long.
        """
        self._patterns = [BoundedPattern(pattern) for pattern in patterns]
        for pattern in self._patterns:
            if pattern.search(""):
                raise ValueError(f"{pattern.text!r} matches the empty text, so it would match everywhere")

    def __bool__(self) -> bool:
        return bool(self._patterns)

    def record(self, record: Record) -> Record:
        """Return a redacted copy of ``record``, or ``record`` itself if nothing matches."""
        kind = record.text("entry") if record.type == "task" else record.type
        data = {name: self._field(name, value, kind) for name, value in record.data.items()}
        if data == record.data:
            return record
        if "message" in data and data["message"] != record.data["message"]:
            # The stored count belongs to the text before redaction.
            data.pop("tokens", None)
        return replace(record, data=data)

    def text(self, text: str) -> str:
        """Return ``text`` redacted; JSON stays JSON."""
        if text[:1] in ("{", "["):
            return self._json(text) or self._plain(text)
        return self._plain(text)

    def _plain(self, text: str) -> str:
        for _ in range(_ROUNDS):
            before = text
            for pattern in self._patterns:
                # Skip redacted parts: a pattern may match the mark itself.
                text = _PLACEHOLDER.join(pattern.sub(_PLACEHOLDER, piece) for piece in text.split(_PLACEHOLDER))
            if text == before:
                break
        text = re.sub(f"{_PLACEHOLDER}+", MARK, text)
        return MARK if self._matches(text) else text

    def _matches(self, text: str) -> bool:
        """Whether a pattern still matches anything but the marks."""
        pieces = text.split(MARK)
        return any(
            any(pattern.search(piece) for piece in pieces) if pattern.search(MARK) else pattern.search(text)
            for pattern in self._patterns
        )

    def _json(self, text: str) -> str | None:
        """Return JSON with its strings and numbers redacted; ``None`` if ``text`` is not JSON."""
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return None
        redacted = self._value(value, numbers=True)
        encoded = text if redacted == value else encode_json(redacted).decode()
        if not self._matches(encoded):
            return encoded
        # A pattern matches the syntax of the JSON itself, such as "password": "…".
        return encode_json({MARK: True} if isinstance(value, dict) else [MARK]).decode()

    def _value(self, value: Any, *, numbers: bool = False) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self._value(each, numbers=numbers) for each in value]
        if isinstance(value, dict):
            return self._object(value, numbers)
        if numbers and isinstance(value, int | float) and not isinstance(value, bool) and self._matches(repr(value)):
            return MARK
        return value

    def _object(self, value: Mapping[str, Any], numbers: bool) -> dict[str, Any]:
        redacted: dict[str, Any] = {}
        for name, each in value.items():
            key = self.text(name)
            while key in redacted:
                # Two redacted keys would be equal.
                key += " "
            redacted[key] = self._value(each, numbers=numbers)
        return redacted

    def _field(self, name: str, value: Any, kind: str) -> Any:
        """Return a field of a record, or of an object inside it, redacted."""
        if name in _UNTOUCHED_FIELDS and isinstance(value, str | list):
            return value
        if name == "name" and kind not in ("session", "rename"):
            return value
        if name == "arguments" and isinstance(value, str):
            return self._json(value) or self._plain(value)
        if name == "id" and kind != "session":
            return value
        if name == "image" and isinstance(value, dict):
            # Facts about an image: its name is not that of a tool.
            return {inner: self.text(each) if inner == "name" else each for inner, each in value.items()}
        if name == "url" and isinstance(value, str) and value.startswith("blob:"):
            return value
        if name == "value":
            return self._value(value, numbers=True)
        if isinstance(value, dict):
            return {inner: self._field(inner, each, kind) for inner, each in value.items()}
        if isinstance(value, list):
            return [self._field(name, each, kind) for each in value]
        return self.text(value) if isinstance(value, str) else value
