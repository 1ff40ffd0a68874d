"""Operators: people whom agents can hand a client over to."""

import re
from dataclasses import dataclass
from datetime import datetime, time
from typing import TYPE_CHECKING

from swarmchat.swarm.agents.agent import Agent, Swarm
from swarmchat.swarm.common.draws import Draws
from swarmchat.swarm.common.mistakes import SECONDS, TEXT, check_fields, explained
from swarmchat.swarm.errors import DefinitionError

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

_DAYS = ("mo", "tu", "we", "th", "fr", "sa", "su")
_SPAN = re.compile(r"(?P<first>[a-z]{2})(?:-(?P<last>[a-z]{2}))? (?P<start>\d\d?:\d\d)-(?P<end>\d\d?:\d\d)")
_MIDNIGHT = "24:00"

Span = tuple[frozenset[int], time, time | None]
"""Days of the week from 0, the start, and the end; ``None``: until midnight."""


@explained
@dataclass(frozen=True)
class Operator(Agent):
    """A person or a team to whom agents can hand the client over, and who answers with ``swarmchat operator``.

    Agents name it in their ``handoffs``. It has no prompt and asks no model; ``tools`` are more tools that the person
    may call, besides those of the agents.
    """

    prompt: str = ""
    hours: str = ""
    """When somebody is there: ``mo-fr 09:00-17:00; sa 10:00-14:00``. Empty: always."""
    timezone: str = ""
    """The time zone of ``hours``, such as Europe/Berlin. Empty: that of the machine."""
    timeout: float = 300
    """Seconds that a client waits for somebody before the agent before takes over again."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fields(f"operator {self.name!r}", self, _OPERATOR)
        unused = [name for name in _UNUSED if getattr(self, name)]
        if unused:
            raise DefinitionError(
                f"operator {self.name!r} has {unused[0]}, but is a person: use description, hours, timeout or tools"
            )
        _spans(self.name, self.hours)
        try:
            self._zone()
        # What is not found is a KeyError.
        except (KeyError, ValueError):
            raise DefinitionError(
                f"operator {self.name!r}: unknown time zone {self.timezone!r}; expected a name such as Europe/Berlin"
            ) from None

    @property
    def is_person(self) -> bool:
        """True: a person answers instead of a model."""
        return True

    def is_open(self, moment: datetime) -> bool:
        """Whether ``moment`` is within the operator's hours."""
        if not self.hours:
            return True
        local = moment.astimezone(self._zone())
        now = local.time()
        return any(
            local.weekday() in days and start <= now and (end is None or now < end)
            for days, start, end in _spans(self.name, self.hours)
        )

    @property
    def closed_text(self) -> str:
        """The error text for handoffs outside the hours."""
        return f"{self.name} is not available now; the hours are {self.hours} {self.timezone}".rstrip()

    def _zone(self) -> "ZoneInfo | None":
        if not self.timezone:
            return None
        # Few operators have one, and Python reads its own build settings to import it.
        from zoneinfo import ZoneInfo

        return ZoneInfo(self.timezone)


def closed_operators(swarm: Swarm, agent: Agent, draws: Draws) -> dict[str, str]:
    """Return the operators that ``agent`` can hand over to, but are closed now by their hours, with a sentence each."""
    operators = [each for each in swarm.operators if isinstance(each, Operator) and each.name in agent.targets]
    if not any(operator.hours for operator in operators):
        return {}
    now = draws.now()
    return {operator.name: operator.closed_text for operator in operators if not operator.is_open(now)}


def _spans(operator: str, hours: str) -> list[Span]:
    """Return the times in ``hours``. Raises DefinitionError."""
    spans = []
    for part in filter(None, (each.strip() for each in re.split("[;,]", hours.lower()))):
        match = _SPAN.fullmatch(part)
        first, last = (match["first"], match["last"] or match["first"]) if match else ("", "")
        if match is None or first not in _DAYS or last not in _DAYS:
            raise _wrong_hours(operator, part)
        begin, end = _DAYS.index(first), _DAYS.index(last)
        days = frozenset((begin + offset) % 7 for offset in range((end - begin) % 7 + 1))
        try:
            start = _time(match["start"])
            until = None if match["end"] == _MIDNIGHT else _time(match["end"])
        except ValueError:
            raise _wrong_hours(operator, part) from None
        if until is not None and until <= start:
            raise _wrong_hours(operator, part)
        spans.append((days, start, until))
    return spans


def _time(text: str) -> time:
    hour, _, minute = text.partition(":")
    return time(int(hour), int(minute))


def _wrong_hours(operator: str, part: str) -> DefinitionError:
    return DefinitionError(
        f"operator {operator!r}: hours {part!r} cannot be read; expected days and times, such as "
        "'mo-fr 09:00-17:00; sa 10:00-14:00'"
    )


_UNUSED = ("prompt", "handoffs", "system", "reminder", "model", "parameters", "max_tool_calls", "validate", "output")
"""What an agent can have that says nothing of a person."""

_OPERATOR = {
    "hours": TEXT,
    "timezone": TEXT,
    "timeout": SECONDS,
}
"""What the arguments of an operator are expected to be."""
