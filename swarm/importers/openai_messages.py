"""Message lists of the chat completions API: ``{"messages": […]}`` or a bare list, one a line, or one a file."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from swarmchat.swarm.archive.writer import SessionSnapshot
from swarmchat.swarm.errors import TranscriptError
from swarmchat.swarm.importers.lines import LONGEST_LINE, Line, at_line, parse_json, read_lines, short_repr
from swarmchat.swarm.importers.record_builder import (
    RecordMaker,
    canonical,
    clean_name,
    made_session,
    message_problem,
    moment_of,
)


@dataclass(frozen=True)
class _Place:
    """Where a conversation stands in a file."""

    line: Line
    index: int | None = None
    """Which of a list over several lines."""
    value: Any = None
    """What is there, if it is in memory: that of a file which is one JSON value."""


_EXPECTED = 'expected {"messages": […]} or a list of messages'


def find_message_lists(file: BinaryIO, name: str, fallback: str, client: str, moment: str) -> list[SessionSnapshot]:
    """Return the conversations in ``file``, of ``client``; one that says no time is of ``moment``.

    Raises TranscriptError: the file, the line, which message, what is wrong, what was expected.
    """
    places = _whole(file, name) if _is_one_value(file, name) else _by_line(file, name)
    found: list[SessionSnapshot] = []
    named: dict[str, str] = {}
    for where, place in enumerate(places, 1):
        line, index = place.line, place.index
        value = _value(file, name, place)
        own = value.get("id") or value.get("name") if isinstance(value, dict) else None
        chosen = clean_name(
            own if isinstance(own, str) else None, fallback if len(places) == 1 else f"{fallback}-{where}"
        )
        here = f"line {line.number}" + ("" if index is None else f", conversation {index + 1}")
        if chosen in named:
            raise at_line(
                name, line.number, f"the id {chosen!r} is that of {named[chosen]} too, expected one of its own"
            )
        named[chosen] = here
        found.append(_incoming(file, name, place, chosen, client, moment))
    return found


def _incoming(file: BinaryIO, name: str, place: _Place, chosen: str, client: str, moment: str) -> SessionSnapshot:
    line = place.line
    where = "" if place.index is None else f"[{place.index}]."
    value = _value(file, name, place)
    messages = _messages(value)
    if messages is None:
        raise at_line(name, line.number, f"{short_repr(value)} is no conversation, {_EXPECTED}")
    if not messages:
        raise at_line(name, line.number, f"{where}messages is empty, expected at least one message")
    for position, message in enumerate(messages):
        if problem := message_problem(message):
            raise at_line(name, line.number, f"{where}messages[{position}]{problem}")
    about = value if isinstance(value, dict) else {}
    begun = moment_of(about.get("created_at") or about.get("created")) or moment
    model = about.get("model")

    def fill(maker: RecordMaker) -> Iterator[bytes]:
        # Read again each time, so that a file of thousands of conversations is never in memory.
        for message in _messages(_value(file, name, place)) or ():
            yield maker.message(message)

    content = [canonical(messages), chosen.encode("utf-8", "replace")]
    return made_session(chosen, "openai", content, client, begun, fill, model=model if isinstance(model, str) else "")


def _messages(value: Any) -> list[Any] | None:
    messages = value.get("messages") if isinstance(value, dict) else value
    return messages if isinstance(messages, list) else None


def _is_one_value(file: BinaryIO, name: str) -> bool:
    """Whether the file is one JSON value over several lines, or a list of conversations."""
    first = next(read_lines(file, name), None)
    if first is None:
        return False
    try:
        value = json.loads(first.data)
    except (ValueError, RecursionError):
        return first.data.lstrip()[:1] in b"[{" and not _looks_like_lines(file, name)
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict | list) and "role" not in value[0]


def _looks_like_lines(file: BinaryIO, name: str) -> bool:
    """Whether the second line is a JSON object or list by itself: then the first one is damaged."""
    lines = read_lines(file, name)
    next(lines, None)
    second = next(lines, None)
    try:
        return second is not None and isinstance(json.loads(second.data), dict | list)
    except (ValueError, RecursionError):
        return False


def _whole(file: BinaryIO, name: str) -> list[_Place]:
    file.seek(0)
    data = file.read(LONGEST_LINE + 1)
    if len(data) > LONGEST_LINE:
        limit = LONGEST_LINE // 1024 // 1024
        raise at_line(name, 1, f"one JSON value is longer than {limit} MB, expected one conversation a line")
    line = Line(1, 0, b"", True)
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        number = getattr(error, "lineno", 1)
        raise at_line(name, number, f"it is not JSON ({error}), {_EXPECTED}") from error
    many = isinstance(value, list) and bool(value) and not (isinstance(value[0], dict) and "role" in value[0])
    return [_Place(line, index, each) for index, each in enumerate(value)] if many else [_Place(line, None, value)]


def _by_line(file: BinaryIO, name: str) -> list[_Place]:
    # Where each line is, without what it holds.
    return [_Place(Line(line.number, line.start, b"", line.complete)) for line in read_lines(file, name)]


def _value(file: BinaryIO, name: str, place: _Place) -> Any:
    if place.value is not None:
        return place.value
    read = next(read_lines(file, name, place.line.start, place.line.number), None)
    if read is None:
        raise TranscriptError(f"{name} became shorter while it was read")
    return parse_json(read, name)
