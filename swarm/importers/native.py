"""Logs of swarmchat in a file: one record per line, one session after another.

Each record is checked: other programs may have written it, and an invalid one would break a chat later.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, BinaryIO

from swarmchat.swarm.archive.log_summary import LogSummary
from swarmchat.swarm.archive.writer import SessionSnapshot, reader
from swarmchat.swarm.common.encoding import NestingError, check_nesting
from swarmchat.swarm.errors import BadRecord
from swarmchat.swarm.importers.lines import Line, at_line, not_json, read_lines, short_repr
from swarmchat.swarm.persistence.records import Record, parse_record

_Check = tuple[Callable[[Any], bool], str]

_NUMBER: _Check = (lambda value: type(value) is int, "a whole number")
_TEXT: _Check = (lambda value: isinstance(value, str), "text")
_NAMES: _Check = (
    lambda value: isinstance(value, list) and all(isinstance(each, str) for each in value),
    "a list of names",
)

FIELDS: Mapping[str, Mapping[str, _Check]] = {
    "session": {"id": _TEXT, "name": _TEXT},
    "rename": {"name": _TEXT},
    "mail": {"text": _TEXT},
    "task_start": {"task": _TEXT, "text": _TEXT},
    "task_end": {"task": _TEXT, "status": _TEXT},
    "request": {"tokens": _NUMBER, "model": _TEXT},
    "rotate": {"first_kept": _NUMBER, "window": _NUMBER},
    "handoff": {"to": _TEXT, "stack": _NAMES},
    "state": {"name": _TEXT},
    "compact": {"summary": _TEXT, "first_kept": _NUMBER},
    "undo": {"from": _NUMBER, "to": _NUMBER},
    "redo": {"from": _NUMBER, "to": _NUMBER},
}
"""Fields that the program reads: a check of the value, and the expectation in words, by record type and name."""

_ROLES = {
    "system": ("system", "developer"),
    "user": ("user",),
    "steer": ("user",),
    "mail": ("user",),
    "assistant": ("assistant",),
    "tool": ("tool", "function"),
}


@dataclass
class _Section:
    """The part of a file that holds one session."""

    first: Line
    summary: LogSummary = field(default_factory=LogSummary)
    digest: "hashlib._Hash" = field(default_factory=hashlib.sha256)


def read_record(line: Line, name: str, position: int) -> Record:
    """Return the record in a line, which must be that at ``position`` of its log. Raises TranscriptError."""
    try:
        record = parse_record(line.data)
        check_nesting(record.data)
    except BadRecord as error:
        cause = error.__cause__
        problem = str(error).removeprefix("not a record: ")
        if isinstance(cause, ValueError | RecursionError):
            problem = not_json(line, cause)
        raise at_line(name, line.number, problem) from error
    except NestingError as error:
        raise at_line(name, line.number, str(error)) from error
    if mistake := record_problem(record, position):
        raise at_line(name, line.number, mistake)
    return record


def find_logs(file: BinaryIO, name: str, fallback: str) -> list[SessionSnapshot]:
    """Return the sessions in ``file``; ``fallback`` is the name of one without a name.

    Raises TranscriptError for an invalid log: the file, the line, what is wrong, what was expected.
    """
    sections: list[_Section] = []
    first_lines: dict[str, int] = {}
    for line in read_lines(file, name):
        if not sections or _begins(line, sections[-1]):
            sections.append(_Section(line))
        record = read_record(line, name, sections[-1].summary.count)
        sections[-1].summary.take(record)
        sections[-1].digest.update(line.data + b"\n")
        if sections[-1].summary.count == 1:
            session = sections[-1].summary.info.id
            if session and session in first_lines:
                raise at_line(
                    name, line.number, f"session {session!r} starts again; it started in line {first_lines[session]}"
                )
            first_lines[session] = line.number
    return [_session(file, name, each, fallback) for each in sections]


def record_problem(record: Record, position: int) -> str | None:
    """Return the fault of a record at ``position`` in its log; ``None`` if it is valid."""
    if record.seq != position:
        return f"'seq' is {record.seq}, expected {position}: a record is missing, doubled or out of order"
    if record.turn < 0:
        return f"'turn' is {record.turn}, expected 0 or more"
    for name, (fits, expected) in FIELDS.get(record.type, {}).items():
        if not fits(record.data.get(name)):
            return f"{name!r} of the {record.type!r} record is {short_repr(record.data.get(name))}, expected {expected}"
    if record.type in _ROLES and record.message.get("role") not in _ROLES[record.type]:
        roles = " or ".join(map(repr, _ROLES[record.type]))
        role = short_repr(record.message.get("role"))
        return f"the message of a {record.type!r} record has the role {role}, expected {roles}"
    if record.type == "assistant" and not isinstance(usage := record.data.get("usage"), dict | None):
        return f"'usage' is {short_repr(usage)}, expected an object"
    return _undo_problem(record.data, record) if record.type in ("undo", "redo") else None


def _undo_problem(data: Mapping[str, Any], record: Record) -> str | None:
    names, states = _NAMES[0](data.get("stack", [])), isinstance(data.get("states", {}), dict)
    if not (names and states and isinstance(data.get("active", ""), str)):
        expected = "an agent's name, a list of names, and an object"
        return f"'active', 'stack' or 'states' of the {record.type!r} record is of the wrong type, expected {expected}"
    if not 0 <= data["from"] <= data["to"] <= record.turn:
        return f"'from' and 'to' are {data['from']} and {data['to']}, expected turns from 0 to {record.turn}"
    return None


def _begins(line: Line, current: _Section) -> bool:
    """Whether another session begins in this line, with a session record that has the number 0."""
    if current.summary.count == 0 or b'"session"' not in line.data[:200]:
        return False
    try:
        record = parse_record(line.data)
    except BadRecord:
        return False
    return record.type == "session" and record.seq == 0


def _session(file: BinaryIO, name: str, section: _Section, fallback: str) -> SessionSnapshot:
    """Return the session in ``section``. Its lines are read again when needed, and compared with the checked ones."""
    summary = section.summary
    digest = section.digest.hexdigest()

    def lines() -> Iterator[bytes]:
        check = hashlib.sha256()
        left = summary.count
        for line in read_lines(file, name, section.first.start, section.first.number):
            check.update(line.data + b"\n")
            left -= 1
            if left == 0 and check.hexdigest() != digest:
                raise at_line(name, line.number, "the file changed while it was read")
            yield line.data
            if left == 0:
                return
        raise at_line(name, section.first.number, "the file became shorter while it was read")

    info = replace(summary.info, id=summary.info.id or fallback, name=summary.info.name or fallback)
    return SessionSnapshot(info, summary.stored_state, summary.count, digest, reader(lines))
