"""Log in to MCP servers that require it, and log out."""

import asyncio
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from swarmchat.cli.environment import environment
from swarmchat.cli.errors import McpUnavailable, UsageError
from swarmchat.cli.mcp.listing import counted, find_servers
from swarmchat.cli.settings.mcp_servers import login_file
from swarmchat.cli.terminal.printing import as_line
from swarmchat.swarm.common.names import nearest
from swarmchat.swarm.mcp.connection import Connection
from swarmchat.swarm.mcp.login import TokenFile, login_flow
from swarmchat.swarm.mcp.server import McpServer

_SECONDS = 600.0
"""How long a login may take."""


async def log_in(flags: Mapping[str, Any], name: str) -> None:
    """Log in to the server ``name``: print an address to open, and store the tokens. Raises UsageError and McpError."""
    server = _server(flags, name)
    if server.has_authorization:
        raise UsageError(f"MCP server {name} has the header Authorization in its settings: no login is needed")
    tokens = TokenFile(login_file(name), server, environment())
    loop, is_typed = asyncio.get_running_loop(), sys.stdin is not None and sys.stdin.isatty()

    def show(address: str) -> None:
        print("  open this address in your browser, and log in there:", flush=True)
        print(as_line(address), flush=True)
        if is_typed:
            print("  if the browser is on another machine, paste the address of its last page:", flush=True)

    connection = Connection(replace(server, start_timeout=_SECONDS), environment())
    async with login_flow(tokens, show) as login:
        connection.login = login.auth

        def read_line() -> None:
            line = sys.stdin.readline()
            if not line:
                loop.remove_reader(sys.stdin)
            elif line.strip() and not login.take(line):
                print("  expected http://127.0.0.1:…/callback?code=…", flush=True)

        if is_typed:
            loop.add_reader(sys.stdin, read_line)
        try:
            tools = await connection.tools()
        finally:
            if is_typed:
                loop.remove_reader(sys.stdin)
            await connection.close()
    if connection.problem:
        raise McpUnavailable(f"{name}: {connection.problem}")
    if not tokens.has_tokens:
        print(as_line(f"{name} needs no login: {counted(len(tools), 'tool')}"))
        return
    print(as_line(f"logged in to {name}: {counted(len(tools), 'tool')}"))


async def log_out(flags: Mapping[str, Any], name: str) -> None:
    """Delete the tokens of the server ``name``. Raises UsageError if there are none."""
    path = login_file(name)
    if not path.exists():
        _server(flags, name)
        raise UsageError(f"not logged in to MCP server {name}")
    await asyncio.to_thread(path.unlink)
    print(as_line(f"logged out of {name}"))


def _server(flags: Mapping[str, Any], name: str) -> McpServer:
    servers = {server.name: server for server in find_servers(flags)}
    if name not in servers:
        raise UsageError(f"no MCP server {name!r}; {nearest(name, servers)}")
    if not servers[name].url:
        raise UsageError(f"MCP server {name} is a program, and only servers with a url need a login")
    return servers[name]
