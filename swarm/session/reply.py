"""The reply to a question: a whole turn as one value."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from swarmchat.swarm.conversation.events import Event, ToolFinished, TurnEnded
from swarmchat.swarm.persistence.records import Record


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of one turn. ``str(reply)`` is its text."""

    text: str
    """The last answer, whole; the message of a policy if it refused."""
    agent: str
    """The agent that answered."""
    finish: str
    """Why the answer ended: see ``TurnEnded.finish``."""
    calls: Sequence[ToolFinished]
    """The tool calls of the turn, with their results."""
    usage: Mapping[str, int]
    """The tokens of all requests of the turn as the server counts them; empty if it does not."""
    cost: float | None
    """What the turn cost, in the server's currency; ``None`` if it does not say."""
    events: Sequence[Event]
    """All events of the turn."""

    def __str__(self) -> str:
        return self.text


def make_reply(events: Sequence[Event], agent: str, records: Iterable[Record]) -> Reply:
    """Return the reply of ``agent`` after the ``events`` of a turn, whose log has the ``records``."""
    usage: dict[str, int] = {}
    cost: float | None = None
    for record in records:
        counted = record.data.get("usage") if record.type in ("assistant", "rescue") else None
        for name, figure in counted.items() if isinstance(counted, dict) else ():
            if name == "cost" and isinstance(figure, int | float):
                cost = (cost or 0.0) + figure
            elif name.endswith("_tokens") and isinstance(figure, int):
                usage[name] = usage.get(name, 0) + figure
    end = next(event for event in reversed(events) if isinstance(event, TurnEnded))
    calls = tuple(event for event in events if isinstance(event, ToolFinished))
    return Reply(end.text, agent, end.finish, calls, usage, cost, tuple(events))
