"""Message lists of the chat completions API: ``{"messages": […]}`` or a bare list, one per line or one per file."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, BinaryIO

from swarmchat.swarm.archive.writer import SessionSnapshot
from swarmchat.swarm.common.encoding import decode_json
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
class _Position:
    """The place of a conversation in a file."""

    line: Line
    index: int | None = None
    """Its position in a list over several lines."""
    value: Any = None
    """The conversation, if the file is one JSON value and so in memory as a whole."""


_EXPECTED = 'expected {"messages": […]} or a list of messages'


def find_message_lists(file: BinaryIO, name: str, fallback: str, client: str, moment: str) -> list[SessionSnapshot]:
    """Return the conversations in ``file`` as sessions of ``client``; ``moment`` is the time of one without a time.

    Raises TranscriptError: the file, the line, which message, what is wrong, what was expected.
    """
    # Of a file with one conversation a line, only the positions of the lines are kept in memory.
    places = _whole(file, name) if _is_one_value(file, name) else [_Position(line) for line in _positions(file, name)]
    sessions: list[SessionSnapshot] = []
    named: dict[str, str] = {}
    for number, place in enumerate(places, 1):
        line, index = place.line, place.index
        value = _value(file, name, place)
        own = value.get("id") or value.get("name") if isinstance(value, dict) else None
        session = clean_name(own, fallback if len(places) == 1 else f"{fallback}-{number}")
        if session in named:
            problem = f"the id {session!r} is also used by {named[session]}, expected a unique id"
            raise at_line(name, line.number, problem)
        named[session] = f"line {line.number}" + ("" if index is None else f", conversation {index + 1}")
        sessions.append(_session(file, name, place, value, session, client, moment))
    return sessions


def _session(
    file: BinaryIO, name: str, place: _Position, value: Any, session: str, client: str, moment: str
) -> SessionSnapshot:
    line = place.line
    where = "" if place.index is None else f"[{place.index}]."
    messages = _messages(value)
    if messages is None:
        raise at_line(name, line.number, f"{short_repr(value)} is not a conversation, {_EXPECTED}")
    if not messages:
        raise at_line(name, line.number, f"{where}messages is empty, expected at least one message")
    for position, message in enumerate(messages):
        if problem := message_problem(message):
            gap = "" if problem.startswith(".") else " "
            raise at_line(name, line.number, f"{where}messages[{position}]{gap}{problem}")
    about = value if isinstance(value, dict) else {}
    start = moment_of(about.get("created_at") or about.get("created")) or moment
    model = about.get("model")

    def fill(maker: RecordMaker) -> Iterator[bytes]:
        # Read again each time: a file may hold thousands of conversations.
        for message in _messages(_value(file, name, place)) or ():
            yield maker.message(message)

    content = [canonical(messages), session.encode("utf-8", "replace")]
    return made_session(session, "openai", content, client, start, fill, model=model if isinstance(model, str) else "")


def _messages(value: Any) -> list[Any] | None:
    messages = value.get("messages") if isinstance(value, dict) else value
    return messages if isinstance(messages, list) else None


def _is_one_value(file: BinaryIO, name: str) -> bool:
    """Whether the file is one JSON value over several lines, or a list of conversations."""
    first = next(read_lines(file, name), None)
    if first is None:
        return False
    try:
        value = decode_json(first.data)
    except ValueError:
        return first.data.lstrip()[:1] in b"[{" and not _looks_like_lines(file, name)
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict | list) and "role" not in value[0]


def _looks_like_lines(file: BinaryIO, name: str) -> bool:
    """Whether the second line is a JSON object or list by itself: then the first one is damaged."""
    second = next(islice(read_lines(file, name), 1, None), None)
    try:
        return second is not None and isinstance(decode_json(second.data), dict | list)
    except ValueError:
        return False


def _whole(file: BinaryIO, name: str) -> list[_Position]:
    file.seek(0)
    data = file.read(LONGEST_LINE + 1)
    if len(data) > LONGEST_LINE:
        limit = LONGEST_LINE // 1024 // 1024
        raise at_line(name, 1, f"one JSON value is longer than {limit} MB, expected one conversation per line")
    line = Line(1, 0, b"", True)
    try:
        value = decode_json(data)
    except ValueError as error:
        number = getattr(error, "lineno", 1)
        raise at_line(name, number, f"it is not JSON ({error}), {_EXPECTED}") from error
    many = isinstance(value, list) and bool(value) and not (isinstance(value[0], dict) and "role" in value[0])
    return (
        [_Position(line, index, each) for index, each in enumerate(value)] if many else [_Position(line, None, value)]
    )


def _positions(file: BinaryIO, name: str) -> Iterator[Line]:
    return (replace(line, data=b"") for line in read_lines(file, name))


def _value(file: BinaryIO, name: str, place: _Position) -> Any:
    if place.value is not None:
        return place.value
    read = next(read_lines(file, name, place.line.start, place.line.number), None)
    if read is None:
        raise TranscriptError(f"{name} became shorter while it was read")
    return parse_json(read, name)
