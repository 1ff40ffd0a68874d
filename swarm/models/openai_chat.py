"""A model of OpenAI, or of any server with OpenAI's chat completions API."""

import asyncio
import random
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from swarmchat.swarm.common.bounds import MAX_ANSWER, MAX_ANSWER_TIME
from swarmchat.swarm.common.encoding import NestingError, decode_json
from swarmchat.swarm.errors import ModelError
from swarmchat.swarm.models.base import Adapted, Answer, ModelEvent, ModelRequest, Retry, TextChunk, join_body
from swarmchat.swarm.models.context_windows import context_window_for, known_context_window
from swarmchat.swarm.models.openai_client import OpenAIServer, content_type
from swarmchat.swarm.models.server_facts import ServerFacts, facts_in_models, facts_in_props
from swarmchat.swarm.models.streaming import AnswerDeltas, DataLines
from swarmchat.swarm.providers.adaptations import (
    VERSION_PATH,
    LearnedAdaptations,
    apply_adaptations,
    describe,
    learn,
    message_form,
)
from swarmchat.swarm.providers.failures import AttemptError, error_object
from swarmchat.swarm.providers.messages import MessageAdapter
from swarmchat.swarm.providers.schemas import portable_tools
from swarmchat.swarm.providers.structured import demands_output, instruction, output_form, with_output_form

if TYPE_CHECKING:
    from httpx2 import Response
    from openai import AsyncStream

T = TypeVar("T")

_DRAIN_TIME = 0.1

_BLANK = b" \t\r\n\xef\xbb\xbf"
"""White space and the byte order mark, which some servers put before the body."""

_STREAM = re.compile(rb"(?:data|event|id|retry)?:|[a-z]{0,4}\Z")
"""How a stream of events begins: with a field, a comment, or its first bytes."""

_TROUBLE = re.compile(r"error|resource|abort|cancel|timeout|overload|unavailable", re.IGNORECASE)
"""Finish reasons by which a provider says that it, not the model, ended an answer (z.ai, DeepSeek, OpenRouter)."""
_FINISH = re.compile(r"stop|length|tool_calls|function_call|content_filter|malformed", re.IGNORECASE)
"""Finish reasons of the model itself, with Gemini's ``MALFORMED_FUNCTION_CALL``."""


class OpenAIModel:
    """Streams answers from ``POST BASE_URL/chat/completions``.

    ``base_url``: the address with its version path; ``None``: OpenAI's. ``api_key``: ``None`` for servers that need no
    key; OpenAI's address then raises ModelAuthError without a request. ``served_as``: the name that the server knows,
    if it is not ``name``. ``headers`` and ``query`` are added to each request. ``context_window``: in tokens;
    ``None``: what the server tells, or what is known of the model's name. ``timeout``: seconds without a byte from the
    server, also before the first one. ``connect_timeout``: seconds to connect. ``max_retries``: retries after temporary
    failures, as long as no text has come. ``max_answer``: the most characters of an answer, and bytes of a line.
    ``max_answer_time``: the most seconds from a request to the end of its answer.
    ``adaptations``: what servers were found to demand; ``None``: nothing yet.
    ``demands``: names of adaptations that this server is known to demand. ``sleep`` and ``jitter``: see
    ``OpenAIServer``. Raises ValueError unless ``base_url`` is an HTTP address.

    The openai package is imported by the first request or by ``warm_up()``. It reads organisation, project and
    proxies from the environment.
    """

    def __init__(
        self,
        name: str,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        served_as: str | None = None,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        context_window: int | None = None,
        timeout: float = 300.0,
        connect_timeout: float = 10.0,
        max_retries: int = 4,
        max_answer: int = MAX_ANSWER,
        max_answer_time: float = MAX_ANSWER_TIME,
        adaptations: LearnedAdaptations | None = None,
        demands: Sequence[str] = (),
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._name = name
        self.served_as = served_as or name
        """The name that the server knows."""
        self._context_window = context_window
        self._discovered = False
        self.facts = ServerFacts()
        """What the server told of the model: see ``discover``."""
        self._learned = adaptations or LearnedAdaptations()
        self._demands = tuple(demands)
        self._server = OpenAIServer(
            base_url,
            api_key,
            headers=headers,
            query=query,
            timeout=timeout,
            connect_timeout=connect_timeout,
            max_retries=max_retries,
            max_answer=max_answer,
            max_answer_time=max_answer_time,
            sleep=sleep,
            jitter=jitter,
        )
        self._errors = self._server.errors
        self._adapter = MessageAdapter(self._errors.address)

    @property
    def name(self) -> str:
        """The model's name."""
        return self._name

    @property
    def context_window(self) -> int:
        """The context window: tokens for a request plus its answer."""
        return self._context_window or self.facts.window or context_window_for(self.served_as)

    @property
    def address(self) -> str:
        """The server's base URL without user, password and query."""
        return self._errors.address

    @property
    def adaptations(self) -> Mapping[str, str]:
        """What the server was found to demand of requests for this model: names, with what is done for each."""
        return {name: describe(name) for name in self._adaptations()}

    def _adaptations(self) -> tuple[str, ...]:
        learned = self._learned.of(self.address, self.served_as)
        return (*(name for name in self._demands if name not in learned), *learned)

    def _version_path(self) -> str:
        return "/v1" if VERSION_PATH in self._adaptations() else ""

    def _learn(self, name: str) -> Adapted:
        self._learned.add(self.address, self.served_as, name)
        return Adapted(name, describe(name))

    async def discover(self) -> None:
        """Ask a server for the model's real window, once, unless it is given.

        Sets ``facts``. No answer, or a wrong one, is no error: the first request will tell.
        """
        if self._discovered or self._context_window is not None:
            return
        self._discovered = True
        if self._server.is_local or not known_context_window(self.served_as):
            self.facts = facts_in_models(
                await self._server.read(self.address + self._server.version_path + "/models"), self.served_as
            )
        if self._server.is_local:
            props = facts_in_props(await self._server.read(re.sub(r"/v\d+$", "", self.address) + "/props"))
            self.facts = ServerFacts(props.window or self.facts.window, props.tools)

    def warm_up(self) -> None:
        """Import the openai package, to save the first request that time; see ``OpenAIServer.warm_up``."""
        self._server.warm_up()

    async def close(self) -> None:
        """Close the connections. May be called twice; a later request opens new ones."""
        await self._server.close()

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Answer ``request``; see ``Model.stream``.

        Raises ModelUnavailable, ModelBusy, ModelAuthError, ModelNotFound, ModelRefused and ContextTooLong. Temporary
        failures (connection, timeout, 408, 409, 429, 5xx) are yielded as Retry events while attempts are left and no
        text has come. No message contains the API key.
        """
        self._server.check_key()
        self._server.version_path = self._version_path()
        attempt, redialled = 1, False
        elsewhere: ModelError | None = None
        while True:
            started = False
            try:
                async with aclosing(self._answering(request)) as events:
                    async for event in events:
                        if elsewhere is not None and not isinstance(event, Adapted):
                            elsewhere = None
                            yield self._learn(VERSION_PATH)
                        started = started or not isinstance(event, Adapted)
                        yield event
                return
            except AttemptError as failure:
                if started:
                    raise failure.error from None
                if failure.generation is not None:
                    # The server read the answer as a malformed call; here it is an answer like any other.
                    yield TextChunk(failure.generation)
                    yield Answer(failure.generation)
                    return
                if failure.dropped and not redialled:
                    redialled = True
                    continue
                if not self._version_path() and self._server.try_version_path(failure):
                    elsewhere = failure.error
                    continue
                if elsewhere is not None and failure.wrong_address:
                    raise elsewhere from None
                attempt += 1
                retry = Retry(attempt, self._server.wait_before(attempt, failure), failure.retry_reason)
            yield retry
            await self._server.sleep(retry.seconds)

    def _answering(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Return an attempt at ``request``, with an answer that is given as the call of a tool as text."""
        if not demands_output(request.parameters):
            return self._attempt(request)
        from swarmchat.swarm.models.answer_tool import read_answer_tool

        fields = {**request.parameters, **({"tools": request.tools} if request.tools else {})}

        def expected() -> bool:
            return output_form(self._adaptations(), fields, self.address) == "tool"

        return read_answer_tool(self._attempt(request), expected)

    async def _attempt(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Send ``request`` once; again in another form if the server asks for one. Raises AttemptError."""
        # openai 3 is built on httpx2, whose errors are raised while the body is read.
        from httpx2 import RequestError
        from openai import APIConnectionError, APIStatusError

        answer, lines = AnswerDeltas(), DataLines()
        deadline = asyncio.get_running_loop().time() + self._server.max_answer_time
        opened = False
        try:
            while isinstance(stream := await self._before(deadline, self._open(request)), Adapted):
                yield stream
            opened = True
            try:
                async with aclosing(self._events(stream.response, lines, deadline)) as events:
                    async for event in events:
                        for chunk in answer.add(event):
                            yield chunk
                        if answer.size > self._server.max_answer:
                            raise self._errors.too_long(self._server.max_answer)
            finally:
                await stream.close()
        except (APIConnectionError, RequestError) as error:
            # After the end of the answer, a server may close the connection, or keep it open without sending more.
            if not (answer.finished or lines.done):
                raise self._server.lost(error, opened) from error
        except APIStatusError as error:
            raise self._errors.status(error.status_code, error.body, error.response.headers) from error
        if not answer.has_choices and lines.done:
            raise self._errors.nothing_sent()
        if not (answer.finished or lines.done):
            raise self._errors.cut_off()
        for chunk in answer.rest():
            yield chunk
        whole = answer.answer(f"call_{request.key[:8]}", self._errors.address)
        self._check_finish(whole, answer.native_finish)
        yield whole

    async def _open(self, request: ModelRequest) -> "AsyncStream[object] | Adapted":
        """Send ``request`` and return the stream of the response, or what was learned: that another form is needed.

        Raises APIStatusError if the server refuses it for another reason.
        """
        from openai import APIStatusError, AsyncStream

        client = await self._server.client()
        adaptations = self._adaptations()
        fields: dict[str, Any] = {"tools": request.tools} if request.tools else {}
        fields |= {name: request.parameters[name] for name in sorted(request.parameters)}
        fields |= {"stream": True, "stream_options": {"include_usage": True}}
        form, plain = output_form(adaptations, fields, self.address), request.messages
        echoes, count = request.echoes, request.instructions
        if form == "prompt":
            plain = (*plain[:count], instruction(fields), *plain[count:])
            echoes = {index + (index >= count): echo for index, echo in echoes.items()}
        fields = apply_adaptations(adaptations, with_output_form(form, fields))
        if tools := fields.get("tools"):
            fields["tools"] = portable_tools(tools, empty_parameters="empty-parameters" in adaptations)
        messages = self._adapter.adapt(plain, echoes, tools="tools" in fields, form=message_form(adaptations))
        try:
            return await client.post(
                self._server.version_path + "/chat/completions",
                content=join_body(self.served_as, messages, fields),
                options={"headers": {"Content-Type": "application/json"}},
                cast_to=object,
                stream=True,
                stream_cls=AsyncStream[object],
            )
        except APIStatusError as error:
            adaptation = learn(error.status_code, error.response.text, fields, adaptations)
            if adaptation is None:
                raise
            return self._learn(adaptation)

    def _check_finish(self, answer: Answer, native: str) -> None:
        """Raise AttemptError if the server ended ``answer``, not the model; ``native`` is a provider's own reason."""
        empty = not answer.text and not answer.tool_calls
        if empty and _TROUBLE.search(native):
            # OpenRouter calls some failures of providers a normal end.
            raise self._errors.broken_off(native)
        if _TROUBLE.search(answer.finish) or (empty and not _FINISH.search(answer.finish)):
            raise self._errors.broken_off(answer.finish)

    async def _before(self, deadline: float, step: Awaitable[T]) -> T:
        """Return the result of ``step``. Raises AttemptError if it takes until ``deadline``."""
        try:
            async with asyncio.timeout_at(deadline) as limit:
                return await step
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise self._errors.too_slow(self._server.max_answer_time) from error

    async def _events(
        self, response: "Response", lines: DataLines, deadline: float
    ) -> AsyncGenerator[Mapping[str, Any], None]:
        """Yield the JSON objects of the stream, or the whole body if the server does not stream.

        The body tells which, not its media type: servers name either as the other.
        """
        if content_type(response) == "text/html":
            raise self._errors.web_page()
        # The package's own iterator fails at events without data, and drops a last event without a blank line.
        whole, body, limit = None, bytearray(), self._server.max_answer
        opening = b""
        async with aclosing(response.aiter_bytes()) as parts:
            while (part := await self._before(deadline, anext(parts, None))) is not None:
                if whole is None:
                    part = part.lstrip(_BLANK)
                    whole = part.startswith((b"{", b"[")) if part else None
                    opening = part
                if whole:
                    body += part
                else:
                    for data in lines.add(part):
                        yield self._parsed(data)
                if lines.done:
                    await _drain(parts)
                    return
                if max(len(body), lines.pending, lines.ignored) > limit:
                    raise self._errors.too_long(limit)
        if opening and not whole and not _STREAM.match(opening):
            raise self._errors.garbage(opening[:1000].decode("utf-8", "replace"))
        for data in _json_texts(bytes(body)) if whole else lines.add(b"\n"):
            yield self._parsed(data)

    def _parsed(self, data: bytes) -> Mapping[str, Any]:
        """Return the JSON object in ``data``. Raises AttemptError if it is none, or an error of the server."""
        why = ""
        try:
            event = decode_json(data)
        except NestingError as too_deep:
            event, why = None, str(too_deep)
        except ValueError:
            event = None
        event = error_object(event) if isinstance(event, list) else event
        if not isinstance(event, dict):
            raise self._errors.garbage(data[:1000].decode("utf-8", "replace"), why)
        if error := self._errors.in_answer(event):
            raise error
        return event


def _json_texts(body: bytes) -> list[bytes]:
    """Return the JSON texts in a body: one, however it is laid out, or one a line."""
    try:
        decode_json(body)
    except NestingError:
        return [body]
    except ValueError:
        lines = [line.removeprefix(b"data:").strip() for line in body.splitlines()]
        return [line for line in lines if line and line != b"[DONE]"]
    return [body]


async def _drain(parts: AsyncGenerator[bytes, None]) -> None:
    """Read to the end of the response, for at most ``_DRAIN_TIME`` seconds, so that the connection can be reused."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_DRAIN_TIME):
            async for _ in parts:
                pass
