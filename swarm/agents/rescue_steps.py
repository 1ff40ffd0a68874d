"""Names of the rescue steps, and the fault that a step gets; ``turn.rescue`` takes the steps."""

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
"""A step's name, or a function that returns another answer, or nothing to continue with the next step."""


def check_steps(steps: Sequence[Step] | None) -> tuple[Step, ...]:
    """Return ``steps``; all if ``None``. Raises DefinitionError, with the most similar name, for an unknown one."""
    if isinstance(steps, str):
        raise DefinitionError(f"rescue is {steps!r}, expected a list of steps: write rescue=[{steps!r}]")
    for step in steps or ():
        if not callable(step) and step not in STEPS:
            raise DefinitionError(f"unknown rescue step {step!r}; {nearest(str(step), STEPS)}")
    return STEPS if steps is None else tuple(steps)


@dataclass(frozen=True, slots=True)
class Fault:
    """Why an answer cannot be used as it is."""

    cause: str
    """unknown_tool, bad_arguments, repeated_call, handoff_loop, request_limit, empty, repetition, rejected, or
    bad_output."""
    detail: str
    """What is wrong, in one line."""
    feedback: str
    """The feedback for the model when it is asked again."""
    answer: Answer
    refusals: Mapping[str, str] = field(default_factory=dict)
    """The reason for each refused call, by the id of the call."""
    error: LimitReached | None = None
    """The error that ends the turn if no rescue step helps."""
