"""Add and remove MCP servers in the user's settings file."""

from collections.abc import MutableMapping
from typing import Any

from swarmchat.cli.config.edit import edit_file, own_file
from swarmchat.cli.errors import UsageError
from swarmchat.cli.settings.mcp_servers import login_file
from swarmchat.cli.terminal.printing import as_line
from swarmchat.swarm.common.names import nearest
from swarmchat.swarm.errors import DefinitionError
from swarmchat.swarm.mcp.server import read_server


async def add_server(
    name: str, command: list[str], fields: dict[str, Any], *, env: list[str], headers: list[str], approve: str
) -> None:
    """Write the table of the server ``name``, in place of one that it may have. Raises UsageError and ConfigError.

    ``fields`` has the keys that are options of the command.
    """
    if command:
        fields |= {"command": command[0], "args": command[1:]}
    for option, key, pairs in (("--env", "env", env), ("--header", "headers", headers)):
        if pairs:
            fields[key] = dict(_pair(option, pair) for pair in pairs)
    if approve != "ask":
        fields["approve"] = approve
    try:
        read_server(name, fields)
    except DefinitionError as error:
        raise UsageError(str(error)) from error

    def change(settings: MutableMapping[str, Any]) -> None:
        _tables(settings)[name] = {key: value for key, value in fields.items() if value != []}

    path = own_file()
    edit_file(path, change)
    print(as_line(f"{path}: [mcp.{name}] is set; try it with swarmchat mcp test {name}"))


async def remove_server(name: str) -> None:
    """Remove the table of the server ``name``. Raises UsageError if there is none, and ConfigError."""
    path = own_file()

    def change(settings: MutableMapping[str, Any]) -> None:
        tables = settings.get("mcp", {})
        if name not in tables:
            raise UsageError(f"{path} has no MCP server {name!r}; {nearest(name, tables)}")
        del tables[name]
        if not tables:
            del settings["mcp"]

    edit_file(path, change)
    login_file(name).unlink(missing_ok=True)
    print(as_line(f"{path}: [mcp.{name}] is no longer set"))


def _tables(settings: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    from tomlkit import table

    if "mcp" not in settings:
        settings["mcp"] = table(is_super_table=True)
    tables: MutableMapping[str, Any] = settings["mcp"]
    return tables


def _pair(option: str, text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageError(f"{option} is {text!r}, expected NAME=VALUE")
    return name.strip(), value
