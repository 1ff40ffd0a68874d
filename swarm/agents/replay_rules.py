"""Rules for what a replay ignores: fields, and parts of texts that change from run to run."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any, get_args

from swarmchat.swarm.common.names import nearest
from swarmchat.swarm.common.patterns import BoundedPattern, bounded_pattern
from swarmchat.swarm.errors import DefinitionError
from swarmchat.swarm.persistence.records import RecordType

_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]{0,6}"
_DAY = r"\d{1,2}(?:st|nd|rd|th)?"
_TIME = r"\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d{1,9})?)?(?: ?[AaPp]\.?[Mm]\b)?"
_ZONE = r"(?: ?(?:Z|UTC|GMT|[+-]\d{2}:?\d{2}))?\b"

NORMALIZERS: Mapping[str, str] = {
    "dates": (
        rf"\b\d{{4}}-\d{{2}}-\d{{2}}(?:[T ]{_TIME}{_ZONE})?|\b\d{{1,2}}[./]\d{{1,2}}[./]\d{{2,4}}\b"
        rf"|\b{_DAY}\.? {_MONTH}\.?,? \d{{4}}\b|\b{_MONTH}\.? {_DAY},? \d{{4}}\b|\b{_TIME}{_ZONE}"
        r"|\b(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day\b"
    ),
    "ids": (
        r"\b[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}\b"
        r"|\b(?=[A-Fa-f]{0,64}[0-9])[0-9A-Fa-f]{8,64}\b|\b(?=[A-Z]{0,26}[0-9])[0-9A-HJKMNP-TV-Z]{26}\b"
        r"|(?<=[-_#])(?=[A-Za-z]{0,64}[0-9])[0-9A-Za-z]{6,64}\b"
    ),
    "numbers": r"[+-]?\d+(?:[.,]\d+)*",
}
"""The rules with a name, and what they match."""

_MARKS = {"dates": "<date>", "ids": "<id>", "numbers": "<number>"}


@dataclass(frozen=True)
class ReplayRules:
    """Rules for what a replay ignores. Raises DefinitionError for an unknown rule."""

    ignore: Sequence[str] = ()
    """Fields by the type of their record, such as ``request.tokens`` or ``tool.*``, or whole records: ``rescue``."""
    normalize: Sequence[str] = ()
    """What may differ in texts: ``dates``, ``ids``, ``numbers``, or regular expressions."""

    def __post_init__(self) -> None:
        for name in ("ignore", "normalize"):
            value = getattr(self, name)
            if isinstance(value, str) or not isinstance(value, Sequence) or not all(isinstance(v, str) for v in value):
                raise DefinitionError(f"replay: {name!r} is {value!r:.60}, expected a list of texts")
        for rule in self.ignore:
            kind = rule.partition(".")[0]
            if kind.isidentifier() and kind not in get_args(RecordType):
                hint = nearest(kind, get_args(RecordType))
                raise DefinitionError(f"replay: unknown type of record {kind!r} in 'ignore'; {hint}")
        for rule in self.normalize:
            if rule in NORMALIZERS:
                continue
            if re.fullmatch(r"\w*", rule):
                hint = nearest(rule, NORMALIZERS)
                raise DefinitionError(
                    f"replay: unknown rule {rule!r} in 'normalize'; {hint}, or write a regex: ({rule})"
                )
            try:
                if bounded_pattern(rule).search(""):
                    raise DefinitionError(
                        f"replay: {rule!r} in 'normalize' matches the empty text: match at least one character"
                    )
            except re.error as error:
                raise DefinitionError(
                    f"replay: {rule!r} in 'normalize' is not a regular expression: {error}"
                ) from error

    def __bool__(self) -> bool:
        return bool(self.ignore or self.normalize)

    def and_also(self, other: "ReplayRules | None") -> "ReplayRules":
        """Return the rules of both."""
        if other is None:
            return self
        return ReplayRules([*self.ignore, *other.ignore], [*self.normalize, *other.normalize])

    @cached_property
    def _patterns(self) -> Sequence[tuple[BoundedPattern, str]]:
        own = [(bounded_pattern(rule), "<any>") for rule in self.normalize if rule not in NORMALIZERS]
        # Dates before numbers, which they contain; the user's rules before all others.
        return [
            *own,
            *((bounded_pattern(NORMALIZERS[name]), _MARKS[name]) for name in NORMALIZERS if name in self.normalize),
        ]

    def text(self, text: str) -> str:
        """Return ``text`` with a placeholder for each part that may differ."""
        for pattern, mark in self._patterns:
            text = pattern.sub(mark, text)
        return text

    def same(self, one: Any, other: Any) -> bool:
        """Whether two JSON values are equal except for parts that may differ: in texts and, by ``numbers``, numbers."""
        if isinstance(one, str) and isinstance(other, str):
            return one == other or self.text(one) == self.text(other)
        if isinstance(one, list) and isinstance(other, list):
            return len(one) == len(other) and all(map(self.same, one, other))
        if isinstance(one, dict) and isinstance(other, dict):
            return one.keys() == other.keys() and all(self.same(one[name], other[name]) for name in one)
        numbers = all(isinstance(each, int | float) and not isinstance(each, bool) for each in (one, other))
        return bool(one == other) or (numbers and "numbers" in self.normalize)

    def ignores(self, kind: str, field: str) -> bool:
        """Whether the ``field`` of a record of the type ``kind`` is not compared; empty: the record itself."""
        name = f"{kind}.{field}" if field else kind
        return any(fnmatchcase(name, pattern) or name.startswith(f"{pattern}.") for pattern in self.ignore)


NO_RULES = ReplayRules()
