"""Logs of our own in a file: one record a line, one session after the other, read with suspicion.

What a log may hold that was never written by this program would otherwise be found out in the middle of a chat.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from swarmchat.swarm.archive.log_summary import LogSummary
from swarmchat.swarm.archive.writer import SessionSnapshot, reader
from swarmchat.swarm.errors import BadRecord, TranscriptError
from swarmchat.swarm.importers.lines import Line, at_line, not_json, read_lines, short_repr
from swarmchat.swarm.persistence.records import Record, parse_record


def _is(*kinds: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, kinds) and not (isinstance(value, bool) and bool not in kinds)


_NUMBER, _TEXT = (_is(int), "a whole number"), (_is(str), "text")
_OBJECT = (_is(dict, type(None)), "an object")
_NAMES = (lambda value: isinstance(value, list) and all(isinstance(each, str) for each in value), "a list of names")

_STANDING = "an agent's name, a list of names, and an object"

FIELDS: Mapping[str, Mapping[str, tuple[Callable[[Any], bool], str]]] = {
    "session": {"id": _TEXT, "name": _TEXT},
    "rename": {"name": _TEXT},
    "request": {"tokens": _NUMBER, "model": _TEXT},
    "rotate": {"first_kept": _NUMBER, "window": _NUMBER},
    "handoff": {"to": _TEXT, "stack": _NAMES},
    "state": {"name": _TEXT},
    "compact": {"summary": _TEXT, "first_kept": _NUMBER},
    "undo": {"from": _NUMBER, "to": _NUMBER},
    "redo": {"from": _NUMBER, "to": _NUMBER},
}
"""Fields that a record of a type must have, and of which type, because something follows from them."""

_ROLES = {
    "system": ("system", "developer"),
    "user": ("user",),
    "assistant": ("assistant",),
    "tool": ("tool", "function"),
}


@dataclass
class _Found:
    """A session in a file."""

    first: Line
    summary: LogSummary = field(default_factory=LogSummary)
    digest: "hashlib._Hash" = field(default_factory=hashlib.sha256)

    def take(self, line: Line, name: str) -> None:
        try:
            record = parse_record(line.data)
        except BadRecord as error:
            raise _bad_line(line, name, error) from error
        if problem := record_problem(record, self.summary.count):
            raise at_line(name, line.number, problem)
        self.summary.take(record)
        self.digest.update(line.data + b"\n")


def find_logs(file: BinaryIO, name: str, fallback: str) -> list[SessionSnapshot]:
    """Return the sessions in ``file``; ``fallback`` names one that does not say its name.

    Raises TranscriptError for whatever no log of ours holds: the file, the line, what is wrong, what was expected.
    """
    found: list[_Found] = []
    begun: dict[str, int] = {}
    for line in read_lines(file, name):
        if not found or _begins(line, found[-1]):
            found.append(_Found(line))
        found[-1].take(line, name)
        if found[-1].summary.count == 1:
            session = found[-1].summary.id
            if session and session in begun:
                raise at_line(name, line.number, f"session {session!r} begins, which began in line {begun[session]}")
            begun[session] = line.number
    return [_incoming(file, name, each, fallback) for each in found]


def record_problem(record: Record, position: int) -> str | None:
    """Return what is wrong with a record that stands at ``position`` in its log."""
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
    if record.type == "assistant" and not _OBJECT[0](record.data.get("usage")):
        return f"'usage' is {short_repr(record.data['usage'])}, expected {_OBJECT[1]}"
    if record.type in ("undo", "redo") and not (_NAMES[0](record.data.get("stack", [])) and _standing_is_one(record)):
        return f"'active', 'stack' or 'states' of the {record.type!r} record is of the wrong type, expected {_STANDING}"
    if record.type in ("undo", "redo") and not 0 <= record.data["from"] <= record.data["to"] <= record.turn:
        return f"the turns {record.data['from']} to {record.data['to']} are named, expected some of 0 to {record.turn}"
    return None


def _standing_is_one(record: Record) -> bool:
    return _TEXT[0](record.data.get("active", "")) and isinstance(record.data.get("states", {}), dict)


def _begins(line: Line, current: _Found) -> bool:
    """Whether another session begins here: only its own record has the number 0."""
    if current.summary.count == 0 or b'"session"' not in line.data[:200]:
        return False
    try:
        record = parse_record(line.data)
    except BadRecord:
        return False
    return record.type == "session" and record.seq == 0


def _bad_line(line: Line, name: str, error: BadRecord) -> TranscriptError:
    if isinstance(error.__cause__, ValueError | RecursionError):
        return at_line(name, line.number, not_json(line, error.__cause__))
    return at_line(name, line.number, str(error).removeprefix("not a record: "))


def _incoming(file: BinaryIO, name: str, found: _Found, fallback: str) -> SessionSnapshot:
    summary = found.summary
    digest = found.digest.hexdigest()

    def lines() -> Iterator[bytes]:
        check = hashlib.sha256()
        left = summary.count
        for line in read_lines(file, name, found.first.start, found.first.number):
            check.update(line.data + b"\n")
            left -= 1
            if left == 0 and check.hexdigest() != digest:
                raise at_line(name, line.number, "the file changed while it was read")
            yield line.data
            if left == 0:
                return
        raise at_line(name, found.first.number, "the file became shorter while it was read")

    info = summary.info("", summary.id or fallback, summary.name or fallback)
    return SessionSnapshot(info, summary.stored_state, summary.count, digest, reader(lines))
