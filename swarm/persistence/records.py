"""The records of a session's log, and their form as lines of JSON.

A record is immutable. A record read from a log is written back byte for byte, unknown fields included.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Literal, TypeVar, cast

from swarmchat.swarm.common.encoding import clean_text, encode_json
from swarmchat.swarm.errors import BadRecord

FORMAT_VERSION = 1
"""Goes up only when an older program would misread the log."""

RecordType = Literal[
    "session",
    "system",
    "user",
    "steer",
    "mail",
    "tools",
    "request",
    "assistant",
    "tool",
    "ask_model",
    "ask_user",
    "task",
    "task_start",
    "task_end",
    "handoff",
    "state",
    "memory",
    "rotate",
    "policy",
    "rescue",
    "unsent",
    "error",
    "reset",
    "compact",
    "pin",
    "unpin",
    "set",
    "rename",
    "undo",
    "redo",
]
"""What a log can hold. A record of a later version may have another type: it passes through and means nothing here."""

MESSAGE_TYPES: frozenset[RecordType] = frozenset({"system", "user", "steer", "mail", "assistant", "tool"})
"""Records of these types hold an OpenAI chat message under ``message``."""

OUTSIDE_TURNS: frozenset[RecordType] = frozenset({"mail", "rename"})
"""Records of these types are no step of the user: see ``Record.is_outside_turns``."""

_T = TypeVar("_T")

_COMMON = ("v", "type", "seq", "turn", "ts", "agent")
_OF_TASK = ("task", "n", "entry", "via")
"""The fields of a ``task`` record that are not those of the record in it."""


@dataclass(frozen=True)
class Record:
    """One entry of the log.

    ``seq`` counts the records of a session from 0 and ``turn`` its user messages from 1; records before the first
    message, and messages from outside, have turn 0. ``ts`` is UTC, ISO 8601 with milliseconds. ``data`` holds the
    fields of this type.
    """

    type: RecordType
    seq: int
    turn: int
    ts: str
    agent: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)

    @property
    def message(self) -> dict[str, Any]:
        """The chat message of a message record. The dict is shared: do not change it."""
        message: dict[str, Any] = self.data["message"]
        return message

    @cached_property
    def message_json(self) -> bytes:
        """The message as it is sent. Encoded once: a context is joined from these."""
        return encode_json(self.message)

    @cached_property
    def line(self) -> bytes:
        """The record as it is stored: one line of JSON, without the line end."""
        common = {"v": FORMAT_VERSION, "type": self.type, "seq": self.seq, "turn": self.turn, "ts": self.ts}
        if self.agent is not None:
            common["agent"] = self.agent
        return encode_json({**common, **self.data})

    @property
    def task(self) -> str:
        """The id of the task that the record belongs to; empty for a record of the conversation itself."""
        return self.text("task")

    @property
    def is_outside_turns(self) -> bool:
        """Whether the record is independent of the user's turns: it may be between any others, and no undo hides it."""
        return self.type in OUTSIDE_TURNS or self.is_background

    @property
    def is_for_all(self) -> bool:
        """Whether a ``mail`` record is for all agents: an operator's action, or a message that arrived during one."""
        return "act" in self.data or "later" in self.data

    @property
    def is_background(self) -> bool:
        """Whether the record belongs to a background task, outside all turns."""
        return self.turn == 0 and self.task != ""

    @property
    def inner_record(self) -> "Record | None":
        """The record inside a ``task`` record, with its number in the task; ``None`` for any other record."""
        entry, number = self.data.get("entry"), self.data.get("n")
        if self.type != "task" or not isinstance(entry, str) or type(number) is not int:
            return None
        fields = {name: value for name, value in self.data.items() if name not in _OF_TASK}
        if entry in MESSAGE_TYPES and not isinstance(fields.get("message"), dict):
            return None
        return Record(cast(RecordType, entry), number, self.turn, self.ts, self.agent, fields)

    def in_task(self, task: str, call: str) -> "Record":
        """Return the ``task`` record that holds this one, as a record of ``task``.

        ``call`` started the task; it is empty for a background task.
        """
        about = {"task": task, "n": self.seq, "entry": self.type, **({"via": call} if call and not self.seq else {})}
        return Record("task", self.seq, self.turn, self.ts, self.agent, {**about, **self.data})

    def text(self, name: str) -> str:
        """Return the field ``name`` as valid Unicode; empty if it is missing or not text."""
        value = self.data.get(name)
        return clean_text(value) if isinstance(value, str) else ""

    def stored_tokens(self, encoding: str) -> int | None:
        """Return the token count that the record holds, if it was made with ``encoding``."""
        tokens = self.data.get("tokens")
        if isinstance(tokens, dict) and tokens.get("encoding") == encoding:
            count = tokens.get("count")
            return count if isinstance(count, int) and count >= 0 else None
        return None


def parse_record(line: bytes) -> Record:
    """Read one line of a log.

    Raises BadRecord for invalid JSON, anything but an object, a common field that is missing or of the wrong type, and
    a newer format version.
    """
    try:
        # Decoded first: for bytes, json detects the encoding itself, which takes longer.
        fields = json.loads(line.decode("utf-8", "surrogatepass") if line.startswith(b'{"') else line)
    except (ValueError, RecursionError) as error:
        raise BadRecord(f"not a record: {_excerpt(line)} is not JSON ({error})") from error
    if not isinstance(fields, dict):
        raise BadRecord(f"not a record: {_excerpt(line)} is not a JSON object")
    version = fields.get("v", FORMAT_VERSION)
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise BadRecord(
            f"the log has format version {version!r}, this program reads up to {FORMAT_VERSION}: update swarmchat",
            newer_version=isinstance(version, int),
        )
    record = Record(
        type=cast(RecordType, _field(fields, "type", str, line)),
        seq=_field(fields, "seq", int, line),
        turn=_field(fields, "turn", int, line),
        ts=_field(fields, "ts", str, line),
        agent=None if fields.get("agent") is None else _field(fields, "agent", str, line),
        data=fields,
    )
    for name in _COMMON:
        fields.pop(name, None)
    if record.type in MESSAGE_TYPES and not isinstance(record.data.get("message"), dict):
        raise BadRecord(f"not a record: {_excerpt(line)} is of type {record.type!r} but has no message")
    # Written again as it was read, with unknown fields and spacing.
    record.__dict__["line"] = line
    return record


def _field(fields: dict[str, Any], name: str, kind: type[_T], line: bytes) -> _T:
    value = fields.get(name)
    # Exact types: a bool is not an int here.
    if type(value) is not kind:
        raise BadRecord(f"not a record: {name!r} of {_excerpt(line)} is {value!r}, expected {kind.__name__}")
    return value


def _excerpt(line: bytes) -> str:
    text = line[:60].decode("utf-8", "replace")
    return repr(text + ("…" if len(line) > 60 else ""))


def timestamp(moment: datetime) -> str:
    """Return ``moment`` in the form of records: UTC, ISO 8601 with milliseconds."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
