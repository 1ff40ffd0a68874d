"""The current time and new ids for tools, prompts and conditions, from a source that a replay controls."""

import secrets
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any


def _clock() -> datetime:
    return datetime.now(UTC)


def _random_id() -> str:
    return secrets.token_hex(8)


class Draws:
    """The values drawn by one call, or by the prompts of one request: first ``given`` ones, then from the sources."""

    def __init__(self, clock: Callable[[], datetime] = _clock, make_id: Callable[[], str] = _random_id) -> None:
        self._clock = clock
        self._make_id = make_id
        self._moments: deque[datetime] = deque()
        self._ids: deque[str] = deque()
        self.values: dict[str, list[str]] = {}
        """What was drawn, as a record holds it: ``now`` (ISO 8601) and ``ids``, in order."""

    def give(self, moments: Iterable[datetime] = (), ids: Iterable[str] = ()) -> None:
        """Have the next draws return these."""
        self._moments.extend(moments)
        self._ids.extend(ids)

    def repeat(self, recorded: object) -> None:
        """Let the next draws return the values in a record."""
        moments: list[datetime] = []
        with suppress(ValueError):
            moments += [datetime.fromisoformat(text) for text in _texts(recorded, "now")]
        self.give(moments, _texts(recorded, "ids"))

    def now(self) -> datetime:
        """Return the current time."""
        moment = self._moments.popleft() if self._moments else self._clock()
        self.values.setdefault("now", []).append(moment.isoformat())
        return moment

    def new_id(self) -> str:
        """Return an id that was not returned before."""
        value = self._ids.popleft() if self._ids else self._make_id()
        self.values.setdefault("ids", []).append(value)
        return value

    def for_record(self) -> dict[str, Any]:
        """Return the record field with the drawn values; empty if there were none."""
        return {"drawn": {name: list(values) for name, values in self.values.items()}} if self.values else {}


def _texts(recorded: object, name: str) -> Sequence[str]:
    values = recorded.get(name) if isinstance(recorded, Mapping) else None
    return [value for value in values if isinstance(value, str)] if isinstance(values, list) else []
