"""Read YAML as JSON values with line numbers, without the surprises of YAML.

A plain scalar is a number, a boolean or null only if it is one in JSON: ``no``, ``2026-01-05``, ``0170`` and
``12:30`` are texts. A key may occur only once. The expansion of anchors is limited.
"""

import json
import math
import re
from collections.abc import Iterator
from typing import Any

from swarmchat.swarm.common.encoding import MAX_NESTING
from swarmchat.swarm.errors import TranscriptError
from swarmchat.swarm.replay.places import LocatedObject, Place

MOST_VALUES = 200_000
"""Values that a file may have, those that aliases repeat included."""
LONGEST_FILE = 16 * 1024 * 1024
"""Bytes."""

_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,400})(?:\.[0-9]{1,400}(?:[eE][+-][0-9]{1,3})?)?")
"""What is a number in JSON and for all readers of YAML: 12e4 is not."""
_WORDS = {"true": True, "false": False, "null": None, "~": None, "": None}
_TEXT_TAGS = ("!", "!!str", "tag:yaml.org,2002:str")


def read_yaml(data: bytes, name: str) -> Iterator[tuple[Any, int]]:
    """Yield the documents in ``data`` and the line at which each begins. Raises TranscriptError.

    Objects are `LocatedObject`. ``name`` is the file's, for errors.
    """
    try:
        import yaml
    except ImportError as error:
        raise TranscriptError(f"{name} is YAML, which needs an extra: pip install 'swarmchat[yaml]'") from error
    if len(data) > LONGEST_FILE:
        raise TranscriptError(f"{name} has more than {LONGEST_FILE:,} bytes: split it")
    try:
        text = data.decode("utf-8-sig")
        if (unusual := yaml.reader.Reader.NON_PRINTABLE.search(text)) is not None:
            line = text.count("\n", 0, unusual.start()) + 1
            raise TranscriptError(
                f"{Place(name, line)}: YAML cannot hold the character {unusual[0]!r}: write it as \\x"
            )
        yield from _Composer(yaml.parse(text, yaml_loader()), name).documents()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        problem = f"byte {data[error.start]:#04x} is not UTF-8, save the file as UTF-8"
        raise TranscriptError(f"{Place(name, line)}: {problem}") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = " ".join(filter(None, (error.context, error.problem)))
        if mark and re.match(rf"(?:.*\n){{{mark.line}}} *\t", text):
            problem = "a line is indented with a tab, use spaces"
        raise TranscriptError(f"{Place(name, mark.line + 1 if mark else 1)}: it is not YAML ({problem})") from error
    except yaml.YAMLError as error:
        raise TranscriptError(f"{name} is not YAML ({error})") from error


def yaml_loader() -> Any:
    """Return the class that parses YAML: the fast one if it is there. They differ in what they take."""
    import yaml

    return yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader


class _Composer:
    """Makes values of the events of a YAML parser."""

    def __init__(self, events: Iterator[Any], name: str) -> None:
        self._events = events
        self._name = name
        self._anchors: dict[str, tuple[Any, int]] = {}
        """The values with a name, and how many values each is."""
        self._count = 0

    def documents(self) -> Iterator[tuple[Any, int]]:
        for event in self._events:
            kind = type(event).__name__
            if kind == "DocumentStartEvent":
                self._anchors.clear()
                first = next(self._events)
                yield self._value(first, 0), self._line(first)

    def _line(self, event: Any) -> int:
        return int(event.start_mark.line) + 1

    def _error(self, event: Any, problem: str) -> TranscriptError:
        return TranscriptError(f"{Place(self._name, self._line(event))}: {problem}")

    def _value(self, event: Any, depth: int) -> Any:
        self._count += 1
        if depth > MAX_NESTING:
            raise self._error(event, f"it is nested more than {MAX_NESTING} levels deep")
        kind = type(event).__name__
        before = self._count
        value: Any
        if kind == "AliasEvent":
            return self._aliased(event)
        if kind == "ScalarEvent":
            value = self._scalar(event)
        else:
            if event.tag not in (None, "!", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"):
                raise self._error(event, f"it has the tag {event.tag!r}: tags are not supported, leave it out")
            value = self._mapping(depth) if kind == "MappingStartEvent" else self._sequence(depth)
        self._check_count(event)
        if event.anchor:
            self._anchors[event.anchor] = (value, self._count - before + 1)
        return value

    def _check_count(self, event: Any) -> None:
        if self._count > MOST_VALUES:
            problem = f"the file has more than {MOST_VALUES:,} values, counting those that aliases repeat: split it"
            raise self._error(event, problem)

    def _aliased(self, event: Any) -> Any:
        if event.anchor not in self._anchors:
            raise self._error(event, f"the alias *{event.anchor} has no anchor &{event.anchor} that ends before it")
        value, count = self._anchors[event.anchor]
        self._count += count
        self._check_count(event)
        return value

    def _scalar(self, event: Any) -> Any:
        if event.tag is not None and event.tag not in _TEXT_TAGS:
            raise self._error(event, f"it has the tag {event.tag!r}: tags are not supported, leave it out")
        if event.style or event.tag is not None:
            return str(event.value)
        return plain_value(event.value)

    def _sequence(self, depth: int) -> list[Any]:
        values: list[Any] = []
        while type(event := next(self._events)).__name__ != "SequenceEndEvent":
            values.append(self._value(event, depth + 1))
        return values

    def _mapping(self, depth: int) -> LocatedObject:
        values = LocatedObject()
        while type(event := next(self._events)).__name__ != "MappingEndEvent":
            if type(event).__name__ != "ScalarEvent":
                problem = "a key is a list or an object, expected a text: put what begins with { or [ in quotes"
                raise self._error(event, problem)
            key, line = str(event.value), self._line(event)
            if key == "<<" and not event.style:
                raise self._error(event, "merging with << is not supported: write the fields out, or use 'parameters'")
            if key in values:
                raise self._error(event, f"the key {key!r} occurs twice, first in line {values.lines[key]}")
            values[key], values.lines[key] = self._value(next(self._events), depth + 1), line
        return values


def plain_value(text: str) -> Any:
    """Return the value of a plain scalar: that of JSON, or the text."""
    if text in _WORDS:
        return _WORDS[text]
    # Also a whole number may be too large for a float, and so for other readers of JSON.
    return json.loads(text) if _NUMBER.fullmatch(text) and math.isfinite(float(text)) else text
