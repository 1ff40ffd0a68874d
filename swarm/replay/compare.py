"""Compare what a replay did with what the transcript says: record by record, field by field."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from swarmchat.swarm.context.normalize import sendable
from swarmchat.swarm.persistence.records import Record

_CLOCK = frozenset({"ts", "ms", "seq", "program"})
"""Fields that tell when and by which version something was done, and not what."""
_FIRST = ("type", "turn", "agent", "model", "parts", "parameters", "window", "reserve", "tokens")
"""Fields that are compared first: those that explain why the others differ."""
_CONTEXT = 30
_LONGEST = 160


@dataclass(frozen=True, slots=True)
class Difference:
    """The first thing in which a replay is not as the transcript."""

    turn: int
    record: int | None
    """The seq of the record in the transcript; of the last one, where there is one too many now."""
    type: str
    """The type of the record, with its agent.

    For a hand-written turn: ``expect`` is an expectation, ``result`` the result of a tool, ``call`` a call that failed,
    ``transcript`` an answer or result that is missing, or that nothing asked for.
    """
    field: str
    """The path to the field, with dots; empty for a whole record. For ``result`` the tool, for ``call`` the problem."""
    expected: Any
    actual: Any

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
                return f"{where}: {self.actual} is in the transcript, and nothing asked for it"
        if not self.field and self.expected is None:
            return f"{where}, after record {self.record}: new record {self.type!r}"
        where += f", record {self.record} ({self.type})"
        return f"{where}: {self.field}{_explained(self)}" if self.field else f"{where}: missing in the replay"

    def diff(self) -> list[str]:
        """Return the two values as lines that begin with - and +, cut to where they differ."""
        if self.type in ("transcript", "call"):
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


def _explained(difference: Difference) -> str:
    name = difference.field.removeprefix("parts.")
    if name == difference.field or name not in _PARTS:
        return ""
    return ": " + _PARTS[name].format(agent=repr(difference.type.partition(" of ")[2] or "?"))


def compare_logs(expected: Sequence[Record], actual: Sequence[Record], *, whole: bool = True) -> Iterator[Difference]:
    """Yield the differences of two logs, the first one first.

    Unless the transcript is ``whole``, it holds some types of records only, and some of their fields: only those are
    compared.
    """
    if not whole:
        types = {record.type for record in expected}
        actual = [record for record in actual if record.type in types]
    for then, now in zip(expected, actual, strict=False):
        about = f"{then.type} of {then.agent}" if then.agent else then.type
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
    for missing in expected[len(actual) :]:
        yield Difference(missing.turn, missing.seq, missing.type, "", missing.type, None)
    last = expected[-1].seq if expected else -1
    for further in actual[len(expected) :]:
        yield Difference(further.turn, last, further.type, "", None, further.type)


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
