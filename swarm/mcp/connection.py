"""One running MCP server: start it, list its tools, call them, and notice when it is gone."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swarmchat.swarm.common.bounds import MAX_ANSWER
from swarmchat.swarm.errors import DefinitionError, McpError
from swarmchat.swarm.mcp.login import TokenFile, login_problem, provider
from swarmchat.swarm.mcp.process import ErrorOutput, program_transport
from swarmchat.swarm.mcp.questions import Questions
from swarmchat.swarm.mcp.server import McpServer
from swarmchat.swarm.mcp.texts import described, is_tool_name, result_images, result_text, safe_schema, visible
from swarmchat.swarm.mcp.transport import checked, http_transport
from swarmchat.swarm.tools.context import Context, ToolFailure
from swarmchat.swarm.version import VERSION

if TYPE_CHECKING:
    import httpx2
    from mcp.client.client import Client
    from mcp_types import LoggingMessageNotificationParams
    from swarmchat.swarm.tools.external_tool import ExternalTool

MAX_TOOLS = 200
"""How many tools of one server are taken."""
STALE = 30.0
"""Seconds after which a server is asked again for its tools, which also shows whether it is still there."""
_CLOSED = "Connection closed"
"""What the SDK says of a connection that ended without a reason."""
_SSE_LIMIT = "byte limit"
"""What the SDK says of an event of many lines that is too large."""
_ONE_OF = {"tools": "tool", "prompts": "prompt", "resources": "resource", "resourceTemplates": "template"}
_MAX_NOTES = 5
"""How many of the entries that a server should not have listed are named."""
_LOG = 100
"""How many of a server's last log messages are kept."""


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
        self.log: deque[str] = deque(maxlen=_LOG)
        """The last log messages of the server."""
        self.revision = 0
        """Counts the times at which the lists of what the server offers may have changed."""
        self._questions = Questions(server)
        self.max_message = MAX_ANSWER
        """The most bytes of a message of the server."""
        self._oversized = False
        """Whether the server has sent a larger one."""
        self.logins: Path | None = None
        """The folder of the files with tokens for servers that want a login."""
        self.login: httpx2.Auth | None = None
        """Authenticates requests in place of these tokens, during a login."""
        self._refused = False
        """Whether the server has answered that a login is missing."""
        self._tools: tuple[ExternalTool, ...] = ()
        self._client: Client | None = None
        self._task: asyncio.Task[None] | None = None
        self._settled = asyncio.Event()
        """Set once the server has started, or could not."""
        self._ended = asyncio.Event()
        """Set to end the connection."""
        self._listed_at = 0.0
        self._listed_revision = 0
        self._gave_up = False
        """Whether the last start failed: requests do not wait for another one."""
        self._output: ErrorOutput | None = None
        """What the server writes on its standard error."""

    @property
    def listed(self) -> "tuple[ExternalTool, ...]":
        """The tools as they were listed last; none without a connection."""
        return self._tools if self.is_ready else ()

    @property
    def is_ready(self) -> bool:
        """Whether the server is there, as far as is known."""
        return self._client is not None

    @property
    def is_starting(self) -> bool:
        """Whether the server has been started and has not answered yet."""
        return self._task is not None and not self._settled.is_set()

    @property
    def state(self) -> str:
        """Why there are no tools, if the server is not there."""
        return self.problem or ("starting" if self.is_starting else "not started yet")

    @property
    def error_lines(self) -> list[str]:
        """The last lines that the server wrote on its standard error."""
        text = self._output.text if self._output else ""
        return [visible(line, 300) for line in text.strip().splitlines()[-_LOG:]]

    def start(self) -> None:
        """Start the server, unless it runs."""
        if self._task is None or self._task.done():
            self.problem, self._gave_up = "", False
            self.revision += 1
            self._settled, self._ended = asyncio.Event(), asyncio.Event()
            self._task = asyncio.create_task(self._run(), name=f"mcp-{self.server.name}")

    async def close(self) -> None:
        """End the connection, and the server if it was started here."""
        self._ended.set()
        if self._task is not None:
            # Its errors are in ``problem``.
            await asyncio.wait([self._task])
            self._task = None

    async def tools(self) -> "tuple[ExternalTool, ...]":
        """Return the tools of the server, which is started if need be; none if it cannot be reached.

        A start that failed is tried again by ``start`` only: each request would wait for it.
        """
        if not self._gave_up:
            self.start()
        await self._settled.wait()
        client = self._client
        if client is not None and self._is_stale:
            try:
                await asyncio.wait_for(self._list(client), self.server.start_timeout)
            except Exception as error:
                await self._lose(client, error)
                self.start()
                await self._settled.wait()
        return self.listed

    async def client(self) -> "Client":
        """Return the SDK's client of the server, which is started if need be. Raises McpError."""
        await self.tools()
        if self._client is None:
            raise McpError(f"MCP server {self.server.name} is not available: {self.problem}")
        return self._client

    async def call(self, name: str, ctx: Context, arguments: Mapping[str, Any]) -> str:
        """Call the server's tool ``name`` and return its result as text. Raises ToolFailure.

        A call that is cancelled, as by its timeout, is cancelled at the server, too.
        """
        from mcp.shared.exceptions import MCPError
        from mcp_types import CONNECTION_CLOSED, PARSE_ERROR

        async def show_progress(progress: float, total: float | None, message: str | None) -> None:
            counted = f"{progress:g} of {total:g}" if total else f"{progress:g}"
            ctx.report(visible(f"{counted}: {message}" if message else counted, 100))

        try:
            client = await self.client()
        except McpError as error:
            raise ToolFailure(str(error)) from error
        try:
            with self._questions.during(ctx):
                result = await client.call_tool(name, dict(arguments), progress_callback=show_progress)
        except MCPError as error:
            if error.code == CONNECTION_CLOSED:
                await self._lose(client, error)
                why = self.reason(error)
                raise ToolFailure(
                    f"the MCP server {self.server.name} ended during the call, which may have taken effect"
                    + ("" if why == _CLOSED else f": {why}")
                ) from error
            is_ours = self._refused or error.code == PARSE_ERROR
            why = self.reason(error) if is_ours else visible(error.message)
            raise ToolFailure(f"{name}: {why}") from error
        except Exception as error:
            # Such as a result that does not fit the server's own schema.
            raise ToolFailure(f"{name}: {self.reason(error)}") from error
        images = [] if result.is_error else list(result_images(result, name))
        text = visible(result_text(result, without=[block for block, _ in images]), limit=10**9)
        if result.is_error:
            raise ToolFailure(text or "it failed and gave no reason")
        for _, image in images:
            ctx.show(image)
        return text

    @property
    def _is_stale(self) -> bool:
        """Whether the list of tools is to be asked for before the next request."""
        age = asyncio.get_running_loop().time() - self._listed_at
        return age > STALE or self._listed_revision != self.revision

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
                self.problem, self._gave_up = self.reason(error, "\n".join(self.error_lines)), True
            if not isinstance(error, Exception | BaseExceptionGroup):
                raise
        finally:
            self._client = None
            self._settled.set()

    async def _open(self, stack: AsyncExitStack, errors: ErrorOutput) -> "Client":
        from mcp.client.client import Client
        from mcp_types import Implementation

        transport = await self._transport(stack, errors)
        client: Client = Client(
            checked(transport, lambda: client.protocol_version, self.leave_out),
            client_info=Implementation(name="swarmchat", version=VERSION),
            message_handler=self._receive,
            logging_callback=self._keep_message,
            log_level="info",
            elicitation_callback=self._questions.elicit,
            sampling_callback=None if self.server.sampling == "deny" else self._questions.sample,
            cache=None,
        )
        return await stack.enter_async_context(client)

    async def _transport(self, stack: AsyncExitStack, errors: ErrorOutput) -> Any:
        server, environment = self.server, self._environment
        self._refused = self._oversized = False

        def note_size() -> None:
            self._oversized = True

        def note_refusal() -> None:
            self._refused = True

        if not server.url:
            return program_transport(server, environment, errors, self.max_message, note_size)

        auth = self.login
        if auth is None and self.logins is not None and not server.has_authorization:
            tokens = TokenFile(self.logins / f"{server.name}.json", server, environment)
            auth = provider(tokens) if tokens.has_tokens else None
        return await http_transport(stack, server, environment, auth, self.max_message, note_refusal)

    async def _list(self, client: "Client") -> None:
        tools: dict[str, ExternalTool] = {}
        revision, self.notes = self.revision, []
        cursor, has_more = None, False
        while not has_more:
            page = await client.list_tools(cursor=cursor)
            for each in page.tools:
                has_more = len(tools) == MAX_TOOLS
                if has_more:
                    break
                if tool := self._tool(each):
                    tools[tool.name] = tool
            cursor = page.next_cursor
            if cursor is None:
                break
        if has_more:
            self.notes.append(f"MCP server {self.server.name} has more than {MAX_TOOLS} tools: only the first are used")
        self._tools = tuple(tools.values())
        self._listed_at, self._listed_revision = asyncio.get_running_loop().time(), revision

    def _tool(self, listed: Any) -> "ExternalTool | None":
        """Return a tool as the server lists it; ``None``, with a note, if it cannot be offered."""
        if not is_tool_name(listed.name):
            self.leave_out("tools", listed.name, "its name is not one that the protocol allows")
            return None
        try:
            schema = safe_schema(listed.input_schema)
        except ValueError as error:
            self.leave_out("tools", listed.name, error)
            return None
        notes = listed.annotations
        read_only = bool(notes and notes.read_only_hint)
        approve = self.server.approve
        hints = ["read-only" if read_only else "may delete" if notes and notes.destructive_hint else ""]
        from swarmchat.swarm.tools.external_tool import ExternalTool

        return ExternalTool(
            f"{self.server.name}/{listed.name}",
            partial(_call, self, listed.name),
            approve=("auto" if read_only else "ask") if approve == "read-only" else approve,
            timeout=self.server.timeout,
            effects=not read_only,
            description=visible(listed.description or listed.title or ""),
            parameters=schema,
            hint=", ".join(filter(None, hints)),
        )

    def leave_out(self, kind: str, name: object, why: object) -> None:
        """Note that an entry of a list of the server is not used, and ``why``. ``kind`` is the name of the list."""
        which = f"the {_ONE_OF[kind]} {visible(name, 60)!r}" if isinstance(name, str) else f"a {_ONE_OF[kind]}"
        note = f"MCP server {self.server.name}: {which} is skipped: {described(why)}"
        if len(self.notes) == _MAX_NOTES:
            note = f"MCP server {self.server.name}: more of its entries are skipped"
        if len(self.notes) <= _MAX_NOTES and note not in self.notes:
            self.notes.append(note)

    async def _follow(self, client: "Client") -> None:
        """Notice changes of what the server offers until the connection is to be ended."""
        from mcp.client.subscriptions import ListenNotSupportedError, SubscriptionLost
        from mcp.shared.exceptions import MCPError

        async def listen() -> None:
            # Servers of before 2026 send notifications instead, and some newer ones offer neither.
            with suppress(ListenNotSupportedError, SubscriptionLost, MCPError, TimeoutError):
                async with client.listen(
                    tools_list_changed=True, prompts_list_changed=True, resources_list_changed=True
                ) as changes:
                    async for _ in changes:
                        self.revision += 1

        listening = asyncio.create_task(listen())
        try:
            await self._ended.wait()
        finally:
            listening.cancel()
            await asyncio.wait([listening])

    async def _receive(self, message: Any) -> None:
        if getattr(message, "method", "").endswith("/list_changed"):
            self.revision += 1

    async def _keep_message(self, params: "LoggingMessageNotificationParams") -> None:
        text = params.data if isinstance(params.data, str) else json.dumps(params.data, ensure_ascii=False)
        source = f" {params.logger}" if params.logger else ""
        self.log.append(visible(" ".join(f"{params.level}{source}: {text}".split()), 300))

    @asynccontextmanager
    async def _error_output(self) -> AsyncGenerator[ErrorOutput, None]:
        """Return a standard error for the server, whose end is kept for error messages."""
        self._output = output = ErrorOutput()
        try:
            yield output
        finally:
            output.close()

    async def _lose(self, client: "Client", error: BaseException) -> None:
        """Give the connection of ``client`` up after ``error``, unless another call has done so."""
        if self._client is client:
            await self.close()
            self.problem = self.reason(error)

    def reason(self, error: BaseException, output: str = "") -> str:
        """Return why ``error`` happened, in words for the user; ``output`` is what the server wrote before."""
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        if self._oversized or _SSE_LIMIT in str(error):
            reason = f"it sent more than the {self.max_message:,} bytes that max_answer allows"
        elif self._refused and self.login is None:
            reason = f"it requires a login: run swarmchat mcp login {self.server.name}"
            if self.server.has_authorization:
                reason = "it rejects the Authorization header: set a valid one"
        elif self.login is not None and (problem := login_problem(error)):
            reason = problem
        elif isinstance(error, TimeoutError):
            reason = f"it did not answer within {self.server.start_timeout:g} s"
        elif isinstance(error, ImportError):
            reason = "MCP servers need an extra: pip install 'swarmchat[mcp]'"
        elif isinstance(error, FileNotFoundError):
            reason = f"there is no program {self.server.command!r}: install it, or give its path"
        elif isinstance(error, DefinitionError):
            reason = str(error)
        else:
            reason = described(error)
        last = visible(output.strip().splitlines()[-1], 200) if output.strip() else ""
        return f"{reason}; it wrote: {last}" if last else reason


async def _call(connection: Connection, name: str, ctx: Context, arguments: Mapping[str, Any]) -> str:
    return await connection.call(name, ctx, arguments)
