"""Take out of records what is not for others: whatever some regular expressions match."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from swarmchat.swarm.common.encoding import encode_json
from swarmchat.swarm.persistence.records import Record

MARK = "[redacted]"

_KEPT = frozenset(
    """
    active agent cause digest direction encoding finish from key kind model policy program role stack status step swarm
    to tool_call_id type via
    """.split()
)
"""Fields that stay: a log without them would be none. The names of tools and agents are among them."""

_GONE = "\ufdd0"
"""What the mark stands for, while work goes on: a code point that no text has."""
_ROUNDS = 5


class Redaction:
    """Replaces what any of ``patterns`` matches by ``[redacted]``: in texts, arguments, and names of sessions."""

    def __init__(self, patterns: Sequence[str]) -> None:
        """Raise ``re.error`` for a pattern that is none, and ValueError for one that matches where nothing is."""
        self._patterns = [re.compile(pattern) for pattern in patterns]
        for pattern in self._patterns:
            if pattern.search(""):
                raise ValueError(f"{pattern.pattern!r} matches the empty text, so it would match everywhere")

    def __bool__(self) -> bool:
        return bool(self._patterns)

    def record(self, record: Record) -> Record:
        """Return ``record`` without what is to be taken out, itself if there is nothing."""
        data = {name: self._field(name, value, record.type) for name, value in record.data.items()}
        if data == record.data:
            return record
        if "message" in data and data["message"] != record.data["message"]:
            # The count was that of the text that is gone.
            data.pop("tokens", None)
        return replace(record, data=data)

    def text(self, text: str) -> str:
        """Return ``text`` without what is to be taken out; JSON stays JSON."""
        if text[:1] in ("{", "["):
            return self._json(text) or self._plain(text)
        return self._plain(text)

    def _plain(self, text: str) -> str:
        for _ in range(_ROUNDS):
            before = text
            for pattern in self._patterns:
                # What was taken out is not looked at again: the mark itself may be matched.
                text = _GONE.join(pattern.sub(_GONE, piece) for piece in text.split(_GONE))
            if text == before:
                break
        text = re.sub(f"{_GONE}+", MARK, text)
        return MARK if self._matches(text) else text

    def _matches(self, text: str) -> bool:
        """Whether something is left to take out beside the marks."""
        pieces = text.split(MARK)
        return any(
            any(pattern.search(piece) for piece in pieces) if pattern.search(MARK) else pattern.search(text)
            for pattern in self._patterns
        )

    def _json(self, text: str) -> str | None:
        """Return JSON with every string and number in it looked at; ``None`` if ``text`` is none."""
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return None
        made = self._value(value, numbers=True)
        encoded = text if made == value else encode_json(made).decode()
        if not self._matches(encoded):
            return encoded
        # The pattern is about the form of the JSON itself, such as "password": "…".
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
        made: dict[str, Any] = {}
        for name, each in value.items():
            shown = self.text(name)
            while shown in made:
                # Two keys that are both taken out.
                shown += " "
            made[shown] = self._value(each, numbers=numbers)
        return made

    def _field(self, name: str, value: Any, kind: str) -> Any:
        """Return a field of a record, or of what is in one."""
        if name in _KEPT and isinstance(value, str | list):
            return value
        if name == "name" and kind not in ("session", "rename"):
            return value
        if name == "arguments" and isinstance(value, str):
            return self._json(value) or self._plain(value)
        if name == "id" and kind != "session":
            return value
        if name == "value":
            return self._value(value, numbers=True)
        if isinstance(value, dict):
            return {inner: self._field(inner, each, kind) for inner, each in value.items()}
        if isinstance(value, list):
            return [self._field(name, each, kind) for each in value]
        return self.text(value) if isinstance(value, str) else value
