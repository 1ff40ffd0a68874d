"""The commands of the program by name. Each is imported when it is used, all of them for ``--help``."""

from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from typing import Any

from swarmchat.cli.app.typer_app import Commands
from typer.main import get_command

PLACES = {
    "chat": "chat.commands:chat",
    "run": "chat.commands:run",
    "state": "inspection.commands:state",
    "storage": "inspection.storage_commands:storage_app",
    "memory": "inspection.commands:memory",
    "replay": "replay.command:replay",
    "operator": "operator.command:operator",
    "online": "inspection.commands:online",
    "init": "swarms.commands:init",
    "check": "swarms.commands:check",
    "doctor": "doctor.command:doctor",
    "completion": "completion.command:completion",
    "agents": "swarms.commands:agents_app",
    "tools": "swarms.commands:tools_app",
    "models": "models.commands:models_app",
    "mcp": "mcp.commands:mcp_app",
    "bans": "inspection.commands:bans_app",
    "sessions": "sessions.commands:sessions_app",
    "trust": "config.commands:trust",
    "config": "config.commands:config_app",
}
"""Where each command is: a module below ``swarmchat.cli``, and a function or a group of commands in it."""


class CommandTable(Mapping[str, Any]):
    """The commands as click has them. Building all of them would take a third of the time until the first prompt."""

    def __getitem__(self, name: str) -> Any:
        return _build(name)

    def __iter__(self) -> Iterator[str]:
        return iter(PLACES)

    def __len__(self) -> int:
        return len(PLACES)

    def __contains__(self, name: object) -> bool:
        return name in PLACES


@cache
def _build(name: str) -> Any:
    module, _, attribute = PLACES[name].partition(":")
    function = getattr(import_module(f"swarmchat.cli.{module}"), attribute)
    if isinstance(function, Commands):
        group = function
    else:
        group = Commands()
        group.command(name)(function)
    command = get_command(group)
    command.name = name
    return command
