"""Pin turns: they are sent however much else is left out for room."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from swarmchat.swarm.context.groups import GroupBuilder
from swarmchat.swarm.context.retained import Retained, Span
from swarmchat.swarm.errors import PinError
from swarmchat.swarm.persistence.log_reader import read_records, turns_of
from swarmchat.swarm.persistence.records import MESSAGE_TYPES, Record

if TYPE_CHECKING:
    from swarmchat.swarm.session.session import Session


@dataclass(frozen=True)
class Pins:
    """What is pinned now."""

    turns: tuple[int, ...]
    tokens: int
    """What the pinned turns take of the active agent's context."""
    limit: int
    """What they may take together."""


async def pin(session: "Session", turn: int) -> Pins:
    """Pin ``turn``; see ``Session.pin``."""
    before = await _read(session)
    if turn not in before.turns:
        known = f"expected one of {_listed(list(before.turns))}" if before.turns else "nothing was said yet"
        raise PinError(f"there is no turn {turn} that could be sent; {known}")
    span = before.turns[turn]
    if span in session.protected.pinned:
        raise PinError(f"turn {turn} is pinned already")
    spans = tuple(sorted([*session.protected.pinned, span]))
    made = await _pins(session, before, spans)
    if made.tokens > made.limit:
        raise PinError(
            f"with turn {turn} the pinned turns would take {made.tokens:,} tokens, and half of the room for the "
            f"conversation is {made.limit:,}: unpin another one, or give a larger --max-context"
        )
    told = Retained(spans, session.protected.summaries).for_record()
    await session.commit([session.journal.record("pin", None, offset=0, turn=session.last_turn, target=turn, **told)])
    return made


async def unpin(session: "Session", turn: int) -> Pins:
    """Unpin ``turn``; see ``Session.unpin``."""
    before = await _read(session)
    span = before.turns.get(turn)
    if span is None or span not in session.protected.pinned:
        pinned = [number for number, each in before.turns.items() if each in session.protected.pinned]
        raise PinError(f"turn {turn} is not pinned; {f'pinned: {_listed(pinned)}' if pinned else 'none is'}")
    spans = tuple(each for each in session.protected.pinned if each != span)
    told = Retained(spans, session.protected.summaries).for_record()
    await session.commit([session.journal.record("unpin", None, offset=0, turn=session.last_turn, target=turn, **told)])
    return await _pins(session, before, spans)


async def pins_of(session: "Session") -> Pins:
    """Return what is pinned now."""
    return await _pins(session, await _read(session), session.protected.pinned)


@dataclass
class _Log:
    """The turns that can be pinned, and the records of the whole log."""

    turns: dict[int, Span]
    records: list[Record]


async def _read(session: "Session") -> _Log:
    await session.ready()
    if session.journal.unsaved:
        await session.commit([])
    # Whatever tells what is protected may not be in memory yet.
    await session.context()
    records: list[Record] = []
    hidden: set[int] = set()
    async for record in read_records(session.backend, session.info):
        records.append(record)
        if record.type == "undo":
            hidden.update(turns_of(record))
        elif record.type == "redo":
            hidden.difference_update(turns_of(record))
    turns: dict[int, Span] = {}
    for record in records:
        if record.type == "reset" and record.turn not in hidden:
            turns.clear()
        elif record.type in MESSAGE_TYPES and record.turn > 0 and record.turn not in hidden:
            first, _ = turns.get(record.turn, (record.seq, record.seq))
            turns[record.turn] = (first, record.seq)
    questions = {record.seq for record in records if record.type == "user"}
    return _Log({turn: span for turn, span in turns.items() if span[0] in questions}, records)


async def _pins(session: "Session", log: _Log, spans: tuple[Span, ...]) -> Pins:
    context = await session.context()
    counter = session.counter
    tokens = 0
    for first, last in spans:
        groups = GroupBuilder(session.agent.name, log.records[_place(log, first) : _place(log, last) + 1]).groups
        tokens += sum(group.tokens(counter) for group in groups)
    turns = tuple(turn for turn, span in log.turns.items() if span in spans)
    return Pins(turns, tokens, max(0, context.available - context.fixed_tokens) // 2)


def _place(log: _Log, seq: int) -> int:
    """Return where the record ``seq`` is in the list: damaged lines are missing from it."""
    return next(place for place, record in enumerate(log.records) if record.seq == seq)


def _listed(turns: list[int]) -> str:
    return ", ".join(map(str, turns)) if len(turns) <= 10 else f"{turns[0]} … {turns[-1]}"
