"""The MCP servers of a swarm, started in parallel and shared by its sessions."""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from swarmchat.swarm.common.bounds import MAX_ANSWER
from swarmchat.swarm.common.names import nearest
from swarmchat.swarm.errors import McpError
from swarmchat.swarm.mcp.server import McpServer

if TYPE_CHECKING:
    from swarmchat.swarm.mcp.connection import Connection
    from swarmchat.swarm.mcp.offers import Offers
    from swarmchat.swarm.tools.external_tool import ExternalTool


class McpServers:
    """The servers of a swarm. They run from the first ``tools`` or ``start`` until the last user has released them."""

    def __init__(self, servers: Iterable[McpServer]) -> None:
        self._servers = [*servers]
        self._environment: dict[str, str] = {}
        self._logins: Path | None = None
        self._max_message = MAX_ANSWER
        self._users = 0
        self._told: set[str] = set()

    @cached_property
    def connections(self) -> "dict[str, Connection]":
        """The connections to the servers, by name."""
        # Loaded with the first use: the prompt of a chat does not wait for it.
        from swarmchat.swarm.mcp.connection import Connection

        connections = {server.name: Connection(server, self._environment) for server in self._servers}
        for connection in connections.values():
            connection.logins, connection.max_message = self._logins, self._max_message
        return connections

    @property
    def _made(self) -> "Collection[Connection]":
        """The connections, or none if none was ever needed."""
        return self.connections.values() if "connections" in vars(self) else ()

    @cached_property
    def offers(self) -> "dict[str, Offers]":
        """The resources and prompts of the servers, by name."""
        from swarmchat.swarm.mcp.offers import Offers

        return {name: Offers(connection) for name, connection in self.connections.items()}

    def configure(self, environment: Mapping[str, str], logins: Path | None, max_message: int = MAX_ANSWER) -> None:
        """Let definitions of servers name variables of ``environment``, and use the tokens in the folder ``logins``.

        A message of a server may have ``max_message`` bytes.
        """
        self._environment.update(environment)
        self._logins, self._max_message = logins, max_message
        for connection in self._made:
            connection.logins, connection.max_message = logins, max_message

    def acquire(self) -> None:
        """Count one user more."""
        self._users += 1

    async def release(self) -> None:
        """Count one user less; without any, close all servers."""
        self._users -= 1
        if self._users <= 0:
            await asyncio.gather(*(each.close() for each in self._made))

    @property
    def starting(self) -> list[str]:
        """The names of the servers that have not answered yet."""
        return [name for name, connection in self.connections.items() if connection.is_starting]

    def start(self, patterns: Sequence[str]) -> None:
        """Start the servers whose tools ``patterns`` name, in the background."""
        for connection in self._needed(patterns):
            connection.start()

    async def tools(self, patterns: Sequence[str]) -> "list[ExternalTool]":
        """Return the tools that match ``patterns``, such as ``files/*``. A server that cannot be reached has none."""
        listed = await asyncio.gather(*(each.tools() for each in self._needed(patterns)))
        return [tool for tools in listed for tool in tools if matches(tool.name, patterns)]

    def take_notices(self, patterns: Sequence[str]) -> list[str]:
        """Return what the user should know of the servers, each message once."""
        messages = [
            f"agent tools {pattern!r}: no MCP server {server!r}; {nearest(server, self.connections)}"
            for pattern in patterns
            for server in [_server_of(pattern)]
            if not any(fnmatchcase(name, server) for name in self.connections)
        ]
        for connection in self._needed(patterns):
            if connection.problem:
                messages.append(f"MCP server {connection.server.name} is not available: {connection.problem}")
            messages += connection.notes
        new = [message for message in messages if message not in self._told]
        self._told.update(new)
        return new

    def check(self, patterns: Sequence[str]) -> None:
        """Raise McpError if a server whose tools ``patterns`` name is not there."""
        for connection in self._needed(patterns):
            if connection.problem:
                raise McpError(
                    f"MCP server {connection.server.name} is not available: {connection.problem}; a replay that runs "
                    "tools compares its tools: start it, or replay with --mode verify"
                )

    def _needed(self, patterns: Sequence[str]) -> "list[Connection]":
        servers = [_server_of(pattern) for pattern in patterns]
        return [
            connection
            for name, connection in self.connections.items()
            if any(fnmatchcase(name, server) for server in servers)
        ]


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether a tool ``SERVER/TOOL`` matches one of ``patterns``."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _server_of(pattern: str) -> str:
    return pattern.partition("/")[0]
