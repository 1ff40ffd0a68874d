"""The messages of an MCP server: the connection over HTTP, and the entries removed from its lists."""

import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any

from swarmchat.swarm.mcp.server import McpServer

if TYPE_CHECKING:
    import httpx2

_LISTS = {
    "tools": "tools/list",
    "prompts": "prompts/list",
    "resources": "resources/list",
    "resourceTemplates": "resources/templates/list",
}
"""The lists in results, and the methods that they answer."""
_MAX_ENTRIES = 1000
"""How many entries of one list are looked at."""

for _name in ("mcp", "client"):
    # Without a handler, Python would print the SDK's log on the terminal.
    logging.getLogger(_name).addHandler(logging.NullHandler())


async def http_transport(
    stack: AsyncExitStack,
    server: McpServer,
    environment: Mapping[str, str],
    auth: "httpx2.Auth | None",
    max_message: int,
    refused: Callable[[], None],
) -> Any:
    """Return the SDK's transport to the address of ``server``; ``refused`` is called when it answers 401.

    A message of more than ``max_message`` bytes fails its request. Redirects to another host are not followed, so
    headers and tokens do not get there. Raises DefinitionError.
    """
    from mcp.client.streamable_http import streamable_http_client
    from mcp.shared._httpx_utils import create_mcp_http_client

    # Loaded with httpx2, which comes with the SDK.
    from swarmchat.swarm.models.bounded_body import STREAM_OVERHEAD, bound_body

    async def look_at(response: "httpx2.Response") -> None:
        if response.status_code == 401:
            refused()
        if response.headers.get("content-type", "").lower().startswith("text/event-stream"):
            bound_body(response, max_message * STREAM_OVERHEAD, max_line=max_message)
        else:
            bound_body(response, max_message)

    headers = {name: server.expanded(value, environment) for name, value in server.headers.items()}
    http = await stack.enter_async_context(create_mcp_http_client({"Accept-Encoding": "gzip"} | headers, auth=auth))
    http.event_hooks = {"response": [look_at]}
    url = server.expanded(server.url, environment)
    return streamable_http_client(url, http_client=http, max_sse_event_size=max_message)


@asynccontextmanager
async def checked(
    transport: Any, version: Callable[[], str], leave_out: Callable[[str, Any, Exception], None]
) -> AsyncGenerator[tuple["CheckedMessages", Any], None]:
    """Return the streams of ``transport``, the one that is read as ``CheckedMessages``."""
    async with transport as (received, sent):
        yield CheckedMessages(received, version, leave_out), sent


class CheckedMessages:
    """The stream of a server's messages, without invalid entries in its lists: the SDK would refuse the whole list.

    ``leave_out`` is called with the name of the list, the name of the entry, and what is wrong with it. ``version``
    returns the version of the protocol.
    """

    def __init__(
        self, stream: Any, version: Callable[[], str], leave_out: Callable[[str, Any, Exception], None]
    ) -> None:
        self._stream = stream
        self._version = version
        self._leave_out = leave_out

    @property
    def last_context(self) -> Any:
        """The context of the sender of the last message, for the SDK."""
        return getattr(self._stream, "last_context", None)

    async def receive(self) -> Any:
        """Return the next message."""
        return self._checked(await self._stream.receive())

    async def aclose(self) -> None:
        """Close the stream."""
        await self._stream.aclose()

    def __aiter__(self) -> "CheckedMessages":
        return self

    async def __anext__(self) -> Any:
        return self._checked(await self._stream.__anext__())

    async def __aenter__(self) -> "CheckedMessages":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def _checked(self, item: Any) -> Any:
        result = getattr(getattr(item, "message", None), "result", None)
        if not isinstance(result, dict):
            return item
        for key, method in _LISTS.items():
            entries = result.get(key)
            if not isinstance(entries, list):
                continue
            result[key] = entries = entries[:_MAX_ENTRIES]
            if self._problem(method, result) is None:
                continue
            if self._problem(method, {**result, key: []}) is None:
                result[key] = [each for each in entries if self._is_valid(method, key, result, each)]
        return item

    def _is_valid(self, method: str, key: str, result: Mapping[str, Any], entry: Any) -> bool:
        problem = self._problem(method, {**result, key: [entry]})
        if problem is not None:
            self._leave_out(key, entry.get("name") if isinstance(entry, dict) else None, problem)
        return problem is None

    def _problem(self, method: str, result: Mapping[str, Any]) -> Exception | None:
        from mcp_types.methods import parse_server_result
        from pydantic import ValidationError

        # The SDK itself reports a wrong version, or a list that the version does not have.
        with suppress(KeyError, RuntimeError):
            try:
                parse_server_result(method, self._version(), result)
            except ValidationError as error:
                return error
            except ValueError:
                pass
        return None
