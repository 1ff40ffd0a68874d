"""Agents, log, context, turn: the chat itself. Prints nothing, reads no environment."""

from swarmchat.swarm.agents import Agent
from swarmchat.swarm.errors import SwarmError
from swarmchat.swarm.session import Session, SessionSettings

__all__ = ["Agent", "Session", "SessionSettings", "SwarmError"]
