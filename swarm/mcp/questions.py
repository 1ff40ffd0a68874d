"""Questions of MCP servers while one of their tools runs: to the user (elicitation) or the model (sampling).

They are asked through the tool's context, so they are recorded with its result, and a replay needs no server.
"""

import asyncio
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from swarmchat.swarm.errors import AskError, NobodyToAsk, SwarmError
from swarmchat.swarm.mcp.server import McpServer
from swarmchat.swarm.mcp.texts import block_text, visible
from swarmchat.swarm.tools.context import Context
from swarmchat.swarm.tools.json_schema import problems

if TYPE_CHECKING:
    from mcp_types import (
        CreateMessageRequestParams,
        CreateMessageResult,
        ElicitRequestFormParams,
        ElicitRequestParams,
        ElicitResult,
        ErrorData,
    )

_T = TypeVar("_T")

MAX_FIELDS = 30
"""The most fields of a form."""
_MAX_CHOICES = 100
"""The most values to choose from."""
MAX_SAMPLES = 20
"""How often a server may ask the model during one call."""
_MESSAGE = 1000
"""Characters of a message to the user."""
_REFUSED = -1
"""The code of the protocol's example for a request that the user has refused."""


@dataclass(eq=False)
class RunningCall:
    """A call that a server works on."""

    ctx: Context
    samples: int = 0
    questions: set["asyncio.Future[Any]"] = field(default_factory=set)
    """What is being asked for it."""


class Questions:
    """The questions of one server. Each belongs to the call during which it is asked."""

    def __init__(self, server: McpServer) -> None:
        self._server = server
        self._calls: list[RunningCall] = []
        self._current: ContextVar[RunningCall | None] = ContextVar("current", default=None)
        """The call whose task asks: known where the question is a part of the call's answer (since 2026-07-28)."""

    @contextmanager
    def during(self, ctx: Context) -> Iterator[None]:
        """Let the server ask in the name of the call of ``ctx``; its end withdraws what is still being asked."""
        call = RunningCall(ctx)
        self._calls.append(call)
        token = self._current.set(call)
        try:
            yield
        finally:
            self._current.reset(token)
            self._calls.remove(call)
            for question in call.questions:
                question.cancel()

    async def elicit(self, context: object, params: "ElicitRequestParams") -> "ElicitResult | ErrorData":
        """Ask the user for what the server wants to know. Where nobody can be asked, it is declined."""
        from mcp_types import INVALID_PARAMS, ElicitRequestURLParams, ElicitResult, ErrorData

        call = self._asking_call
        if call is None or call.ctx.asking is None:
            return ElicitResult(action="decline")
        try:
            if isinstance(params, ElicitRequestURLParams):
                return await self._asked(call, self._show_address(call.ctx, params.message, params.url))
            return await self._asked(call, self._fill_form(call.ctx, params))
        except NobodyToAsk:
            return ElicitResult(action="decline")
        except AskError:
            return ElicitResult(action="cancel")
        except (SwarmError, ValueError) as error:
            return ErrorData(code=INVALID_PARAMS, message=str(error))

    async def sample(self, context: object, params: "CreateMessageRequestParams") -> "CreateMessageResult | ErrorData":
        """Ask the model what the server wants to know, if the user allows it."""
        from mcp_types import INTERNAL_ERROR, ErrorData

        call = self._asking_call
        if self._server.sampling == "deny" or call is None or call.ctx.asking is None:
            return ErrorData(code=_REFUSED, message="the user does not allow sampling")
        call.samples += 1
        if call.samples > MAX_SAMPLES:
            return ErrorData(code=_REFUSED, message=f"only {MAX_SAMPLES} requests to the model are allowed in a call")
        try:
            return await self._asked(call, self._ask_model(call.ctx, params))
        except AskError:
            return ErrorData(code=_REFUSED, message="the user rejected the sampling request")
        except (SwarmError, ValueError) as error:
            return ErrorData(code=INTERNAL_ERROR, message=f"the model gave no answer: {error}")

    @property
    def _asking_call(self) -> RunningCall | None:
        """The call that a request of the server belongs to: over stdio it does not say, and the last one is assumed."""
        call = self._current.get()
        return call if call in self._calls else (self._calls[-1] if self._calls else None)

    async def _asked(self, call: RunningCall, work: Coroutine[Any, Any, _T]) -> _T:
        """Return the result of ``work``, which is cancelled at the end of the call: AskError then."""
        question = asyncio.ensure_future(work)
        call.questions.add(question)
        try:
            await asyncio.wait([question])
            if question.cancelled():
                raise AskError("the call has ended")
            return question.result()
        finally:
            question.cancel()
            call.questions.discard(question)

    async def _show_address(self, ctx: Context, message: str, address: str) -> "ElicitResult":
        from mcp_types import ElicitResult

        if not address.startswith(("http://", "https://")) or visible(address, 2000) != address:
            raise ValueError(f"the address is {visible(address, 200)!r}, expected http://… or https://…")
        text = (
            f"{visible(message, _MESSAGE)}\nThe server {self._server.name} wants you to open this address yourself:\n"
            f"{address}\nIs this allowed?"
        )
        return ElicitResult(action="accept" if await ctx.ask_user(text, output=bool) else "decline")

    async def _fill_form(self, ctx: Context, params: "ElicitRequestFormParams") -> "ElicitResult":
        from mcp_types import ElicitResult

        schema = form_schema(params.requested_schema)
        names = ", ".join(schema["properties"])
        text = visible(params.message, _MESSAGE) + (f"\nAnswer it ({names})?" if names else "")
        if not await ctx.ask_user(text, output=bool):
            return ElicitResult(action="decline")
        if not names:
            return ElicitResult(action="accept", content={})
        answer = await ctx.ask_user(visible(params.message, _MESSAGE), output=schema)
        defaults = {name: each["default"] for name, each in schema["properties"].items() if "default" in each}
        return ElicitResult(action="accept", content={**defaults, **answer})

    async def _ask_model(self, ctx: Context, params: "CreateMessageRequestParams") -> "CreateMessageResult":
        from mcp_types import CreateMessageResult, TextContent

        assert ctx.asking is not None
        spoken = [(str(each.role), "\n".join(map(block_text, each.content_as_list))) for each in params.messages]
        if params.system_prompt:
            spoken.insert(0, ("system", params.system_prompt))
        # The model must not see anything that the user cannot see.
        messages = [{"role": role, "content": visible(text, limit=10**9)} for role, text in spoken]
        if self._server.sampling == "ask":
            shown = "\n".join(f"{each['role']}: {visible(each['content'], _MESSAGE // 2)}" for each in messages)
            text = (
                f"The server {self._server.name} wants to ask your model:\n{visible(shown, _MESSAGE)}\nIs this allowed?"
            )
            if not await ctx.ask_user(text, output=bool):
                raise AskError("not allowed")
        parameters: dict[str, Any] = {"max_tokens": params.max_tokens}
        if params.temperature is not None:
            parameters["temperature"] = params.temperature
        if params.stop_sequences:
            parameters["stop"] = params.stop_sequences
        answer = await ctx.asking.ask_model(messages, None, None, parameters)
        content = TextContent(text=str(answer))
        return CreateMessageResult(
            role="assistant", content=content, model=ctx.asking.model_name, stop_reason="endTurn"
        )


def form_schema(requested: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of a form that the user can fill in. Raises ValueError for one that is none.

    A form has fields for texts, numbers, yes or no, one of several choices, and several of them.
    """
    try:
        return _form(requested)
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError("the form is not described by a JSON schema") from error


def _form(requested: Mapping[str, Any]) -> dict[str, Any]:
    properties = requested.get("properties", {})
    if not isinstance(properties, Mapping) or len(properties) > MAX_FIELDS:
        raise ValueError(f"the schema has no properties, or more than {MAX_FIELDS}")
    fields = {str(name): _field(str(name), each) for name, each in properties.items()}
    required = [name for name in requested.get("required") or () if name in fields]
    return {"type": "object", "properties": fields, "required": required}


_LIMITS = "minimum maximum minLength maxLength minItems maxItems".split()
_FIELD_TYPES = ("string", "number", "integer", "boolean", "array")


def _field(name: str, schema: Any) -> dict[str, Any]:
    if not isinstance(schema, Mapping) or visible(name, 100) != name:
        raise ValueError(f"the field {visible(name, 100)!r} cannot be shown")
    kind = schema.get("type")
    if kind not in _FIELD_TYPES:
        raise ValueError(f"the field {name!r} has the type {kind!r:.60}, expected {', '.join(_FIELD_TYPES)}")
    field_schema: dict[str, Any] = {"type": kind}
    field_schema |= {key: schema[key] for key in _LIMITS if type(schema.get(key)) in (int, float)}
    choices = _choices(schema.get("items") or {} if kind == "array" else schema)
    if len(choices) > _MAX_CHOICES or any(len(value) > _MAX_CHOICES for value in choices):
        raise ValueError(f"the field {name!r} has more than {_MAX_CHOICES} choices, or one that is longer than that")
    about = [schema.get("title"), schema.get("description")]
    about.append(schema.get("format"))
    about += [f"{value}: {title}" for value, title in choices.items() if title and title != str(value)]
    if choices and kind == "array":
        field_schema["items"] = {"type": "string", "enum": list(choices)}
    elif choices:
        field_schema["enum"] = list(choices)
    default = schema.get("default")
    if (
        default is not None
        and not any(problems(default, field_schema, field_schema, patterns=False))
        and visible(str(default), 200) == str(default)
    ):
        field_schema["default"] = default
    if text := "; ".join(visible(" ".join(str(each).split()), 200) for each in about if each):
        field_schema["description"] = text
    return field_schema


def _choices(schema: Mapping[str, Any]) -> dict[str, str]:
    """Return the values to choose from, with their titles."""
    titled = schema.get("oneOf") or schema.get("anyOf")
    if isinstance(titled, list):
        return {visible(str(each["const"])): visible(str(each.get("title", ""))) for each in titled if "const" in each}
    values = list(map(str, schema.get("enum") or ()))
    titles = [*map(str, schema.get("enumNames") or ()), *[""] * len(values)]
    return {visible(value): visible(title) for value, title in zip(values, titles, strict=False)}
