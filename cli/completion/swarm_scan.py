"""Names in a swarm, for Tab: of the swarms that come with the program, and of TOML files.

Nothing of the user's is run, so swarms written in Python have no names here: Tab must not start a program.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from swarmchat.swarm.agents.agent import Swarm
from swarmchat.swarm.agents.loader import EXAMPLES, TOML


@dataclass
class SwarmNames:
    """Names of what a swarm has, each with a few words about it."""

    name: str = ""
    agents: Mapping[str, str] = field(default_factory=dict)
    tools: Mapping[str, str] = field(default_factory=dict)
    states: Mapping[str, str] = field(default_factory=dict)
    storages: Mapping[str, str] = field(default_factory=dict)
    policies: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """JSON schemas of the tools' arguments, by the tools' names. Empty for TOML: only a program knows them."""


def swarm_names(swarm: str, folder: Path) -> SwarmNames:
    """Return the names in ``swarm``, a value of ``-S``; none for swarms in Python. Raises OSError and ValueError."""
    if swarm in EXAMPLES:
        return _names_of(import_module(f"swarmchat.examples.{swarm}").swarm)
    path = (folder / swarm).expanduser()
    if path.is_dir():
        path /= TOML
    # Reading a pipe or a device would block.
    if path.suffix != ".toml" or not path.is_file():
        return SwarmNames()
    return _names_in(tomllib.loads(path.read_text("utf-8")), path)


def _names_of(swarm: Swarm) -> SwarmNames:
    signatures = {tool.name: tool.signature for agent in swarm.agents for tool in agent.own_tools}
    return SwarmNames(
        swarm.name,
        agents={agent.name: agent.description for agent in swarm.agents},
        tools={name: each.description.split("\n")[0] for name, each in signatures.items()},
        states={state.name: "" for state in swarm.states},
        storages={storage.name: "" for storage in swarm.storages},
        policies={policy.name: "" for policy in swarm.policies},
        parameters={name: each.parameters for name, each in signatures.items()},
    )


def _names_in(content: Mapping[str, Any], path: Path) -> SwarmNames:
    agents = content.get("agents", {})
    return SwarmNames(
        str(content.get("name", path.parent.resolve().name)),
        agents={name: str(agent.get("description", "")) for name, agent in agents.items()},
        tools={name: "" for agent in agents.values() for name in agent.get("tools", ())},
        states=dict.fromkeys(content.get("states", {}), ""),
        storages=dict.fromkeys(content.get("storages", {}), ""),
        policies=dict.fromkeys(content.get("policies", {}), ""),
    )
