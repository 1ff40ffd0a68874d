"""Pin turns, so that they are always sent, even when others are dropped to fit the window."""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from operator import attrgetter
from typing import Literal

from swarmchat.swarm.context.groups import GroupBuilder
from swarmchat.swarm.context.retained import Retained, Span
from swarmchat.swarm.conversation.conversation import Conversation
from swarmchat.swarm.conversation.requests import prepare
from swarmchat.swarm.errors import PinError
from swarmchat.swarm.persistence.log import hidden_turns, read_records
from swarmchat.swarm.persistence.records import MESSAGE_TYPES, Record


@dataclass(frozen=True)
class Pins:
    """The pinned turns."""

    turns: tuple[int, ...]
    tokens: int
    """The tokens that they take in the active agent's context."""
    limit: int
    """The tokens that all of them together may take."""


async def pin(conversation: Conversation, turn: int) -> Pins:
    """Pin ``turn``; see ``Session.pin``."""
    log, retained = await _read(conversation), conversation.retained
    if turn not in log.turns:
        available = f"available: {_listed(list(log.turns))}" if log.turns else "no turns yet"
        raise PinError(f"turn {turn} cannot be pinned: no such turn is sent; {available}")
    span = log.turns[turn]
    if span in retained.pinned:
        raise PinError(f"turn {turn} is already pinned")
    return await _store(conversation, "pin", turn, log, tuple(sorted([*retained.pinned, span])))


async def unpin(conversation: Conversation, turn: int) -> Pins:
    """Unpin ``turn``; see ``Session.unpin``."""
    log, retained = await _read(conversation), conversation.retained
    span = log.turns.get(turn)
    if span is None or span not in retained.pinned:
        pinned = [number for number, each in log.turns.items() if each in retained.pinned]
        raise PinError(f"turn {turn} is not pinned; pinned: {_listed(pinned) if pinned else 'none'}")
    return await _store(conversation, "unpin", turn, log, tuple(each for each in retained.pinned if each != span))


async def pins_of(conversation: Conversation) -> Pins:
    """Return the pinned turns."""
    return await _pins(conversation, await _read(conversation), conversation.retained.pinned)


async def _store(
    conversation: Conversation, kind: Literal["pin", "unpin"], turn: int, log: "_Log", spans: tuple[Span, ...]
) -> Pins:
    """Make ``spans`` the pinned parts of the log. Raises PinError if they take too many tokens."""
    await conversation.primitives.refuse_banned()
    pins = await _pins(conversation, log, spans)
    if kind == "pin" and pins.tokens > pins.limit:
        raise PinError(
            f"with turn {turn} the pinned turns would take {pins.tokens:,} tokens, more than half of the room for "
            f"the conversation ({pins.limit:,}): unpin another turn, or set a larger --max-context"
        )
    fields = Retained(spans, conversation.retained.summaries).for_record()
    batch = conversation.batch()
    batch.add(kind, turn=conversation.journal.last_turn, target=turn, **fields)
    await conversation.commit(batch)
    return pins


@dataclass
class _Log:
    """The turns that can be pinned, and the records of the whole log."""

    turns: dict[int, Span]
    records: list[Record]


async def _read(conversation: Conversation) -> _Log:
    await conversation.flush()
    # Loads the record that lists the pinned turns, if it is not in memory yet.
    await prepare(conversation)
    records = [record async for record in read_records(conversation.backend, conversation.info)]
    hidden = hidden_turns(records)
    turns: dict[int, Span] = {}
    for record in records:
        if record.type == "reset" and record.turn not in hidden:
            turns.clear()
        elif record.type in MESSAGE_TYPES and record.turn > 0 and record.turn not in hidden:
            first, _ = turns.get(record.turn, (record.seq, record.seq))
            turns[record.turn] = (first, record.seq)
    questions = {record.seq for record in records if record.type == "user"}
    return _Log({turn: span for turn, span in turns.items() if span[0] in questions}, records)


async def _pins(conversation: Conversation, log: _Log, spans: tuple[Span, ...]) -> Pins:
    context = await prepare(conversation)
    counter = conversation.counter
    tokens = 0
    for first, last in spans:
        # Damaged and lost records are missing from the list.
        start = bisect_left(log.records, first, key=attrgetter("seq"))
        records = log.records[start : bisect_right(log.records, last, key=attrgetter("seq"))]
        groups = GroupBuilder(conversation.agent.name, records).groups
        tokens += sum(group.tokens(counter) for group in groups)
    turns = tuple(turn for turn, span in log.turns.items() if span in spans)
    return Pins(turns, tokens, max(0, context.available - context.fixed_tokens) // 2)


def _listed(turns: list[int]) -> str:
    return ", ".join(map(str, turns)) if len(turns) <= 10 else f"{turns[0]} … {turns[-1]}"
