"""The reply to a question: a whole turn as one value."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from swarmchat.swarm.conversation.events import Event, Refused, ToolFinished, TurnEnded
from swarmchat.swarm.errors import OutputError
from swarmchat.swarm.persistence.records import Record

_OutputT = TypeVar("_OutputT")


@dataclass(frozen=True, slots=True)
class Reply(Generic[_OutputT]):
    """The result of a turn. ``str(reply)`` is its text."""

    text: str
    """The last answer, whole; the message of a policy if it refused."""
    agent: str
    """The agent that answered."""
    finish: str
    """Why the answer ended: see ``TurnEnded.finish``."""
    calls: Sequence[ToolFinished]
    """The tool calls of the turn, with their results."""
    usage: Mapping[str, int]
    """The tokens of all requests of the turn, tasks included, as the server counts them; empty if it does not."""
    cost: float | None
    """What the turn cost, in the server's currency; ``None`` if it does not say."""
    events: Sequence[Event]
    """All events of the turn."""
    output: _OutputT
    """The answer as a value of the type that was asked for; ``None`` if none was."""

    def __str__(self) -> str:
        return self.text


def make_reply(events: Sequence[Event], agent: str, records: Iterable[Record], *, typed: bool = False) -> Reply[Any]:
    """Return the reply of ``agent`` after the ``events`` of a turn, whose log has the ``records``.

    If it is to be ``typed``, raises OutputError where a policy has answered.
    """
    refused = next((event for event in events if isinstance(event, Refused)), None) if typed else None
    if refused is not None:
        raise OutputError(f"the policy {refused.policy!r} refused the {refused.direction}: {refused.message}")
    usage: dict[str, int] = {}
    cost: float | None = None
    for record in records:
        kind = record.text("entry") if record.type == "task" else record.type
        counted = record.data.get("usage") if kind in ("assistant", "rescue", "ask_model") else None
        for name, figure in counted.items() if isinstance(counted, dict) else ():
            if name == "cost" and isinstance(figure, int | float):
                cost = (cost or 0.0) + figure
            elif name.endswith("_tokens") and isinstance(figure, int):
                usage[name] = usage.get(name, 0) + figure
    end = next(event for event in reversed(events) if isinstance(event, TurnEnded))
    calls = tuple(event for event in events if isinstance(event, ToolFinished))
    return Reply(end.text, agent, end.finish, calls, usage, cost, tuple(events), end.output)
