"""Run commands from the user's own settings as hooks: JSON on standard input, JSON on standard output.

A command that prints nothing changes nothing. A command that fails ends the turn, so breaking a check does not bypass
it.
"""

import asyncio
import json
import os
import shlex
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from swarmchat.cli.terminal.sanitize import one_line
from swarmchat.swarm.common.bounds import MAX_ANSWER
from swarmchat.swarm.common.encoding import decode_json, encode_json
from swarmchat.swarm.conversation.hooks import Hooks
from swarmchat.swarm.errors import HookError
from swarmchat.swarm.models.base import Answer, ModelRequest, ToolCall
from swarmchat.swarm.tools.context import Context, Denied

_SECONDS = 60
"""How long a command may take."""
_PIECE = 65_536


class HookCommands(Hooks):
    """Runs one command at one point of a turn. ``hook_commands`` makes them."""

    point: str

    def __init__(self, command: str) -> None:
        self._command = command

    async def _ask(self, ctx: Context[Any], **seen: Any) -> dict[str, Any] | Denied:
        """Return the command's answer; empty if it has none. Raises HookError."""
        about = {"hook": self.point, "client": ctx.client, "session": ctx.session, "agent": ctx.agent}
        printed = await self._run(encode_json({**about, **seen}))
        try:
            answer = decode_json(printed) if printed.strip() else {}
        except ValueError as error:
            raise self._error(f"printed {one_line(printed.decode('utf-8', 'replace'), 60)!r}, expected JSON") from error
        if not isinstance(answer, dict):
            raise self._error(f"printed {one_line(json.dumps(answer), 60)}, expected an object")
        if "deny" in answer:
            return Denied(str(answer["deny"]))
        return answer

    async def _run(self, text: bytes) -> bytes:
        """Run the command with ``text`` as its input; return its output. Raises HookError."""
        try:
            words = shlex.split(self._command)
            process = await asyncio.create_subprocess_exec(
                *words, stdin=PIPE, stdout=PIPE, stderr=PIPE, start_new_session=True
            )
        except (ValueError, OSError, TypeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise self._error(
                f"cannot be run ({reason}): write a program with its arguments, as for a shell"
            ) from error
        assert process.stdout is not None
        assert process.stderr is not None
        side_tasks = [asyncio.create_task(_feed(process, text)), asyncio.create_task(_end_of(process.stderr))]
        try:
            async with asyncio.timeout(_SECONDS):
                printed = bytearray()
                while piece := await process.stdout.read(_PIECE):
                    printed += piece
                    if len(printed) > MAX_ANSWER:
                        raise self._error(f"printed more than {MAX_ANSWER:,} bytes")
                await asyncio.gather(*side_tasks, process.wait())
        except TimeoutError:
            raise self._error(f"has not ended within {_SECONDS} s") from None
        finally:
            for task in side_tasks:
                task.cancel()
            await asyncio.wait(side_tasks)
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
            # The wait below is also for the pipes, which may be full; nothing public closes them.
            process._transport.close()  # type: ignore[attr-defined]
            await process.wait()
        if process.returncode:
            last_line = str(side_tasks[1].result()).strip().splitlines()[-1:]
            raise self._error(
                f"ended with exit code {process.returncode}" + (f": {one_line(last_line[0], 200)}" if last_line else "")
            )
        return bytes(printed)

    def _error(self, problem: str) -> HookError:
        return HookError(f"hooks.{self.point}: {one_line(self._command, 80)} {problem}")

    def _changed(self, answer: Mapping[str, Any], name: str, kind: type) -> Any:
        """Return the field ``name`` of an answer; ``None`` if it has none. Raises HookError for another type."""
        value = answer.get(name)
        if value is not None and not isinstance(value, kind):
            raise self._error(f"printed {one_line(json.dumps(value), 60)} as {name!r}, expected {kind.__name__}")
        return value


async def _feed(process: Process, text: bytes) -> None:
    """Give ``process`` its input; one that does not read it misses nothing."""
    assert process.stdin is not None
    with suppress(BrokenPipeError, ConnectionResetError):
        process.stdin.write(text)
        await process.stdin.drain()
    process.stdin.close()


async def _end_of(stream: asyncio.StreamReader) -> str:
    """Return the end of the output."""
    end = b""
    while piece := await stream.read(_PIECE):
        end = (end + piece)[-_PIECE:]
    return end.decode("utf-8", "replace")


class _BeforeTurn(HookCommands):
    async def before_turn(self, ctx: Context[Any], text: str) -> str | Denied | None:
        answer = await self._ask(ctx, text=text)
        return answer if isinstance(answer, Denied) else self._changed(answer, "text", str)


class _AfterTurn(HookCommands):
    async def after_turn(self, ctx: Context[Any], answer: Answer, error: Exception | None) -> None:
        await self._ask(ctx, answer=answer.text, finish=answer.finish, error=None if error is None else str(error))


class _BeforeRequest(HookCommands):
    async def before_request(self, ctx: Context[Any], request: ModelRequest) -> ModelRequest | Denied | None:
        messages = request.decoded_messages(data=False)
        seen = {"messages": messages, "tools": request.tools, "parameters": dict(request.parameters)}
        answer = await self._ask(ctx, model=request.model, **seen)
        if isinstance(answer, Denied):
            return answer
        changed, parameters = self._changed(answer, "messages", list), self._changed(answer, "parameters", dict)
        if changed is not None:
            request = replace(request, messages=tuple(map(encode_json, changed)), echoes={})
        return request if parameters is None else replace(request, parameters=parameters)


class _AfterRequest(HookCommands):
    async def after_request(self, ctx: Context[Any], request: ModelRequest, answer: Answer) -> Answer | Denied | None:
        calls = [call.to_message() for call in answer.tool_calls]
        verdict = await self._ask(ctx, model=request.model, answer=answer.text, calls=calls, usage=answer.usage)
        if isinstance(verdict, Denied):
            return verdict
        text = self._changed(verdict, "answer", str)
        return None if text is None else replace(answer, text=text)


class _BeforeTool(HookCommands):
    async def before_tool(self, ctx: Context[Any], call: ToolCall) -> ToolCall | Denied | None:
        answer = await self._ask(ctx, tool=call.name, arguments=_arguments(call))
        if isinstance(answer, Denied):
            return answer
        arguments = self._changed(answer, "arguments", dict)
        return None if arguments is None else replace(call, arguments=json.dumps(arguments, ensure_ascii=False))


class _AfterTool(HookCommands):
    async def after_tool(self, ctx: Context[Any], call: ToolCall, result: str) -> str | Denied | None:
        answer = await self._ask(ctx, tool=call.name, arguments=_arguments(call), result=result)
        return answer if isinstance(answer, Denied) else self._changed(answer, "result", str)


class _BeforeHandoff(HookCommands):
    async def before_handoff(self, ctx: Context[Any], target: str) -> str | Denied | None:
        answer = await self._ask(ctx, to=target)
        return answer if isinstance(answer, Denied) else self._changed(answer, "to", str)


class _AfterHandoff(HookCommands):
    async def after_handoff(self, ctx: Context[Any], source: str) -> None:
        await self._ask(ctx, **{"from": source})


_CLASSES: dict[str, type[HookCommands]] = {
    "before_turn": _BeforeTurn,
    "after_turn": _AfterTurn,
    "before_request": _BeforeRequest,
    "after_request": _AfterRequest,
    "before_tool": _BeforeTool,
    "after_tool": _AfterTool,
    "before_handoff": _BeforeHandoff,
    "after_handoff": _AfterHandoff,
}


def hook_commands(commands: Mapping[str, Sequence[str]]) -> list[Hooks]:
    """Return the hooks that run ``commands``, by the points of a turn."""
    hooks: list[Hooks] = []
    for point, lines in commands.items():
        for line in lines:
            hook = _CLASSES[point](line)
            hook.point = point
            hooks.append(hook)
    return hooks


def _arguments(call: ToolCall) -> Any:
    try:
        return decode_json(call.arguments)
    except ValueError:
        return call.arguments
