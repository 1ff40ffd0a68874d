"""Run a program's hooks at the points of a turn."""

from dataclasses import replace
from typing import Any, TypeVar

from swarmchat.swarm.conversation.conversation import Conversation
from swarmchat.swarm.tools.context import Denied

_T = TypeVar("_T")


async def run_hooks(conversation: Conversation, point: str, *seen: Any, value: _T, call_id: str = "") -> _T | Denied:
    """Return ``value`` as the hooks at ``point`` change it; see ``HookChain.run``."""
    if not conversation.hooks.has(point):
        return value
    # Not staged: a hook's changes do not belong to a tool.
    ctx = replace(conversation.tool_context(call_id), primitives=conversation.primitives)
    return await conversation.hooks.run(point, ctx, *seen, value=value)
