"""Agents, log, context, turn: the chat itself. Prints nothing, reads no environment."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from swarmchat.swarm.agents import Agent, Swarm
    from swarmchat.swarm.demo_rules import DemoRule
    from swarmchat.swarm.errors import SwarmError
    from swarmchat.swarm.policy import Policy
    from swarmchat.swarm.rescue_steps import Fault
    from swarmchat.swarm.session import Session
    from swarmchat.swarm.session_settings import SessionSettings
    from swarmchat.swarm.state import State
    from swarmchat.swarm.storage import Storage
    from swarmchat.swarm.tool_context import Context
    from swarmchat.swarm.tools import Tool, tool

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
    "Agent": "agents",
    "Context": "tool_context",
    "DemoRule": "demo_rules",
    "Fault": "faults",
    "Policy": "policy",
    "Session": "session",
    "SessionSettings": "session_settings",
    "State": "state",
    "Storage": "storage",
    "Swarm": "agents",
    "SwarmError": "errors",
    "Tool": "tools",
    "tool": "tools",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
