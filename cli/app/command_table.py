"""The commands of the program, by name. Each is imported and built when it is asked for, all of them for ``--help``."""

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

from swarmchat.cli.app import help_examples
from swarmchat.cli.app.typer_app import Commands
from typer.main import get_command

PLACES = {
    "chat": "chat.commands:chat",
    "run": "chat.commands:run",
    "state": "inspection.commands:state",
    "storage": "inspection.commands:storage",
    "memory": "inspection.commands:memory",
    "replay": "replay.command:replay",
    "online": "inspection.online:online",
    "init": "swarms.commands:init",
    "doctor": "doctor.command:doctor",
    "completion": "completion.command:completion",
    "agents": "swarms.commands:agents_app",
    "tools": "swarms.commands:tools_app",
    "models": "models.commands:models_app",
    "bans": "inspection.bans:bans_app",
    "sessions": "sessions.commands:sessions_app",
    "config": "config.commands:config_app",
}
"""Where each command is: a module of this room, and in it a function, or a group of commands."""

_EXAMPLES = {"chat": help_examples.CHAT, "memory": help_examples.MEMORY, "init": help_examples.INIT}


class CommandTable(Mapping[str, Any]):
    """The commands as click has them. To build all would take as long as a third of the way to the first prompt."""

    def __init__(self) -> None:
        self._built: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._built:
            self._built[name] = _build(name)
        return self._built[name]

    def __iter__(self) -> Iterator[str]:
        return iter(PLACES)

    def __len__(self) -> int:
        return len(PLACES)

    def __contains__(self, name: object) -> bool:
        return name in PLACES


def _build(name: str) -> Any:
    module, _, attribute = PLACES[name].partition(":")
    found = getattr(import_module(f"swarmchat.cli.{module}"), attribute)
    if not isinstance(found, Commands):
        function, found = found, Commands()
        found.command(name, epilog=_EXAMPLES.get(name))(function)
    command = get_command(found)
    command.name = name
    return command
