"""An MCP server that runs as a program on this machine: start it, exchange lines of JSON with it, stop it.

The SDK has the same, but keeps a line of any length in memory.
"""

import asyncio
import os
import re
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, cast

from swarmchat.swarm.common.cancellation import run_to_completion
from swarmchat.swarm.mcp.server import McpServer

if TYPE_CHECKING:
    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
    from mcp.shared.message import SessionMessage

_KEPT = 4096
"""Bytes of what a server wrote last on its standard error, kept for error messages."""
_LINE = 200
"""Bytes that are kept of a line that is no message."""
_ANSWER = re.compile(rb'\{\s*"jsonrpc"\s*:\s*"2\.0"\s*,\s*"id"\s*:\s*(\d{1,15})\s*,')
"""The beginning of an answer, as most servers write it: one that is nested too deep is told at once."""
_GRACE = 2.0
"""Seconds in which a server may end by itself, and then after SIGTERM, as the SDK gives it."""
_POLL = 0.01
"""Seconds between two looks at whether it has ended: ``Process.wait`` also waits for whoever inherited its pipes."""
_PIECE = 65_536


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

    def add(self, text: bytes) -> None:
        """Keep ``text`` with what was written."""
        self._kept = (self._kept + text[-_KEPT:])[-_KEPT:]

    def _take(self) -> None:
        with suppress(BlockingIOError):
            self.add(os.read(self._read, _PIECE))

    def close(self) -> None:
        """Close both ends."""
        asyncio.get_running_loop().remove_reader(self._read)
        self._take()
        os.close(self._read)
        self.file.close()


@asynccontextmanager
async def program_transport(
    server: McpServer,
    environment: Mapping[str, str],
    errors: ErrorOutput,
    max_message: int,
    oversized: Callable[[], None],
) -> AsyncGenerator[Any, None]:
    """Start the program of ``server``; return the streams of messages that the SDK's client reads and writes.

    A message of more than ``max_message`` bytes ends the connection, after a call of ``oversized``. A line that is no
    message is kept with ``errors``. Raises DefinitionError and OSError.
    """
    import anyio
    from mcp.client.stdio import get_default_environment
    from mcp.shared.message import SessionMessage

    process = await asyncio.create_subprocess_exec(
        server.expanded(server.command, environment),
        *[server.expanded(each, environment) for each in server.args],
        stdin=PIPE,
        stdout=PIPE,
        stderr=errors.file,
        env=get_default_environment()
        | {name: server.expanded(value, environment) for name, value in server.env.items()},
        cwd=server.cwd,
        limit=max_message,
        start_new_session=True,
    )
    received, incoming = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    outgoing, sent = anyio.create_memory_object_stream[SessionMessage](0)
    reading = asyncio.create_task(_read(process, received, errors, oversized))
    writing = asyncio.create_task(_write(process, sent, received))
    try:
        yield incoming, outgoing
    finally:
        incoming.close()
        outgoing.close()
        await run_to_completion(_stop(process, reading, writing))


async def _read(
    process: Process,
    messages: "MemoryObjectSendStream[SessionMessage | Exception]",
    errors: ErrorOutput,
    oversized: Callable[[], None],
) -> None:
    """Pass on the messages that ``process`` writes; then discard the rest, so that it never waits for a reader."""
    import anyio
    from mcp.shared.message import SessionMessage
    from mcp_types import PARSE_ERROR, ErrorData, JSONRPCError, jsonrpc_message_adapter

    assert process.stdout is not None
    async with messages:
        with suppress(asyncio.IncompleteReadError, OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):
            while True:
                try:
                    line = await process.stdout.readuntil()
                except asyncio.LimitOverrunError:
                    oversized()
                    break
                try:
                    message = jsonrpc_message_adapter.validate_json(line, by_name=False)
                except ValueError:
                    errors.add(line[:_LINE] + b"\n")
                    if answered := _ANSWER.match(line):
                        error = ErrorData(code=PARSE_ERROR, message="its answer is not a valid message")
                        reply = JSONRPCError(jsonrpc="2.0", id=int(answered[1]), error=error)
                        await messages.send(SessionMessage(reply))
                else:
                    await messages.send(SessionMessage(message))
    while await process.stdout.read(_PIECE):
        pass


async def _write(
    process: Process,
    messages: "MemoryObjectReceiveStream[SessionMessage]",
    received: "MemoryObjectSendStream[SessionMessage | Exception]",
) -> None:
    """Write ``messages`` to ``process``; close the stream of those ``received`` if it takes no more."""
    assert process.stdin is not None
    try:
        async with messages:
            async for each in messages:
                text = each.message.model_dump_json(by_alias=True, exclude_unset=True)
                process.stdin.write(text.encode() + b"\n")
                await process.stdin.drain()
    except OSError:
        received.close()


async def _stop(process: Process, reading: "asyncio.Task[None]", writing: "asyncio.Task[None]") -> None:
    """Close the input of ``process``, and kill it with all its descendants if it does not end."""
    from mcp.os.posix.utilities import terminate_posix_process_tree

    assert process.stdin is not None
    # Messages that were accepted are still written.
    await asyncio.wait([writing], timeout=_GRACE / 4)
    process.stdin.close()
    if not await _has_ended(process):
        await terminate_posix_process_tree(cast("Any", process), _GRACE)
        await _has_ended(process)
    for task in (reading, writing):
        task.cancel()
    await asyncio.wait([reading, writing])
    # Whoever inherited the pipes may keep them open; nothing public closes the transport.
    process._transport.close()  # type: ignore[attr-defined]


async def _has_ended(process: Process) -> bool:
    """Wait for a while until ``process`` has ended; return whether it has."""
    for _ in range(round(_GRACE / _POLL)):
        if process.returncode is not None:
            break
        await asyncio.sleep(_POLL)
    return process.returncode is not None
