"""Hooks of a program around turns, requests, tools and handoffs: they see, change, or refuse."""

import inspect
from collections.abc import Sequence
from typing import Any, TypeVar

from swarmchat.swarm.common.author_functions import call_author_function
from swarmchat.swarm.common.names import nearest
from swarmchat.swarm.errors import DefinitionError, HookError
from swarmchat.swarm.models.base import Answer, ModelRequest, ToolCall
from swarmchat.swarm.tools.context import Context, Denied

_T = TypeVar("_T")


class Hooks:
    """The base class of hooks: override what you need.

    Return ``None`` to change nothing, another value to change it, or ``Denied("why")`` to reject. Changes through
    ``ctx`` take effect at once. An error in a hook ends the turn, as HookError.
    """

    def __init_subclass__(cls, **arguments: Any) -> None:
        """Raise DefinitionError for a method that would never be called, and for one with other parameters."""
        super().__init_subclass__(**arguments)
        for name in vars(cls):
            if not name.startswith(("before_", "after_")):
                continue
            if not hasattr(Hooks, name):
                points = [each for each in vars(Hooks) if each.startswith(("before_", "after_"))]
                raise DefinitionError(f"the hook {cls.__name__} has the method {name!r}; {nearest(name, points)}")
            expected = inspect.signature(getattr(Hooks, name))
            try:
                inspect.signature(getattr(cls, name)).bind(*expected.parameters)
            except TypeError:
                needed = ", ".join(expected.parameters)
                raise DefinitionError(f"the hook {cls.__name__}: expected the method {name}({needed})") from None

    async def before_turn(self, ctx: Context[Any], text: str) -> str | Denied | None:
        """See the user's message before the policies do; return another text, or reject it."""

    async def after_turn(self, ctx: Context[Any], answer: Answer, error: Exception | None) -> None:
        """See the last answer of a stored turn, and the error that ended it, if any."""

    async def before_request(self, ctx: Context[Any], request: ModelRequest) -> ModelRequest | Denied | None:
        """See a request before it is sent; return the request to send instead, or reject it, which ends the turn."""

    async def after_request(self, ctx: Context[Any], request: ModelRequest, answer: Answer) -> Answer | Denied | None:
        """See an answer before the user does, so answers do not stream; return another answer, or reject it."""

    async def before_tool(self, ctx: Context[Any], call: ToolCall) -> ToolCall | Denied | None:
        """See a call before the user is asked about it; return it with other arguments, or reject it."""

    async def after_tool(self, ctx: Context[Any], call: ToolCall, result: str) -> str | Denied | None:
        """See the result of a call before it is stored; return another result, or reject it with its changes."""

    async def before_handoff(self, ctx: Context[Any], target: str) -> str | Denied | None:
        """See the agent to hand over to; return another agent, or reject the handoff."""

    async def after_handoff(self, ctx: Context[Any], source: str) -> None:
        """See that the active agent has taken over from ``source``."""


class HookChain:
    """Hooks one after the other: each gets what the one before made of it."""

    def __init__(self, hooks: Sequence[Hooks] = ()) -> None:
        self.hooks = tuple(hooks)

    def has(self, point: str) -> bool:
        """Whether any hook overrides the method ``point``."""
        return any(getattr(type(hook), point) is not getattr(Hooks, point) for hook in self.hooks)

    async def run(self, point: str, ctx: Context[Any], *seen: Any, value: _T) -> _T | Denied:
        """Call the method ``point`` of all hooks with ``seen`` and ``value``; return what becomes of the value.

        The first refusal ends it. Raises HookError, also for a result of another type.
        """
        for hook in self.hooks:
            if getattr(type(hook), point) is getattr(Hooks, point):
                continue
            label = f"the hook {type(hook).__name__}.{point}"
            result = await call_author_function(label, getattr(hook, point), ctx, *seen, value)
            if isinstance(result, Denied):
                return result
            if result is None:
                continue
            if not isinstance(result, type(value)):
                expected = f"{type(value).__name__}, Denied or None"
                raise HookError(f"{label} returned {result!r:.80}, expected {expected}")
            value = result
        return value
