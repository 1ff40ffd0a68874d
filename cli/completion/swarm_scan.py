"""Names in the swarm on the command line, from built-in swarms and TOML files.

Swarms written in Python are not read: Tab must not run the user's program.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from swarmchat.cli.completion.command_line import PartialCommandLine
from swarmchat.swarm.agents.loader import EXAMPLES, TOML
from swarmchat.swarm.common.files import read_text_file

Names = Mapping[str, str]
"""Names with their descriptions."""


@dataclass
class SwarmNames:
    """The names that a swarm declares."""

    name: str = ""
    agents: Names = field(default_factory=dict)
    tools: Names = field(default_factory=dict)
    storages: Names = field(default_factory=dict)
    policies: Names = field(default_factory=dict)
    operators: Names = field(default_factory=dict)
    parameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """JSON schemas of the tools' arguments, by tool name. Empty for TOML: only a program knows them."""
    namespace: str = ""


def swarm_of(typed: PartialCommandLine) -> SwarmNames:
    """Return the names in the swarm that would answer."""
    settings = typed.settings()
    if settings.swarm is None:
        return SwarmNames("assistant", agents={"assistant": "the plain assistant"})
    return swarm_names(settings.swarm, Path())


def swarm_names(swarm: str, folder: Path) -> SwarmNames:
    """Return the names in ``swarm``, a value of ``-S``; none for swarms in Python. Raises OSError and ValueError."""
    if swarm in EXAMPLES:
        example = import_module(f"swarmchat.examples.{swarm}").swarm
        signatures = {tool.name: tool.signature for agent in example.agents for tool in agent.own_tools}
        return SwarmNames(
            example.name,
            agents={agent.name: agent.description for agent in example.agents},
            tools={name: each.description.split("\n")[0] for name, each in signatures.items()},
            storages={storage.name: "" for storage in example.storages},
            policies={policy.name: "" for policy in example.policies},
            operators={operator.name: operator.description for operator in example.operators},
            parameters={name: each.parameters for name, each in signatures.items()},
        )
    path = (folder / swarm).expanduser()
    if path.is_dir():
        path /= TOML
    # Reading a pipe or a device would block.
    if path.suffix != ".toml" or not path.is_file():
        return SwarmNames()
    content = tomllib.loads(read_text_file(path))
    agents = content.get("agents", {})
    return SwarmNames(
        str(content.get("name", path.parent.resolve().name)),
        agents={name: str(agent.get("description", "")) for name, agent in agents.items()},
        tools={name: "" for agent in agents.values() for name in agent.get("tools", ())},
        storages=dict.fromkeys(content.get("storages", {}), ""),
        policies=dict.fromkeys(content.get("policies", {}), ""),
        operators=dict.fromkeys(content.get("operators", {}), ""),
        namespace=str(content.get("namespace", "")),
    )
