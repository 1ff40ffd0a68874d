"""Compare a JSON value with an expected one, which may contain matchers such as ``{"$contains": "tea"}``."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from swarmchat.swarm.common.encoding import decode_json
from swarmchat.swarm.common.names import nearest
from swarmchat.swarm.common.patterns import bounded_pattern
from swarmchat.swarm.errors import DefinitionError, TranscriptError
from swarmchat.swarm.tools.json_schema import check_schema, problems

_LONGEST = 120
_MARK = "$"
_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "text": str,
    "number": (int, float),
    "boolean": bool,
    "list": list,
    "object": dict,
    "null": type(None),
}

MATCHERS: Mapping[str, str] = {
    "$any_of": "a list of alternatives",
    "$contains": "a text, or a list of them; in a list: one of its values",
    "$equals": "any value",
    "$exists": "true or false",
    "$length": "a number, or a matcher for it",
    "$matches": "a regular expression",
    "$max": "a number",
    "$min": "a number",
    "$not": "a value or a matcher",
    "$schema": "a JSON schema",
    "$type": f"one of {', '.join(_TYPES)}",
}
"""The matchers, and the value that each takes."""

_STEP = re.compile(r"\.?([^.\[\]]+)|\[(\d+|\*)\]")


def check_expected_value(expected: Any, where: object) -> None:
    """Raise TranscriptError for an unknown matcher and for an invalid value; ``where`` is the place in the file."""
    if isinstance(expected, list):
        for each in expected:
            check_expected_value(each, where)
    if not isinstance(expected, dict):
        return
    marked = [name for name in expected if name.startswith(_MARK)]
    if marked and len(marked) < len(expected):
        other = next(name for name in expected if not name.startswith(_MARK))
        raise TranscriptError(f"{where}: {marked[0]!r} is next to {other!r}, expected only matchers in an object")
    for name, value in expected.items():
        if name in marked:
            _check_matcher(name, value, where)
        if name not in ("$equals", "$schema"):
            check_expected_value(value, where)


def _check_matcher(name: str, value: Any, where: object) -> None:
    if name not in MATCHERS:
        hint = nearest(name, MATCHERS)
        raise TranscriptError(f"{where}: unknown matcher {name!r}; {hint}, or use $equals for a key that begins with $")
    number = isinstance(value, int | float) and not isinstance(value, bool)
    fits = {
        "$any_of": isinstance(value, list) and bool(value),
        "$contains": not isinstance(value, list) or all(isinstance(each, str) for each in value),
        "$exists": isinstance(value, bool),
        "$length": number or isinstance(value, dict),
        "$matches": isinstance(value, str),
        "$max": number,
        "$min": number,
        "$type": isinstance(value, str) and value in _TYPES,
    }
    if not fits.get(name, True):
        raise TranscriptError(f"{where}: {name!r} is {value!r}, expected {MATCHERS[name]}")
    if name == "$matches":
        check_pattern(value, name, where)
    if name == "$schema":
        check_schema_of(value, where)


def check_pattern(pattern: str, name: str, where: object) -> None:
    """Raise TranscriptError unless ``pattern`` is a regular expression."""
    try:
        bounded_pattern(pattern)
    except re.error as error:
        raise TranscriptError(f"{where}: {name!r} is not a regular expression ({error})") from error


def check_schema_of(schema: Any, where: object) -> None:
    """Raise TranscriptError unless ``schema`` is a JSON schema that can be checked."""
    try:
        check_schema(schema)
        # A keyword with a value of the wrong type is noticed when it is used.
        values: tuple[Any, ...] = ({}, [], "", 0, None)
        for value in values:
            tuple(problems(value, schema, schema))
    except (DefinitionError, AttributeError, TypeError, ArithmeticError, RecursionError) as error:
        raise TranscriptError(f"{where}: the JSON schema cannot be used: {error}") from error


def schema_problem(schema: Any, value: Any) -> str | None:
    """Return the part of ``value`` that does not fit a JSON schema; ``None`` if it fits."""
    try:
        return next(iter(problems(value, schema, schema)), None)
    except (DefinitionError, AttributeError, TypeError, ArithmeticError, RecursionError) as error:
        return f"it cannot be checked ({error})"


def shown(value: Any) -> str:
    """Return ``value`` as messages show it: a text in quotes, anything else as JSON, cut if it is long."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def described(expected: Any) -> str:
    """Return an expected value in words."""
    if isinstance(expected, dict) and expected and all(name.startswith(_MARK) for name in expected):
        return " and ".join(_WORDS[name].format(_described_operand(name, value)) for name, value in expected.items())
    return shown(expected)


_WORDS = {
    "$any_of": "{}",
    "$contains": "something that contains {}",
    "$equals": "exactly {}",
    "$exists": "{}",
    "$length": "something of the length {}",
    "$matches": "a text that matches {}",
    "$max": "at most {}",
    "$min": "at least {}",
    "$not": "anything but {}",
    "$schema": "a value that fits the schema {}",
    "$type": "a value of the type {}",
}


def _described_operand(name: str, value: Any) -> str:
    if name == "$any_of":
        return " or ".join(map(described, value))
    if name == "$exists":
        return "any value" if value else "no value"
    if name == "$contains" and isinstance(value, list):
        return " and ".join(map(described, value))
    return described(value) if name in ("$not", "$contains", "$length") else shown(value)


def _unchanged(text: str) -> str:
    return text


@dataclass(frozen=True)
class Matching:
    """Compares values. ``normalize`` changes both texts before they are compared."""

    normalize: Callable[[str], str] = _unchanged

    def mismatch(self, expected: Any, actual: Any, at: str = "it") -> str | None:
        """Return in words how ``actual`` differs from what is expected; ``None`` if it matches.

        An object may have more fields than the expected one. ``at`` names the value.
        """
        if isinstance(expected, dict) and expected and all(name.startswith(_MARK) for name in expected):
            mismatches = (self._matcher_mismatch(name, value, actual, at) for name, value in expected.items())
            return next((problem for problem in mismatches if problem), None)
        if isinstance(expected, dict) and isinstance(actual, dict):
            return self._object_mismatch(expected, actual, at)
        if isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
            pairs = enumerate(zip(expected, actual, strict=True))
            mismatches = (
                self.mismatch(*pair, f"{at}[{index}]" if at != "it" else f"item {index}") for index, pair in pairs
            )
            return next((problem for problem in mismatches if problem), None)
        return None if self.equal(expected, actual) else f"{at} is {shown(actual)}, expected {described(expected)}"

    def equal(self, expected: Any, actual: Any) -> bool:
        """Whether two JSON values are equal; unlike in Python, true is not 1."""
        if isinstance(expected, str) and isinstance(actual, str):
            return expected == actual or self.normalize(expected) == self.normalize(actual)
        if isinstance(expected, bool) or isinstance(actual, bool):
            return expected is actual
        if isinstance(expected, list) and isinstance(actual, list):
            return len(expected) == len(actual) and all(map(self.equal, expected, actual))
        if isinstance(expected, dict) and isinstance(actual, dict):
            return expected.keys() == actual.keys() and all(self.equal(expected[key], actual[key]) for key in expected)
        return bool(expected == actual)

    def contains(self, text: str, part: str) -> bool:
        """Whether ``text`` contains ``part``, ignoring case and how blanks are written."""
        return any(
            _folded(change(part)) in _folded(change(text)) for change in dict.fromkeys((_unchanged, self.normalize))
        )

    def _object_mismatch(self, expected: Mapping[str, Any], actual: Mapping[str, Any], at: str) -> str | None:
        for name, value in expected.items():
            inner = name if at == "it" else f"{at}.{name}"
            if name in actual:
                problem = self.mismatch(value, actual[name], inner)
            elif isinstance(value, dict) and value.get("$exists") is False:
                problem = None
            else:
                problem = f"{inner} is missing, expected {described(value)}"
            if problem:
                return problem
        return None

    def _matcher_mismatch(self, name: str, expected: Any, actual: Any, at: str) -> str | None:
        if name == "$schema":
            problem = schema_problem(expected, actual)
            return f"{at} does not fit the schema: {problem}" if problem else None
        if self._fits(name, expected, actual):
            return None
        return f"{at} is {shown(actual)}, expected {_WORDS[name].format(_described_operand(name, expected))}"

    def _fits(self, name: str, expected: Any, actual: Any) -> bool:
        number = isinstance(actual, int | float) and not isinstance(actual, bool)
        match name:
            case "$any_of":
                return any(self.mismatch(each, actual) is None for each in expected)
            case "$not":
                return self.mismatch(expected, actual) is not None
            case "$contains":
                return self._contains(expected, actual)
            case "$matches":
                return isinstance(actual, str) and bounded_pattern(expected).search(actual) is not None
            case "$min":
                return number and bool(actual >= expected)
            case "$max":
                return number and bool(actual <= expected)
            case "$length":
                return isinstance(actual, str | list | dict) and self.mismatch(expected, len(actual)) is None
            case "$type":
                return isinstance(actual, _TYPES[expected]) and (expected != "number" or number)
            case "$exists":
                return bool(expected)
        return self.equal(expected, actual)

    def _contains(self, expected: Any, actual: Any) -> bool:
        if isinstance(actual, list):
            items = expected if isinstance(expected, list) else [expected]
            return all(any(self.mismatch(each, item) is None for item in actual) for each in items)
        if not isinstance(actual, str):
            return False
        parts = expected if isinstance(expected, list) else [expected]
        return all(isinstance(part, str) and self.contains(actual, part) for part in parts)


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())


def check_path(path: str, where: object) -> None:
    """Raise TranscriptError unless ``path`` is one that ``values_at`` takes."""
    rest = _STEP.sub("", path.removeprefix("$"))
    if rest:
        raise TranscriptError(
            f"{where}: {path!r} is not a path, expected one such as order.items[0].name or rows[*].id"
        )


def values_at(value: Any, path: str) -> Iterator[Any]:
    """Yield the values at ``path``, such as ``order.items[0].name``; several for ``[*]``, the whole for ``$``."""
    values = [value]
    for match in _STEP.finditer(path.removeprefix("$")):
        name, index = match.groups()
        inner: list[Any] = []
        for each in values:
            if name is not None and isinstance(each, dict) and name in each:
                inner.append(each[name])
            elif index == "*" and isinstance(each, list | dict):
                inner += each if isinstance(each, list) else each.values()
            elif index not in (None, "*") and isinstance(each, list) and int(index) < len(each):
                inner.append(each[int(index)])
        values = inner
    yield from values


def as_json(text: str) -> Any:
    """Return the JSON value of a text, or the text itself."""
    try:
        return decode_json(text)
    except ValueError:
        return text
