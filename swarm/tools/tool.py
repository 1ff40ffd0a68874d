"""Tools: plain functions that a model may call."""

import asyncio
import contextvars
import inspect
import json
import threading
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Literal, overload

from swarmchat.swarm.common.author_functions import call_author_function, without_exits
from swarmchat.swarm.common.encoding import decode_json
from swarmchat.swarm.common.mistakes import FUNCTION, SECONDS, Expected, check_value, instance_of, optional, shown
from swarmchat.swarm.errors import DefinitionError
from swarmchat.swarm.tools.context import ArgumentsError, Assignment, Context, ToolTimeoutError
from swarmchat.swarm.tools.signature import Signature, read_signature

Approve = Literal["auto", "ask", "deny"]

Available = Callable[[Context[Any]], bool | Awaitable[bool]]

DEFAULT_TIMEOUT = 60.0
_LONGEST_NAME = 200
_RULES = ("approve", "timeout", "effects", "background")
_TOOL = Expected("a function", lambda value: callable(value) and not isinstance(value, type))


@dataclass(frozen=True)
class Tool:
    """A function that a model may call, and its description. Created by the decorator ``tool``."""

    name: str
    """Any printable text. Models know the tool by its ``portable_name``."""
    function: Callable[..., Any]
    approve: Approve = "auto"
    """auto: runs without asking; ask: the user is asked before each call; deny: never runs."""
    timeout: float = DEFAULT_TIMEOUT
    """Seconds until a call is abandoned."""
    available: Available | None = None
    """Called before each request: whether the tool is offered. ``None``: always."""
    effects: bool = True
    """Whether a call changes anything. The rescue asks before it runs such a call that the model wrote as text."""
    background: bool = False
    """Whether a call goes on in the background, beside the conversation. Its result arrives as a message."""
    signature: Signature = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._check_definition()
        object.__setattr__(self, "signature", read_signature(self.function, self.name, Context))

    def _check_definition(self) -> None:
        """Raise DefinitionError for a name, a timeout or an approval that no tool can have."""
        self._check_name()
        check_value(f"tool {self.name!r}", "timeout", self.timeout, SECONDS)
        check_value(f"tool {self.name!r}", "background", self.background, instance_of(bool, "True or False"))
        check_value(f"tool {self.name!r}", "available", self.available, optional(FUNCTION))
        if self.approve not in ("auto", "ask", "deny"):
            raise DefinitionError(f"tool {self.name!r}: approve is {self.approve!r}, expected auto, ask or deny")

    def _check_name(self) -> None:
        fits = 0 < len(self.name) <= _LONGEST_NAME and self.name.isprintable() and self.name == self.name.strip()
        if not fits or "<" in self.name or ">" in self.name:
            # The name of a function without one is <lambda>.
            raise DefinitionError(
                f"tool {self.name!r}: expected a name of 1 to {_LONGEST_NAME} printable characters, without < and >, "
                "and without spaces around it"
            )

    @property
    def rules(self) -> dict[str, Any]:
        """The settings of its calls that models do not see, by name, without defaults."""
        return {name: getattr(self, name) for name in _RULES if getattr(self, name) != getattr(Tool, name)}

    @property
    def gives_task(self) -> bool:
        """Whether a call is a task for an agent."""
        return False

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Call the function itself, as a test would."""
        return self.function(*arguments, **named)

    @property
    def definition(self) -> dict[str, Any]:
        """The tool's description, in the form of the chat API."""
        function: dict[str, Any] = {"name": self.name}
        if self.signature.description:
            function["description"] = self.signature.description
        return {"type": "function", "function": {**function, "parameters": self.signature.parameters}}

    async def is_available(self, ctx: Context) -> bool:
        """Whether the tool is offered now. Raises HookError."""
        if self.available is None:
            return True
        return await call_author_function(f"the condition of tool {self.name!r}", self.available, ctx)

    def read_arguments(self, arguments: str) -> dict[str, Any]:
        """Parse, check and coerce the JSON ``arguments`` that a model wrote.

        Raises ArgumentsError when they are not a JSON object or do not fit the signature.
        """
        try:
            values = decode_json(arguments) if arguments.strip() else {}
        except ValueError as error:
            raise ArgumentsError(f"the arguments are not valid JSON ({error})") from error
        if not isinstance(values, dict):
            raise ArgumentsError(f"the arguments are {json.dumps(values)[:80]}, expected a JSON object")
        return self.signature.schema.checked(values)

    async def run(self, ctx: Context, arguments: dict[str, Any]) -> str:
        """Call the function and return its result as text: strings unchanged, all else as JSON.

        Raises ToolTimeoutError when it takes longer than ``timeout``, and the errors of the function. A function that
        is not async runs in its own thread; when it is abandoned, ``ctx.cancelled`` tells it to stop.
        """
        if self.background and ctx.starting is not None:
            from pydantic_core import to_json

            values = to_json(arguments, fallback=str).decode()
            task = ctx.starting(Assignment(ctx.agent, f"{self.name}({values})", True, self.name, values))
            return started_message(task)
        if self.signature.context is not None:
            arguments = {self.signature.context: ctx, **arguments}
        try:
            async with asyncio.timeout(self.timeout) as limit:
                ctx.limit = limit
                with without_exits():
                    result = await self._call(arguments)
        except TimeoutError as error:
            # The function itself may have raised it.
            if limit.expired():
                raise ToolTimeoutError(f"did not finish within {self.timeout:g} s") from error
            raise
        finally:
            ctx.cancelled.set()
        if inspect.iscoroutine(result):
            result.close()
            raise DefinitionError("its result is a coroutine that was not awaited: write return await …")
        return result if isinstance(result, str) else _as_json(result)

    async def _call(self, arguments: Mapping[str, Any]) -> Any:
        if inspect.iscoroutinefunction(self.function):
            return await self.function(**arguments)
        result = await _in_thread(lambda: self.function(**arguments))
        return await result if inspect.isawaitable(result) else result


@overload
def tool(function: Callable[..., Any]) -> Tool: ...


@overload
def tool(
    *,
    name: str | None = ...,
    approve: Approve = ...,
    timeout: float = ...,
    available: Available | None = ...,
    effects: bool = ...,
    background: bool = ...,
) -> Callable[[Callable[..., Any]], Tool]: ...


def tool(
    function: Callable[..., Any] | None = None,
    *,
    name: str | None = None,
    approve: Approve = "auto",
    timeout: float = DEFAULT_TIMEOUT,
    available: Available | None = None,
    effects: bool = True,
    background: bool = False,
) -> Tool | Callable[[Callable[..., Any]], Tool]:
    """Turn a function into a tool: ``@tool``, or ``@tool(name="…", approve="ask", …)``.

    The model gets a description made from the signature and the docstring; a line ``parameter: text`` in the docstring
    describes that parameter. ``effects=False`` marks a read-only tool. With ``background``, the conversation continues
    during a call, and its result arrives as a message, to which the agent reacts. Raises DefinitionError for a
    signature that cannot be described as JSON schema.
    """

    def make(function: Callable[..., Any]) -> Tool:
        check_value("tool", "function", function, _TOOL)
        called = name or getattr(function, "__name__", None)
        if called is None:
            raise DefinitionError(f"tool: {shown(function)} has no name: write tool(name=…)({shown(function)})")
        if inspect.isasyncgenfunction(function):
            raise DefinitionError(f"tool {called!r}: it is a generator, expected a function that returns one result")
        return Tool(called, function, approve, timeout, available, effects, background)

    return make if function is None else make(function)


def as_tool(function: "Tool | Callable[..., Any]") -> Tool:
    """Return ``function`` as a tool, whether or not it was decorated."""
    return function if isinstance(function, Tool) else tool(function)


def _as_json(result: object) -> str:
    """Return a result as JSON; what JSON does not have is its text. Raises DefinitionError if that says nothing."""
    # Imported when a tool has run: the first prompt does without pydantic (see tools.signature).
    from pydantic_core import to_json

    opaque: list[object] = []

    def as_text(value: object) -> str:
        kind = type(value)
        if callable(value) or (kind.__str__ is object.__str__ and kind.__repr__ is object.__repr__):
            opaque.append(value)
        return str(value)

    text = to_json(result, fallback=as_text).decode()
    if opaque:
        raise DefinitionError(f"its result holds {shown(opaque[0])}, expected a text or a JSON value")
    return text


def started_message(task: str) -> str:
    """Return the result of a call that goes on as ``task`` in the background."""
    return f"This goes on in the background as task {task}. Its result will arrive as a message: do not call again."


async def _in_thread(call: Callable[[], Any]) -> Any:
    """Run ``call`` in a daemon thread.

    Not in asyncio's executor, whose threads the interpreter waits for when it exits: a tool that never returns would
    keep the program from exiting.
    """
    future: Future[Any] = Future()
    context = contextvars.copy_context()

    def work() -> None:
        # A future that is marked as running cannot be cancelled: set_result would fail then.
        if not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(context.run(call))
        except (StopIteration, GeneratorExit) as error:
            # asyncio futures reject the one, and a coroutine takes the other for its own end.
            future.set_exception(RuntimeError(f"it raised {error!r}"))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=work, name="tool", daemon=True).start()
    return await asyncio.wrap_future(future)
