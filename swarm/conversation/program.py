"""The functions and objects that a program passes to a conversation: models, approval, hooks, tracing."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from swarmchat.swarm.conversation.hooks import Hooks
from swarmchat.swarm.conversation.tracing import Tracing
from swarmchat.swarm.models.base import ToolCall
from swarmchat.swarm.tools.asking import Answerer
from swarmchat.swarm.tools.context import Denied

if TYPE_CHECKING:
    from swarmchat.swarm.tools.tool import Tool

Approver = Callable[["Tool", ToolCall], Awaitable[bool | str | Denied]]
"""Asks the user whether a tool may be called. Returns True, False, a text: the arguments to call it with instead, or
Denied with the reason for the model."""


class Program(NamedTuple):
    """What a program brings to a conversation; see ``Session.open``."""

    approver: Approver | None = None
    answerer: Answerer | None = None
    hooks: Sequence[Hooks] = ()
    tracing: Tracing | None = None
    deps: object = None
