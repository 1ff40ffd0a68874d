"""Which steps the rescue has: for those who need to know that, and not how they work."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from swarmchat.swarm.common.names import nearest
from swarmchat.swarm.errors import DefinitionError, LimitReached
from swarmchat.swarm.models.base import Answer

if TYPE_CHECKING:
    from swarmchat.swarm.tools.context import Context


STEPS = ("repair", "feedback", "recomplete", "flush", "placeholder")

PLACEHOLDER = "Sorry, I could not find an answer to that. Please ask again, or say it in other words."

Step: TypeAlias = 'str | Callable[["Fault", "Context"], Answer | str | Awaitable[Answer | str | None] | None]'
"""A step's name, or a function that returns what is answered instead; when it returns nothing, the next step is
taken."""


def check_steps(steps: Sequence[Step] | None) -> tuple[Step, ...]:
    """Return ``steps``, all if they are ``None``. Raises DefinitionError, with the nearest name, for an unknown one."""
    for step in steps or ():
        if not callable(step) and step not in STEPS:
            raise DefinitionError(f"{step!r} is no step of the rescue; {nearest(str(step), STEPS)}")
    return STEPS if steps is None else tuple(steps)


@dataclass(frozen=True, slots=True)
class Fault:
    """Why an answer cannot be used as it is."""

    cause: str
    """unknown_tool, bad_arguments, repeated_call, handoff_loop, request_limit, empty, repetition, or rejected."""
    detail: str
    """What is wrong, in a line."""
    told: str
    """What the model is told when it is asked again."""
    answer: Answer
    refusals: Mapping[str, str] = field(default_factory=dict)
    """Why each of the calls that must not be carried out is not, by its id."""
    error: LimitReached | None = None
    """What ends the turn if no step of the rescue helps."""
