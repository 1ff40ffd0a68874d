"""Agents, log, context, turn: the chat itself. Prints nothing, reads no environment."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from swarmchat.swarm.agents.agent import Agent, Swarm
    from swarmchat.swarm.agents.rescue_steps import Fault
    from swarmchat.swarm.conversation.settings import SessionSettings
    from swarmchat.swarm.errors import SwarmError
    from swarmchat.swarm.models.demo import DemoRule
    from swarmchat.swarm.primitives.policy import Policy
    from swarmchat.swarm.primitives.state import State
    from swarmchat.swarm.session.session import Session
    from swarmchat.swarm.storage.storage import Storage
    from swarmchat.swarm.tools.context import Context
    from swarmchat.swarm.tools.tool import Tool, tool

__all__ = [
    "Agent",
    "Context",
    "DemoRule",
    "Fault",
    "Policy",
    "Session",
    "SessionSettings",
    "State",
    "Storage",
    "Swarm",
    "SwarmError",
    "Tool",
    "tool",
]

# Tools need pydantic, storages numpy: a chat without them should not wait for those. Whoever only looks at what is
# kept, as Tab in a shell does, needs no session.
_LAZY = {
    "Agent": "agents.agent",
    "Context": "tools.context",
    "DemoRule": "models.demo",
    "Fault": "agents.rescue_steps",
    "Policy": "primitives.policy",
    "Session": "session.session",
    "SessionSettings": "conversation.settings",
    "State": "primitives.state",
    "Storage": "storage.storage",
    "Swarm": "agents.agent",
    "SwarmError": "errors",
    "Tool": "tools.tool",
    "tool": "tools.tool",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
