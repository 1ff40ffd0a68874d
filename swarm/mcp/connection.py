"""One running MCP server: start it, list its tools, call them, and notice when it is gone."""

import asyncio
import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from swarmchat.swarm.common.encoding import NestingError
from swarmchat.swarm.errors import DefinitionError
from swarmchat.swarm.mcp.server import McpServer
from swarmchat.swarm.mcp.texts import is_tool_name, result_images, result_text, safe_schema, visible
from swarmchat.swarm.tools.context import Context, ToolFailure, ToolTimeoutError
from swarmchat.swarm.tools.external_tool import ExternalTool
from swarmchat.swarm.version import VERSION

if TYPE_CHECKING:
    from mcp.client.client import Client

MAX_TOOLS = 200
"""How many tools of one server are taken."""
STALE = 30.0
"""Seconds after which a server is asked again for its tools, which also shows whether it is still there."""
_ERRORS = 4096
"""Bytes of what a server wrote last on its standard error, kept for error messages."""


class McpFailure(Exception):
    """An MCP server cannot be started, or is gone. The message names the server."""


class Connection:
    """An MCP server. ``start`` it, await ``tools``, and ``close`` it; a server that was lost is started again.

    The SDK's connection must be closed by the task that opened it, so it lives in a task of its own.
    """

    def __init__(self, server: McpServer, environment: Mapping[str, str]) -> None:
        """``environment`` holds the variables that the definition of ``server`` may name."""
        self.server = server
        self._environment = environment
        self.problem = ""
        """Why there is no connection; empty if there is one, or if none was made yet."""
        self.notes: list[str] = []
        """What the user should know of the server's tools."""
        self._tools: tuple[ExternalTool, ...] = ()
        self._client: Client | None = None
        self._task: asyncio.Task[None] | None = None
        self._settled = asyncio.Event()
        """Set once the server has started, or could not."""
        self._ended = asyncio.Event()
        """Set to end the connection."""
        self._listed_at = 0.0
        self._gave_up = False
        """Whether the last start failed: requests do not wait for another one."""
        self._errors = ""
        """The end of what the server wrote on its standard error."""

    @property
    def listed(self) -> tuple[ExternalTool, ...]:
        """The tools as they were listed last; none without a connection."""
        return self._tools if self.is_ready else ()

    @property
    def is_ready(self) -> bool:
        """Whether the server is there, as far as is known."""
        return self._client is not None

    def start(self) -> None:
        """Start the server, unless it runs."""
        if self._task is None or self._task.done():
            self.problem, self._gave_up = "", False
            self._settled, self._ended = asyncio.Event(), asyncio.Event()
            self._task = asyncio.create_task(self._run(), name=f"mcp-{self.server.name}")

    async def close(self) -> None:
        """End the connection, and the server if it was started here."""
        self._ended.set()
        if self._task is not None:
            # Its errors are in ``problem``.
            await asyncio.wait([self._task])
            self._task = None

    async def tools(self) -> tuple[ExternalTool, ...]:
        """Return the tools of the server, which is started if need be; none if it cannot be reached.

        A start that failed is tried again by ``start`` only: each request would wait for it.
        """
        if not self._gave_up:
            self.start()
        await self._settled.wait()
        client = self._client
        if client is not None and asyncio.get_running_loop().time() - self._listed_at > STALE:
            try:
                await asyncio.wait_for(self._list(client), self.server.start_timeout)
            except Exception as error:
                await self._lose(client, error)
                self.start()
                await self._settled.wait()
        return self.listed

    async def call(self, name: str, ctx: Context, arguments: Mapping[str, Any]) -> str:
        """Call the server's tool ``name`` and return its result as text. Raises ToolFailure and ToolTimeoutError."""
        from mcp.shared.exceptions import MCPError
        from mcp_types import CONNECTION_CLOSED, REQUEST_TIMEOUT

        await self.tools()
        client = self._client
        if client is None:
            raise ToolFailure(f"the MCP server {self.server.name} is not there: {self.problem}")
        try:
            result = await client.call_tool(name, dict(arguments), read_timeout_seconds=self.server.timeout)
        except MCPError as error:
            if error.code == REQUEST_TIMEOUT:
                raise ToolTimeoutError(f"did not finish within {self.server.timeout:g} s") from error
            if error.code == CONNECTION_CLOSED:
                await self._lose(client, error)
                raise ToolFailure(
                    f"the MCP server {self.server.name} ended during the call, which may have taken effect"
                ) from error
            raise ToolFailure(f"{name}: {visible(error.message)}") from error
        images = [] if result.is_error else list(result_images(result, name))
        text = visible(result_text(result, without=[block for block, _ in images]), limit=10**9)
        if result.is_error:
            raise ToolFailure(text or "it failed and gave no reason")
        for _, image in images:
            ctx.show(image)
        return text

    def forget_tools(self) -> None:
        """Ask for the tools again before the next request."""
        self._listed_at = float("-inf")

    async def _run(self) -> None:
        try:
            async with AsyncExitStack() as stack:
                # Not anyio's timeout: its scope would have to end before those that stay open.
                async with asyncio.timeout(self.server.start_timeout):
                    errors = await stack.enter_async_context(self._error_output())
                    client = await self._open(stack, errors)
                    await self._list(client)
                self._client = client
                self._settled.set()
                await self._follow(client)
        except BaseException as error:
            if self._client is None:
                self.problem, self._gave_up = self._reason(error, self._errors), True
            if not isinstance(error, Exception | BaseExceptionGroup):
                raise
        finally:
            self._client = None
            self._settled.set()

    async def _open(self, stack: AsyncExitStack, errors: "_ErrorOutput") -> "Client":
        from mcp.client.client import Client
        from mcp_types import Implementation

        transport = await self._transport(stack, errors)
        client = Client(
            transport,
            client_info=Implementation(name="swarmchat", version=VERSION),
            message_handler=self._receive,
            cache=None,
        )
        return await stack.enter_async_context(client)

    async def _transport(self, stack: AsyncExitStack, errors: "_ErrorOutput") -> Any:
        server, environment = self.server, self._environment
        if server.url:
            from mcp.client.streamable_http import streamable_http_client
            from mcp.shared._httpx_utils import create_mcp_http_client

            headers = {name: server.expanded(value, environment) for name, value in server.headers.items()}
            http = await stack.enter_async_context(create_mcp_http_client(headers))
            return streamable_http_client(server.expanded(server.url, environment), http_client=http)
        from mcp.client.stdio import StdioServerParameters, stdio_client

        parameters = StdioServerParameters(
            command=server.expanded(server.command, environment),
            args=[server.expanded(each, environment) for each in server.args],
            env={name: server.expanded(value, environment) for name, value in server.env.items()},
            cwd=server.cwd,
            encoding_error_handler="replace",
        )
        return stdio_client(parameters, errlog=errors.file)

    async def _list(self, client: "Client") -> None:
        found: dict[str, ExternalTool] = {}
        self.notes = []
        cursor, left_out = None, 0
        while True:
            page = await client.list_tools(cursor=cursor)
            for each in page.tools:
                tool = self._tool(each)
                if tool is not None and len(found) < MAX_TOOLS:
                    found[tool.name] = tool
                left_out += tool is not None and tool.name not in found
            cursor = page.next_cursor
            if cursor is None or left_out:
                break
        if left_out:
            self.notes.append(f"MCP server {self.server.name} has more than {MAX_TOOLS} tools: the first are taken")
        self._tools = tuple(found.values())
        self._listed_at = asyncio.get_running_loop().time()

    def _tool(self, listed: Any) -> ExternalTool | None:
        """Return a tool as the server lists it; ``None``, with a note, if it cannot be offered."""
        where = f"MCP server {self.server.name}: the tool {visible(listed.name, 60)!r} is left out"
        if not is_tool_name(listed.name):
            self.notes.append(f"{where}: its name is not one that the protocol allows")
            return None
        try:
            schema = safe_schema(listed.input_schema)
        except (NestingError, ValueError) as error:
            self.notes.append(f"{where}: {error}")
            return None
        notes = listed.annotations
        read_only = bool(notes and notes.read_only_hint)
        approve = self.server.approve
        hints = ["read-only" if read_only else "may delete" if notes and notes.destructive_hint else ""]
        return ExternalTool(
            f"{self.server.name}/{listed.name}",
            partial(_call, self, listed.name),
            approve=("auto" if read_only else "ask") if approve == "read-only" else approve,
            # The server's own limit comes first, and tells it to stop.
            timeout=self.server.timeout + 5,
            effects=not read_only,
            description=visible(listed.description or listed.title or ""),
            parameters=schema,
            hint=", ".join(filter(None, hints)),
        )

    async def _follow(self, client: "Client") -> None:
        """Notice changes of the list of tools until the connection is to be ended."""
        from mcp.client.subscriptions import ListenNotSupportedError, SubscriptionLost
        from mcp.shared.exceptions import MCPError

        async def listen() -> None:
            # Servers of before 2026 send notifications instead, and some newer ones offer neither.
            with suppress(ListenNotSupportedError, SubscriptionLost, MCPError, TimeoutError):
                async with client.listen(tools_list_changed=True) as changes:
                    async for _ in changes:
                        self.forget_tools()

        listening = asyncio.create_task(listen())
        try:
            await self._ended.wait()
        finally:
            listening.cancel()
            await asyncio.wait([listening])

    async def _receive(self, message: Any) -> None:
        if getattr(message, "method", "") == "notifications/tools/list_changed":
            self.forget_tools()

    @asynccontextmanager
    async def _error_output(self) -> AsyncGenerator["_ErrorOutput", None]:
        """Return a standard error for the server, whose end is kept for error messages."""
        output = _ErrorOutput()
        try:
            yield output
        finally:
            self._errors = output.close()

    async def _lose(self, client: "Client", error: BaseException) -> None:
        """Give the connection of ``client`` up after ``error``, unless another call has done so."""
        if self._client is client:
            await self.close()
            self.problem = self._reason(error, "")

    def _reason(self, error: BaseException, said: str) -> str:
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        if isinstance(error, TimeoutError):
            reason = f"it did not answer within {self.server.start_timeout:g} s"
        elif isinstance(error, ImportError):
            reason = "MCP servers need an extra: pip install 'swarmchat[mcp]'"
        elif isinstance(error, FileNotFoundError):
            reason = f"there is no program {self.server.command!r}: install it, or give its path"
        elif isinstance(error, DefinitionError):
            reason = str(error)
        else:
            reason = visible(str(error) or type(error).__name__, 300)
        last = visible(said.strip().splitlines()[-1], 200) if said.strip() else ""
        return f"{reason}; it wrote: {last}" if last else reason


async def _call(connection: Connection, name: str, ctx: Context, arguments: Mapping[str, Any]) -> str:
    return await connection.call(name, ctx, arguments)


class _ErrorOutput:
    """The standard error of a server: a pipe of which the end is kept."""

    def __init__(self) -> None:
        self._read, write = os.pipe()
        os.set_blocking(self._read, False)
        self.file = os.fdopen(write, "w")
        self._kept = b""
        asyncio.get_running_loop().add_reader(self._read, self._take)

    def _take(self) -> None:
        try:
            piece = os.read(self._read, 65536)
        except BlockingIOError:
            return
        self._kept = (self._kept + piece)[-_ERRORS:]

    def close(self) -> str:
        """Close both ends; return the end of what was written."""
        asyncio.get_running_loop().remove_reader(self._read)
        self._take()
        os.close(self._read)
        self.file.close()
        return self._kept.decode("utf-8", "replace")
