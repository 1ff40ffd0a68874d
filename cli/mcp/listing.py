"""Print MCP servers and their tools."""

import asyncio
import shlex
import sys
from collections.abc import Mapping
from typing import Any

from swarmchat.cli.environment import environment
from swarmchat.cli.errors import McpUnavailable, UsageError
from swarmchat.cli.settings import wiring
from swarmchat.cli.settings.credentials import mask_url
from swarmchat.cli.settings.mcp_servers import mcp_servers
from swarmchat.cli.terminal.printing import as_line, print_json
from swarmchat.cli.terminal.sanitize import one_line
from swarmchat.swarm.common.names import nearest
from swarmchat.swarm.mcp.connection import Connection
from swarmchat.swarm.mcp.server import McpServer, merged

NO_SERVERS = "no MCP servers: add one with swarmchat mcp add NAME -- COMMAND"
_WIDTH = 100


async def show_servers(flags: Mapping[str, Any], as_json: bool) -> None:
    """Print the servers of the settings and of the swarm."""
    servers = _servers(flags)
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
    servers = {server.name: server for server in _servers(flags)}
    if not servers:
        raise UsageError(NO_SERVERS)
    for name in names:
        if name not in servers:
            raise UsageError(f"no MCP server {name!r}; {nearest(name, servers)}")
    connections = [Connection(servers[name], environment()) for name in names or servers]
    try:
        await asyncio.gather(*(each.tools() for each in connections))
        if as_json:
            print_json([_as_json(each) for each in connections])
        else:
            for each in connections:
                print("\n".join(map(as_line, server_lines(each))))
        unreachable = [each.server.name for each in connections if not each.is_ready]
    finally:
        await asyncio.gather(*(each.close() for each in connections))
    if unreachable:
        raise McpUnavailable(f"cannot be reached: {', '.join(unreachable)}")


def _servers(flags: Mapping[str, Any]) -> list[McpServer]:
    settings = wiring.apply_settings(flags)
    return merged(wiring.make_swarm(settings).mcp, mcp_servers(settings))


def _starts(server: McpServer) -> str:
    return mask_url(server.url) if server.url else shlex.join([server.command, *server.args])


def server_lines(connection: Connection) -> list[str]:
    """Describe a server and its tools, a line each."""
    name = connection.server.name
    if not connection.is_ready:
        return [f"{name}: {connection.problem or 'not started yet'}"]
    tools = [
        "  " + one_line(" · ".join(filter(None, [tool.name, tool.approve, tool.hint, tool.description])), _WIDTH)
        for tool in connection.listed
    ]
    return [f"{name}: {len(tools)} tools", *tools, *connection.notes]


def _as_json(connection: Connection) -> dict[str, Any]:
    return {
        "name": connection.server.name,
        "ready": connection.is_ready,
        "problem": connection.problem,
        "tools": [{**tool.for_record(), "approve": tool.approve} for tool in connection.listed],
    }
