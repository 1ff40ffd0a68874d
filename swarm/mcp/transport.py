"""How an MCP server is reached: as a program of this machine, or over HTTP."""

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from swarmchat.swarm.mcp.server import McpServer

if TYPE_CHECKING:
    import httpx2

_KEPT = 4096
"""Bytes of what a server wrote last on its standard error, kept for error messages."""

for _name in ("mcp", "client"):
    # Without a handler, Python would print what the SDK logs on the terminal.
    logging.getLogger(_name).addHandler(logging.NullHandler())


class ErrorOutput:
    """The standard error of a server: a pipe of which the end is kept."""

    def __init__(self) -> None:
        self._read, write = os.pipe()
        os.set_blocking(self._read, False)
        self.file = os.fdopen(write, "w")
        self._kept = b""
        asyncio.get_running_loop().add_reader(self._read, self._take)

    @property
    def text(self) -> str:
        """The end of what was written."""
        return self._kept.decode("utf-8", "replace")

    def _take(self) -> None:
        try:
            piece = os.read(self._read, 65536)
        except BlockingIOError:
            return
        self._kept = (self._kept + piece)[-_KEPT:]

    def close(self) -> None:
        """Close both ends."""
        asyncio.get_running_loop().remove_reader(self._read)
        self._take()
        os.close(self._read)
        self.file.close()


def program_transport(server: McpServer, environment: Mapping[str, str], errors: ErrorOutput) -> Any:
    """Return the SDK's transport to the program of ``server``. Raises DefinitionError."""
    from mcp.client.stdio import StdioServerParameters, stdio_client

    parameters = StdioServerParameters(
        command=server.expanded(server.command, environment),
        args=[server.expanded(each, environment) for each in server.args],
        env={name: server.expanded(value, environment) for name, value in server.env.items()},
        cwd=server.cwd,
        encoding_error_handler="replace",
    )
    return stdio_client(parameters, errlog=errors.file)


async def http_transport(
    stack: AsyncExitStack,
    server: McpServer,
    environment: Mapping[str, str],
    auth: "httpx2.Auth | None",
    refused: Callable[[], None],
) -> Any:
    """Return the SDK's transport to the address of ``server``; ``refused`` is called when it answers 401.

    Redirects to another host are not followed, so headers and tokens do not get there. Raises DefinitionError.
    """
    from mcp.client.streamable_http import streamable_http_client
    from mcp.shared._httpx_utils import create_mcp_http_client

    async def look_at(response: "httpx2.Response") -> None:
        if response.status_code == 401:
            refused()

    headers = {name: server.expanded(value, environment) for name, value in server.headers.items()}
    http = await stack.enter_async_context(create_mcp_http_client(headers, auth=auth))
    http.event_hooks = {"response": [look_at]}
    return streamable_http_client(server.expanded(server.url, environment), http_client=http)
