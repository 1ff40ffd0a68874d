"""Compare the records of a replay with those of the transcript: aligned records, field by field."""

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

from swarmchat.swarm.common.messages import text_of
from swarmchat.swarm.context.normalize import sendable
from swarmchat.swarm.context.request_texts import PARTS, RequestTexts
from swarmchat.swarm.persistence.records import Record
from swarmchat.swarm.replay.value_diff import (
    DiffLine,
    changed_words,
    describe_rules,
    describe_tools,
    diff_values,
    rules_by_name,
)

_IGNORED = frozenset(
    {
        "ts",
        "ms",
        "seq",
        "program",
        "entered",
        "replaced",
        "replaced_digest",
        "texts",
        "drawn",
        "echo",
        "tokens_before",
        "dropped",
    }
)
"""Fields that only hold times, positions, versions, what hooks changed, what a server wants back, texts that have a
digest, and what the process had read of a conversation before a cut: not compared."""
_FIRST = ("type", "turn", "agent", "status", "model", "parts", "parameters", "window", "reserve")
"""Fields that are compared first, because they explain why the others differ."""
_POSITIONS = frozenset({"first_kept", "through", "keep", "pinned", "summaries"})
"""Fields that hold positions of records: a new record before them moves them."""
_ADDED = {"tool": {"approve": "auto"}, "policy": {"reply": ""}}
"""Fields that older logs lack, with their defaults: they are compared where a transcript may have them."""
_NEWER = ("effects", "ban_for", "marks")
"""Fields that older logs lack, without a default: they are compared if both have them."""
_WITH_IDS = frozenset({"message", "via", "call"})
_ID_FIELDS = frozenset({"id", "tool_calls", "tool_call_id"})
_TEXT_ID = re.compile("^text_[0-9a-f]{8}(?=_)")
_SUBJECTS = {
    "tool": "name",
    "state": "name",
    "policy": "policy",
    "rescue": "cause",
    "handoff": "to",
    "ask_user": "question",
}
"""The field with the subject of a record, by its type."""

_Pair = tuple[Record, Record] | tuple[Record, None] | tuple[None, Record]


ASSERTED = frozenset({"expect", "result", "call", "refused", "transcript"})
"""Types of differences from a handwritten test: each of them fails the test."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference between a replay and its transcript."""

    turn: int
    record: int | None
    """The seq of the record in the transcript; of the one before, if the record is new."""
    type: str
    """The type of the record, with its agent.

    For a hand-written turn: ``expect`` is an expectation, ``result`` the result of a tool, ``call`` a call that failed,
    ``refused`` a text that a policy refused, ``transcript`` an answer or result that is missing or was not asked for.
    """
    field: str
    """The path to the field, with dots; empty for a whole record. For ``result`` the tool, for ``call`` the problem."""
    expected: Any
    actual: Any
    """The new value. For a prompt and tools, both are lists of texts or definitions, or digests if a log lacks them."""
    subject: str = ""
    """What the record is about: the tool, the state, the policy, the cause of a rescue."""
    follows: bool = False
    """Whether it follows from another difference of the conversation, as a token count does from a changed prompt."""
    line: int = 0
    """The line of the file in which the failed expectation stands; 0 for other differences."""

    @property
    def kind(self) -> str:
        """The kind of change, in words that are the same for all changes of this kind."""
        if self.type == "transcript":
            return "an answer or result is missing" if self.actual is None else "an answer or result is not needed"
        if self.type in ("expect", "call"):
            return f"expected {self.field}" if self.type == "expect" else self.field
        if self.type == "refused":
            return f"the policy {self.field} refused the text"
        if self.type == "result":
            return f"the result of {self.field} differs from the one in the transcript"
        if not self.field:
            about = self.type + (f" ({self.subject})" if self.subject else "")
            return f"new record {about}" if self.expected is None else f"record {about} is missing"
        return self._explanation or f"{self.type}: {self.field} has changed"

    @property
    def breaking(self) -> bool:
        """Whether the conversation takes another course or the tools differ, and not just the requests."""
        is_request = self.type.partition(" of ")[0] == "request"
        return not (is_request and self.field and self.field != "parts.tools")

    @property
    def place(self) -> str:
        """The turn, and the record, or the line of the file."""
        where = f"turn {self.turn}" + (f", line {self.line}" if self.line else "")
        if self.type in ASSERTED:
            return where
        if not self.field and self.expected is None:
            return f"{where}, after record {self.record}"
        return f"{where}, record {self.record} ({self.type})"

    def __str__(self) -> str:
        match self.type:
            case "call":
                intended = "if this is intended, expect it with 'failed' or 'rescues'"
                return f"{self.place}: {self.field} ({self.actual}); {intended}"
            case "refused":
                return f"{self.place}: {self.kind} ({self.actual!r:.60}); if this is intended, expect it with 'refused'"
            case "transcript" if self.actual is None:
                return f"{self.place}: {self.expected} was asked for, and is not in the transcript"
            case "transcript":
                return f"{self.place}: {self.actual} is in the transcript, but was not asked for"
        return f"{self.place}: {self.kind.removeprefix(f'{self.type}: ')}"

    def diff(self, *, whole: bool = False) -> list[str]:
        """Return ``lines`` as texts, each with its sign (``+`` or ``-``)."""
        return list(map(str, self.lines(whole=whole)))

    def lines(self, *, whole: bool = False) -> list[DiffLine]:
        """Return the lines that show how the values differ: the first ones, or the ``whole`` diff."""
        if self.type in ("transcript", "call", "refused") or not self.field:
            return []
        old, new = self.expected, self.actual
        if self.field == "parts.instructions" and self._has_texts:
            old, new = "\n\n".join(old), "\n\n".join(new)
        if self.field in ("parts.rules", "tools") and self._has_texts:
            old, new = rules_by_name(old), rules_by_name(new)
        return diff_values(old, new, tools=self.field == "parts.tools", whole=whole)

    @property
    def _has_texts(self) -> bool:
        return isinstance(self.expected, list) and isinstance(self.actual, list)

    @property
    def _explanation(self) -> str:
        agent = repr(self.type.partition(" of ")[2] or "?")
        old, new = self.expected, self.actual
        match self.field:
            case "parts.instructions":
                count = changed_words("\n\n".join(old), "\n\n".join(new)) if self._has_texts else 0
                words = f", {count:,} {'word' if count == 1 else 'words'}" if count else ""
                return f"the system prompt of {agent} has changed{words}"
            case "parts.tools":
                changes = describe_tools(old, new) if self._has_texts else ""
                return f"the tools of {agent} have changed" + (f": {changes}" if changes else "")
            case "tools":
                return f"the tools that {agent} has of MCP servers have changed"
            case "parts.rules":
                changes = describe_rules(old, new) if self._has_texts else ""
                return f"the rules of {agent} have changed" + (f": {changes}" if changes else "")
            case "parts.conversation":
                return "the conversation before it differs"
            case "parts.parameters":
                return "the request parameters have changed"
            case "parts.model":
                return "the model has changed"
            case "approve":
                rules = {"ask": "asks the user", "deny": "is never called", "auto": "is called without asking"}
                return f"{self.subject} {rules.get(new, new)} now"
            case "effects":
                return f"{self.subject} {'has effects' if new else 'only looks things up'} now"
            case "ban_for":
                return f"the ban by {self.subject} lasts {'until it is lifted' if new is None else f'{new:g} s'} now"
            case "reply":
                return f"the reply of {self.subject} has changed"
            case "status" if self.subject:
                status = str(new).partition(":")[0]
                return f"{self.subject} {_OUTCOMES.get(status, f'was {status}')}"
            case "message.content" if self.type.startswith("user"):
                return f"the conversation that {agent} gets with its task has changed"
            case "message.content" if self.subject and self.type.startswith("tool"):
                return f"the result of {self.subject} has changed"
        return ""


_OUTCOMES = {"ok": "succeeded", "error": "failed"}


def compare_logs(
    expected: Sequence[Record], actual: Sequence[Record], *, whole: bool = True, texts: RequestTexts | None = None
) -> Iterator[Difference]:
    """Yield the differences between two logs, in order.

    A transcript that is not ``whole`` has only some record types and fields: only these are compared.
    ``texts`` holds the texts of requests; default: those in the two logs.
    """
    if not whole:
        types = {record.type for record in expected}
        actual = [record for record in actual if record.type in types]
    pairs = list(_aligned(expected, actual))
    moved = {then.seq: now.seq for then, now in pairs if then and now}
    first_with_texts = min((record.seq for record in expected if "texts" in record.data), default=sys.maxsize)
    comparison = _Comparison(whole, texts or RequestTexts(expected, actual), moved, first_with_texts)
    last = -1
    for then, now in pairs:
        last = last if then is None else then.seq
        if then is None and now is not None:
            yield Difference(now.turn, last, now.type, "", None, now.type, _subject(now))
        elif then is not None and now is None:
            yield Difference(then.turn, last, then.type, "", then.type, None, _subject(then))
        elif then is not None and now is not None:
            yield from comparison.records(then, now)


def _aligned(expected: Sequence[Record], actual: Sequence[Record]) -> Iterator[_Pair]:
    """Yield the records that correspond to each other, turn by turn; ``None`` for one that has no partner.

    So one record more or less is one difference, and not one in each record after it.
    """
    turns: dict[int, tuple[list[Record], list[Record]]] = {}
    for record in expected:
        turns.setdefault(record.turn, ([], []))[0].append(record)
    for record in actual:
        turns.setdefault(record.turn, ([], []))[1].append(record)
    for old, new in turns.values():
        # First by subject, then by type: the call of a renamed tool is still the same call.
        for equal, then, now in _blocks(old, new, lambda record: (*_kind(record), record.agent, _subject(record))):
            for same_type, a, b in [(True, then, now)] if equal else _blocks(then, now, _kind):
                if same_type:
                    yield from zip(a, b, strict=True)
                else:
                    yield from ((record, None) for record in a)
                    yield from ((None, record) for record in b)


def _blocks(
    old: Sequence[Record], new: Sequence[Record], key: Callable[[Record], Any]
) -> Iterator[tuple[bool, Sequence[Record], Sequence[Record]]]:
    """Yield runs of records with the same keys, and between them those that only one side has."""
    matcher = SequenceMatcher(None, list(map(key, old)), list(map(key, new)), autojunk=False)
    for kind, a, b, c, d in matcher.get_opcodes():
        yield kind == "equal", old[a:b], new[c:d]


def _kind(record: Record) -> tuple[str, str]:
    """Return the type of a record and the task that it belongs to; of a ``task`` record, the type of the one in it."""
    return record.text("entry") if record.type == "task" else record.type, record.task


def _subject(record: Record) -> str:
    """Return the subject of the record: a tool, a state, a policy; empty for most types."""
    return str(record.data.get(_SUBJECTS.get(_kind(record)[0], ""), ""))


@dataclass(frozen=True)
class _Comparison:
    """Compares records that correspond to each other."""

    whole: bool
    texts: RequestTexts
    moved: Mapping[int, int]
    """The new positions of records, by the old ones."""
    first_with_texts: int
    """The position from which on the transcript has all fields of today's logs."""

    def records(self, then: Record, now: Record) -> Iterator[Difference]:
        kind, task = _kind(then)
        about = f"{kind} of {then.agent}" if then.agent else kind
        old_fields, new_fields = self._fields(then), self._fields(now)
        for name, default in _ADDED.get(kind, {}).items():
            if name in old_fields or then.seq > self.first_with_texts:
                old_fields.setdefault(name, default)
                new_fields.setdefault(name, default)
            else:
                new_fields.pop(name, None)
        for name in _NEWER if old_fields.keys() ^ new_fields.keys() else ():
            if name not in old_fields or name not in new_fields:
                old_fields.pop(name, None)
                new_fields.pop(name, None)
        if "rules" not in old_fields.get("parts", {}) and "parts" in new_fields:
            new_fields["parts"] = {name: part for name, part in new_fields["parts"].items() if name != "rules"}
        # A task counts its own records.
        for name in _POSITIONS & old_fields.keys() if not task else ():
            old_fields[name] = _moved(old_fields[name], self.moved)
        if not self.whole and "message" in old_fields:
            # Other programs keep more in a message than an API takes.
            old_fields["message"] = sendable(then.message, then.seq)
            new_fields["message"] = sendable(now.message, now.seq)
        if kind == "tool" and then.data.get("status") != now.data.get("status"):
            # The text says why: one difference, not two.
            for record, fields in ((then, old_fields), (now, new_fields)):
                text = text_of(fields.pop("message")).removeprefix("Error: ")
                fields["status"] = f"{record.data.get('status')}: {text}"
        # A record says more about these than their digests.
        differing = [
            f"parts.{name}" for name in ("model", "parameters") if old_fields.get(name) != new_fields.get(name)
        ]
        parts = False
        for field, old, new in _differing(old_fields, new_fields, whole=self.whole):
            parts = parts or field.startswith("parts.")
            # The key is made of the parts.
            if not (field == "key" and parts) and field not in differing:
                yield Difference(then.turn, then.seq, about, field, *self._values(field, old, new), _subject(then))

    def _values(self, field: str, old: Any, new: Any) -> tuple[Any, Any]:
        """Return the texts of a prompt or tools in place of their digests, if both are known."""
        part = field.removeprefix("parts.")
        if part in PARTS and field != part:
            texts = self.texts.get(part, old), self.texts.get(part, new)
            if texts[0] is not None and texts[1] is not None:
                return texts
        return old, new

    @staticmethod
    def _fields(record: Record) -> dict[str, Any]:
        fields = {"type": record.type, "turn": record.turn, "agent": record.agent, **record.data}
        for name in _WITH_IDS & fields.keys():
            fields[name] = _without_key(fields[name])
        ordered = [name for name in _FIRST if name in fields]
        ordered += sorted((name for name in fields if name not in _FIRST), key=lambda name: name == "tokens")
        return {name: fields[name] for name in ordered if name not in _IGNORED}


def _without_key(value: Any) -> Any:
    """Return a value without the key of the request in the ids of calls that the model wrote as text."""
    if isinstance(value, str):
        return _TEXT_ID.sub("text", value)
    if isinstance(value, dict):
        return {name: _without_key(each) if name in _ID_FIELDS else each for name, each in value.items()}
    return [_without_key(each) for each in value] if isinstance(value, list) else value


def _moved(value: Any, positions: Mapping[int, int]) -> Any:
    """Return a value that holds positions of records with their new positions."""
    if isinstance(value, dict):
        return {name: _moved(each, positions) for name, each in value.items()}
    if isinstance(value, list):
        return [_moved(each, positions) for each in value]
    return positions.get(value, value) if isinstance(value, int) else value


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
