"""The parts of the history that every cut keeps: pinned turns, and the summary of each agent.

Each ``request``, ``pin``, ``unpin`` and ``compact`` record lists all of them, so a reader that starts at the end of a
log need not search for the first mention.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from swarmchat.swarm.context.groups import Group, Part
from swarmchat.swarm.persistence.records import Record

Span = tuple[int, int]
"""The seqs of the first and the last message of a pinned turn."""

RECORDS_WITH_RETAINED = ("request", "pin", "unpin", "compact")
"""The types of the records that list the retained parts."""

_INTRODUCTION = "Summary of our conversation so far, in place of its messages:\n\n"
_REPLY = "I go on from this summary."


@dataclass(frozen=True)
class Retained:
    """The retained parts after some record. ``known`` is false until a record has listed them."""

    pinned: tuple[Span, ...] = ()
    summaries: Mapping[str, int] = field(default_factory=dict)
    """The seq of the current ``compact`` record of each agent."""
    known: bool = False

    def after(self, record: Record) -> "Retained":
        """Return the retained parts after ``record``."""
        if record.type in RECORDS_WITH_RETAINED:
            return Retained(_spans(record.data.get("pinned")), _places(record.data.get("summaries")), known=True)
        if record.type == "reset":
            # All agents share the pins, so a reset of one agent removes them for all.
            agent = record.agent
            summaries = {} if agent is None else {name: seq for name, seq in self.summaries.items() if name != agent}
            return Retained((), summaries, known=self.known or agent is None)
        return self

    def for_record(self) -> dict[str, Any]:
        """Return the fields of a record that lists these parts."""
        about: dict[str, Any] = {}
        if self.pinned:
            about["pinned"] = [list(span) for span in self.pinned]
        if self.summaries:
            about["summaries"] = dict(self.summaries)
        return about

    @property
    def spans(self) -> Sequence[Span]:
        """The parts of the log to keep in memory: pinned turns and ``compact`` records."""
        return (*self.pinned, *((seq, seq) for seq in self.summaries.values()))

    def pins(self, seq: int) -> bool:
        """Whether the record ``seq`` is in a pinned turn."""
        return within(seq, self.pinned)


def within(seq: int, spans: Iterable[Span]) -> bool:
    """Whether ``seq`` is in one of ``spans``."""
    return any(first <= seq <= last for first, last in spans)


def summary_groups(record: Record) -> list[Group]:
    """Return the messages that replace the conversation that a ``compact`` record summarizes.

    They are a user message and an answer: many chat templates allow system messages only at the start, and some
    require user and assistant messages to alternate.
    """
    question = {"role": "user", "content": _INTRODUCTION + str(record.data.get("summary", ""))}
    return [
        Group(Part(question, None), record.seq),
        Group(Part({"role": "assistant", "content": _REPLY}, None), record.seq),
    ]


def first_kept_of(record: Record) -> int:
    """Return the seq from which the conversation is sent in addition to the summary."""
    first = record.data.get("first_kept")
    return first if isinstance(first, int) else 0


def _spans(value: object) -> tuple[Span, ...]:
    spans = value if isinstance(value, list) else ()
    pairs = (each for each in spans if isinstance(each, list) and len(each) == 2)
    return tuple(sorted((a, b) for a, b in pairs if isinstance(a, int) and isinstance(b, int)))


def _places(value: object) -> dict[str, int]:
    return {name: seq for name, seq in value.items() if isinstance(seq, int)} if isinstance(value, dict) else {}
