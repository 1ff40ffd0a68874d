"""The messages of the log that a request omits, and why."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

from swarmchat.swarm.context.builder import RequestContext
from swarmchat.swarm.context.retained import Retained, first_kept_of
from swarmchat.swarm.persistence.log import hidden_turns
from swarmchat.swarm.persistence.records import MESSAGE_TYPES, Record


class Reason(Enum):
    """Why a message is not sent."""

    REFUSED = auto()
    """A policy refused it, or the turn was stopped before it was sent."""
    UNDONE = auto()
    RESET = auto()
    FOREIGN_CALL = auto()
    """It belongs to a tool call of another agent, or came from outside for it."""
    CROWDED_OUT = auto()
    """It is pinned, but the pins take too much room."""
    COMPACTED = auto()
    """A summary replaces it."""
    ROTATED = auto()
    """It was dropped to fit the window."""
    EMPTY = auto()
    """Nothing in it can be sent."""


@dataclass
class LeftOut:
    """The messages that are not sent for one reason."""

    reason: Reason
    cause: int | None
    """The seq of the reset or summary that is the reason, or of the first record that rotation keeps."""
    messages: int = 0
    turns: dict[int, None] = field(default_factory=dict)


def left_out(
    records: Sequence[Record], context: RequestContext, *, agent: str, retained: Retained, first_kept: int
) -> list[LeftOut]:
    """Return what ``context``, the next request of ``agent``, leaves out of ``records``, a whole log, by reason.

    ``retained`` and ``first_kept`` are the pins, the summaries and the last cut that the context was built with.
    """
    groups: dict[tuple[Reason, int | None], LeftOut] = {}
    for record, reason, cause in _omissions(records, context, agent, retained.summaries.get(agent), first_kept):
        group = groups.setdefault((reason, cause), LeftOut(reason, cause))
        group.messages += 1
        group.turns[record.turn] = None
    return list(groups.values())


def _omissions(
    records: Sequence[Record], context: RequestContext, agent: str, summary: int | None, first_kept: int
) -> Iterator[tuple[Record, Reason, int | None]]:
    hidden = hidden_turns(records)
    reset = _last_reset(records, hidden, agent)
    compacted = next((first_kept_of(each) for each in records if each.seq == summary and each.turn not in hidden), 0)
    if context.rotation is not None:
        first_kept = max(first_kept, context.rotation.first_kept)
    for record in _unsent(records, context):
        if record.type not in MESSAGE_TYPES:
            if record.turn not in hidden:
                yield record, Reason.REFUSED, None
        elif record.turn in hidden:
            yield record, Reason.UNDONE, None
        elif record.seq < reset:
            yield record, Reason.RESET, reset
        elif _is_foreign_call(record, agent):
            yield record, Reason.FOREIGN_CALL, None
        elif record.seq in context.crowded_out:
            yield record, Reason.CROWDED_OUT, None
        elif record.seq < compacted:
            yield record, Reason.COMPACTED, summary
        elif record.seq < first_kept:
            yield record, Reason.ROTATED, first_kept
        else:
            yield record, Reason.EMPTY, None


def _unsent(records: Iterable[Record], context: RequestContext) -> Iterator[Record]:
    """Yield the messages that are not in ``context``, also those that policies refused."""
    sent = {part.record.seq for group in context.groups for part in group.parts() if part.record is not None}
    sent |= {group.seq for group in context.conversation}
    calls_sent = False
    for record in records:
        if record.type == "assistant":
            calls_sent = record.seq in sent
        if record.type in MESSAGE_TYPES:
            # A group that is sent contains the results of its calls.
            if record.seq not in sent and not (record.type == "tool" and calls_sent):
                yield record
        elif record.type in ("policy", "unsent") and "text" in record.data:
            yield record


def _last_reset(records: Iterable[Record], hidden: Iterable[int], agent: str) -> int:
    """Return the seq of the last reset that holds for ``agent``; -1 without one."""
    resets = (each for each in records if each.type == "reset" and each.agent in (None, agent))
    return max((each.seq for each in resets if each.turn not in hidden), default=-1)


def _is_foreign_call(record: Record, agent: str) -> bool:
    foreign = record.agent not in (None, agent)
    if record.type == "mail":
        return foreign and not record.is_for_all
    return foreign and (record.type == "tool" or not record.message.get("content"))
