"""Print MCP servers and their tools."""

import asyncio
import shlex
import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from swarmchat.cli.environment import environment
from swarmchat.cli.errors import McpUnavailable, UsageError
from swarmchat.cli.settings import wiring
from swarmchat.cli.settings.credentials import mask_url
from swarmchat.cli.settings.mcp_servers import logins_folder, mcp_servers
from swarmchat.cli.terminal.printing import as_line, print_json
from swarmchat.cli.terminal.sanitize import one_line
from swarmchat.swarm.common.names import nearest
from swarmchat.swarm.errors import McpError
from swarmchat.swarm.mcp.connection import Connection
from swarmchat.swarm.mcp.offers import Offers, Prompt
from swarmchat.swarm.mcp.server import McpServer, merged

NO_SERVERS = "no MCP servers: add one with swarmchat mcp add NAME -- COMMAND"
_WIDTH = 100
_ENTRIES = 10
"""How many resources and prompts of a server a list has that is not about this server only."""


async def show_servers(flags: Mapping[str, Any], as_json: bool) -> None:
    """Print the servers of the settings and of the swarm."""
    servers = find_servers(flags)
    if as_json:
        print_json([{"name": each.name, "starts": _starts(each), "approve": each.approve} for each in servers])
        return
    width = max((len(each.name) for each in servers), default=0)
    for each in servers:
        print(as_line(f"{each.name:<{width}}  {_starts(each)}  (approve: {each.approve})"))
    if not servers:
        print(f"  {NO_SERVERS}", file=sys.stderr)


async def show_tools(flags: Mapping[str, Any], names: list[str], as_json: bool) -> None:
    """Start the servers ``names``, or all, and print their tools. Raises McpUnavailable if one cannot be reached."""
    servers = {server.name: server for server in find_servers(flags)}
    if not servers:
        raise UsageError(NO_SERVERS)
    for name in names:
        if name not in servers:
            raise UsageError(f"no MCP server {name!r}; {nearest(name, servers)}")
    connections = [Connection(servers[name], environment()) for name in names or servers]
    for connection in connections:
        connection.logins = logins_folder()
    try:
        await asyncio.gather(*(each.tools() for each in connections))
        if as_json:
            print_json([await _as_json(Offers(each)) for each in connections])
        else:
            for each in connections:
                lines = [*await server_lines(Offers(each), entries=None), *log_lines(each)]
                print("\n".join(map(as_line, lines)))
        unreachable = [each.server.name for each in connections if not each.is_ready]
    finally:
        await asyncio.gather(*(each.close() for each in connections))
    if unreachable:
        raise McpUnavailable(f"cannot be reached: {', '.join(unreachable)}")


def find_servers(flags: Mapping[str, Any]) -> list[McpServer]:
    """Return the servers of the settings and of the swarm."""
    settings = wiring.apply_settings(flags)
    return merged(wiring.make_swarm(settings).mcp, mcp_servers(settings))


def _starts(server: McpServer) -> str:
    return mask_url(server.url) if server.url else shlex.join([server.command, *server.args])


async def server_lines(offers: Offers, entries: int | None = _ENTRIES) -> list[str]:
    """Describe a server, its tools, resources and prompts, a line each; of the latter two, ``entries`` at most."""
    connection = offers.connection
    name = connection.server.name
    if not connection.is_ready:
        return [f"{name}: {connection.state}"]
    lines = [_line(tool.name, tool.approve, tool.hint, tool.description) for tool in connection.listed]
    counts = [counted(len(lines), "tool")]
    try:
        resources, prompts = await offers.resources(), await offers.prompts()
    except McpError as error:
        return [f"{name}: {counts[0]}", *lines, *connection.notes, str(error)]
    for noun, rows in (
        ("resource", [_line(f"@{name}:{each.uri}", each.about) for each in resources]),
        ("prompt", [_line(f"/{name}:{each.name}", described(each)) for each in prompts]),
    ):
        if rows:
            counts.append(counted(len(rows), noun))
            lines += rows[:entries]
            if entries is not None and len(rows) > entries:
                lines.append(f"  … and {len(rows) - entries} more: /mcp {name} lists them")
    return [f"{name}: {', '.join(counts)}", *lines, *connection.notes]


def log_lines(connection: Connection) -> list[str]:
    """Return what the server has logged last."""
    return [f"  log · {line}" for line in connection.log]


def described(prompt: Prompt) -> str:
    """Return what a list says of a prompt: its arguments, and what it does."""
    arguments = ", ".join(each.name if each.required else f"[{each.name}]" for each in prompt.arguments)
    return " · ".join(filter(None, (arguments, prompt.about)))


def _line(*parts: str) -> str:
    return "  " + one_line(" · ".join(filter(None, parts)), _WIDTH)


def counted(count: int, noun: str) -> str:
    """Return the number with its noun."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


async def _as_json(offers: Offers) -> dict[str, Any]:
    connection = offers.connection
    resources = await offers.resources() if connection.is_ready else []
    prompts = await offers.prompts() if connection.is_ready else []
    return {
        "name": connection.server.name,
        "ready": connection.is_ready,
        "problem": connection.problem,
        "tools": [{**tool.for_record(), "approve": tool.approve} for tool in connection.listed],
        "resources": [asdict(each) for each in resources],
        "prompts": [asdict(each) for each in prompts],
        "log": list(connection.log),
    }
