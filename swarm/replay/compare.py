"""Compare the records of a replay with those of the transcript: aligned records, field by field."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

from swarmchat.swarm.context.normalize import sendable
from swarmchat.swarm.persistence.records import Record

_CLOCK = frozenset({"ts", "ms", "seq", "program", "entered", "replaced"})
"""Fields that only hold times, positions, versions and what hooks changed: they are not compared."""
_FIRST = ("type", "turn", "agent", "model", "parts", "parameters", "window", "reserve", "tokens")
"""Fields that are compared first, because they explain why the others differ."""
_CONTEXT = 30
_LONGEST = 160


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference between a replay and its transcript."""

    turn: int
    record: int | None
    """The seq of the record in the transcript; of the one before, if the record is new."""
    type: str
    """The type of the record, with its agent.

    For a hand-written turn: ``expect`` is an expectation, ``result`` the result of a tool, ``call`` a call that failed,
    ``transcript`` an answer or result that is missing, or that nothing asked for.
    """
    field: str
    """The path to the field, with dots; empty for a whole record. For ``result`` the tool, for ``call`` the problem."""
    expected: Any
    actual: Any

    @property
    def kind(self) -> str:
        """What changed, in words that are the same for all changes of the kind."""
        if not self.field:
            return f"new record {self.type!r}" if self.expected is None else f"record {self.type!r} is missing"
        return _explanation(self) or f"{self.type}: {self.field} has changed"

    @property
    def breaking(self) -> bool:
        """Whether the conversation takes another course, or the tools differ; not if only what is sent differs."""
        is_request = self.type.partition(" of ")[0] == "request"
        return not (is_request and self.field and self.field != "parts.tools")

    def __str__(self) -> str:
        where = f"turn {self.turn}"
        match self.type:
            case "expect":
                return f"{where}: expected {self.field}"
            case "result":
                return f"{where}: the result of {self.field} differs from the one in the transcript"
            case "call":
                intended = "if this is intended, expect it with 'failed' or 'rescues'"
                return f"{where}: {self.field} ({self.actual}); {intended}"
            case "transcript" if self.actual is None:
                return f"{where}: {self.expected} was asked for, and is not in the transcript"
            case "transcript":
                return f"{where}: {self.actual} is in the transcript, but was not asked for"
        if not self.field and self.expected is None:
            return f"{where}, after record {self.record}: new record {self.type!r}"
        where += f", record {self.record} ({self.type})"
        if not self.field:
            return f"{where}: missing in the replay"
        explanation = _explanation(self)
        return f"{where}: {self.field}" + (f": {explanation}" if explanation else "")

    def diff(self) -> list[str]:
        """Return the two values as lines that begin with - and +, cut to where they differ."""
        if self.type in ("transcript", "call") or not self.field:
            return []
        expected, actual = _shown(self.expected), _shown(self.actual)
        start = next((i for i, (a, b) in enumerate(zip(expected, actual, strict=False)) if a != b), 0)
        start = max(0, min(start, len(expected), len(actual)) - _CONTEXT)
        return [f"- {_cut(expected, start)}", f"+ {_cut(actual, start)}"]


_PARTS = {
    "instructions": "the system prompt of {agent} has changed",
    "conversation": "the conversation before it differs",
    "tools": "the tools of {agent} have changed",
    "parameters": "the request parameters have changed",
    "model": "the model has changed",
}


def _explanation(difference: Difference) -> str:
    name = difference.field.removeprefix("parts.")
    if name == difference.field or name not in _PARTS:
        return ""
    return _PARTS[name].format(agent=repr(difference.type.partition(" of ")[2] or "?"))


def compare_logs(expected: Sequence[Record], actual: Sequence[Record], *, whole: bool = True) -> Iterator[Difference]:
    """Yield the differences between two logs, in order.

    A transcript that is not ``whole`` has only some types of records and some of their fields: only these are compared.
    """
    if not whole:
        types = {record.type for record in expected}
        actual = [record for record in actual if record.type in types]
    last = -1
    for then, now in _aligned(expected, actual):
        last = last if then is None else then.seq
        if then is None and now is not None:
            yield Difference(now.turn, last, now.type, "", None, now.type)
        elif then is not None and now is None:
            yield Difference(then.turn, last, then.type, "", then.type, None)
        elif then is not None and now is not None:
            yield from _compare_records(then, now, whole=whole)


def _aligned(
    expected: Sequence[Record], actual: Sequence[Record]
) -> Iterator[tuple[Record, Record] | tuple[Record, None] | tuple[None, Record]]:
    """Yield the records that correspond to each other, turn by turn and by type; ``None`` for one that has no partner.

    So one record more or less is one difference, and not one in each record after it.
    """
    turns: dict[int, tuple[list[Record], list[Record]]] = {}
    for record in expected:
        turns.setdefault(record.turn, ([], []))[0].append(record)
    for record in actual:
        turns.setdefault(record.turn, ([], []))[1].append(record)
    for old, new in turns.values():
        old_types, new_types = ([_kind(record) for record in records] for records in (old, new))
        for kind, a, b, c, d in SequenceMatcher(None, old_types, new_types, autojunk=False).get_opcodes():
            if kind == "equal":
                yield from zip(old[a:b], new[c:d], strict=True)
            else:
                yield from ((record, None) for record in old[a:b])
                yield from ((None, record) for record in new[c:d])


def _kind(record: Record) -> str:
    """Return what must be the same of two records that correspond; of tasks, which run side by side, also the task."""
    return f"{record.data.get('entry')} in task {record.task}" if record.type == "task" else record.type


def _compare_records(then: Record, now: Record, *, whole: bool) -> Iterator[Difference]:
    about = str(then.data.get("entry")) if then.type == "task" else then.type
    about = f"{about} of {then.agent}" if then.agent else about
    old_fields, new_fields = _fields(then), _fields(now)
    if not whole and "message" in old_fields:
        # Other programs keep more in a message than an API takes.
        old_fields["message"] = sendable(then.message, then.seq)
        new_fields["message"] = sendable(now.message, now.seq)
    parts = False
    for field, old, new in _differing(old_fields, new_fields, whole=whole):
        parts = parts or field.startswith("parts.")
        # The key is made of the parts.
        if not (field == "key" and parts):
            yield Difference(then.turn, then.seq, about, field, old, new)


def _fields(record: Record) -> dict[str, Any]:
    fields = {"type": record.type, "turn": record.turn, "agent": record.agent, **record.data}
    ordered = [name for name in _FIRST if name in fields]
    ordered += [name for name in fields if name not in _FIRST]
    return {name: fields[name] for name in ordered if name not in _CLOCK}


def _differing(
    expected: Mapping[str, Any], actual: Mapping[str, Any], path: str = "", *, whole: bool
) -> Iterator[tuple[str, Any, Any]]:
    names: Iterable[str] = dict.fromkeys([*expected, *actual])
    if not whole:
        names = [name for name, value in expected.items() if value is not None]
    for name in names:
        old, new = expected.get(name), actual.get(name)
        if old == new:
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _differing(old, new, f"{path}{name}.", whole=whole)
        else:
            yield f"{path}{name}", old, new


def _shown(value: Any) -> str:
    import json

    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _cut(text: str, start: int) -> str:
    cut = text[start : start + _LONGEST]
    return ("…" if start else "") + cut.replace("\n", "⏎") + ("…" if start + _LONGEST < len(text) else "")
