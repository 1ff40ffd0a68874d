"""What of a session's past is sent whatever is left out for room: pinned turns, and the summary of each agent.

A ``request``, ``pin``, ``unpin`` or ``compact`` record tells all of it, so that whoever reads a log from its end need
not look for where it was said first.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from swarmchat.swarm.context.groups import Group, Part
from swarmchat.swarm.persistence.records import Record

Span = tuple[int, int]
"""The seqs of the first and the last message of a pinned turn."""

TELLING = ("request", "pin", "unpin", "compact")
"""The types of records that tell what is protected."""

_INTRODUCTION = "Summary of our conversation so far, in place of its messages:\n\n"
_REPLY = "I go on from this summary."


@dataclass(frozen=True)
class Retained:
    """What is protected at one moment. ``known`` is false while no record was met that tells it."""

    pinned: tuple[Span, ...] = ()
    summaries: Mapping[str, int] = field(default_factory=dict)
    """The seqs of the ``compact`` records that hold, by agent."""
    known: bool = False

    def after(self, record: Record) -> "Retained":
        """Return what is protected after ``record``."""
        if record.type in TELLING:
            return Retained(_spans(record.data.get("pinned")), _places(record.data.get("summaries")), known=True)
        if record.type == "reset":
            # Pins are for all agents: what one of them is to forget is pinned for none.
            agent = record.agent
            left = {} if agent is None else {name: seq for name, seq in self.summaries.items() if name != agent}
            return Retained((), left, known=self.known or agent is None)
        return self

    def for_record(self) -> dict[str, Any]:
        """Return the fields that tell this."""
        about: dict[str, Any] = {}
        if self.pinned:
            about["pinned"] = [list(span) for span in self.pinned]
        if self.summaries:
            about["summaries"] = dict(self.summaries)
        return about

    @property
    def spans(self) -> Sequence[Span]:
        """The parts of the log that are sent, or that say what is."""
        return (*self.pinned, *((seq, seq) for seq in self.summaries.values()))

    def pins(self, seq: int) -> bool:
        """Whether the record ``seq`` is in a pinned turn."""
        return within(seq, self.pinned)


def within(seq: int, spans: Iterable[Span]) -> bool:
    """Whether ``seq`` is in one of ``spans``."""
    return any(first <= seq <= last for first, last in spans)


def summary_groups(record: Record) -> list[Group]:
    """Return the messages that stand for what a ``compact`` record sums up.

    A question and an answer: many chat templates take a system message at the very beginning only, and some nothing
    but questions and answers in turns.
    """
    told = {"role": "user", "content": _INTRODUCTION + str(record.data.get("summary", ""))}
    return [
        Group(Part(told, None), record.seq),
        Group(Part({"role": "assistant", "content": _REPLY}, None), record.seq),
    ]


def first_kept_of(record: Record) -> int:
    """Return from which record on the conversation is sent beside the summary."""
    first = record.data.get("first_kept")
    return first if isinstance(first, int) else 0


def _spans(value: object) -> tuple[Span, ...]:
    found = value if isinstance(value, list) else ()
    pairs = (each for each in found if isinstance(each, list) and len(each) == 2)
    return tuple(sorted((a, b) for a, b in pairs if isinstance(a, int) and isinstance(b, int)))


def _places(value: object) -> dict[str, int]:
    return {name: seq for name, seq in value.items() if isinstance(seq, int)} if isinstance(value, dict) else {}
