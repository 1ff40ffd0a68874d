"""What can stand after the name of a slash command about turns: their numbers, each with its question."""

from collections.abc import Sequence

from swarmchat.cli.slash.registry import Choice
from swarmchat.swarm.persistence.log_reader import read_records
from swarmchat.swarm.session.session import Session
from swarmchat.swarm.session.undo import Timeline

_MOST = 100
"""How many turns are offered at most."""


class _Past(Timeline):
    """The turns of a session, and which of them are pinned."""

    def __init__(self, session: Session) -> None:
        super().__init__(session.swarm.default)
        self.pinned: dict[int, None] = {}

    def choices(self, turns: Sequence[int]) -> list[Choice]:
        """Return ``turns`` by their numbers."""
        return [(str(turn), self.texts.get(turn, "")) for turn in turns[:_MOST]]

    def counts(self, turns: Sequence[int]) -> list[Choice]:
        """Return how many of ``turns`` there can be, each with the last one that is among them then."""
        return [(str(count), self.texts.get(turn, "")) for count, turn in enumerate(turns[:_MOST], 1)]


async def turns_to_undo(session: Session, typed: str) -> Sequence[Choice]:
    """Return how many turns can be taken back, with the question of the first one that is gone then."""
    past = await _past(session)
    return past.counts(past.visible[::-1])


async def turns_to_redo(session: Session, typed: str) -> Sequence[Choice]:
    """Return how many turns can be brought back, with the question of the last one that is there then."""
    past = await _past(session)
    return past.counts(past.redoable)


async def turns_to_pin(session: Session, typed: str) -> Sequence[Choice]:
    """Return the turns that are not pinned, the last one first."""
    past = await _past(session)
    return past.choices([turn for turn in reversed(past.visible) if turn in past.texts and turn not in past.pinned])


async def turns_to_unpin(session: Session, typed: str) -> Sequence[Choice]:
    """Return the turns that are pinned, the last one first."""
    past = await _past(session)
    return past.choices(sorted(past.pinned, reverse=True))


async def _past(session: Session) -> _Past:
    past, seen = _Past(session), 0
    async for record in read_records(session.backend, session.info):
        past.take(record)
        seen = record.seq + 1
        if session.protected.pins(record.seq):
            past.pinned[record.turn] = None
    for record in session.journal.unsaved:
        if record.seq >= seen:
            past.take(record)
    return past
