"""A model of OpenAI, or of any server with OpenAI's chat completions API."""

import asyncio
import random
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from swarmchat.swarm.common.bounds import MAX_ANSWER, MAX_ANSWER_TIME
from swarmchat.swarm.common.messages import has_parts_encoded
from swarmchat.swarm.common.mistakes import COUNT, TEXT, check_value, explained, optional
from swarmchat.swarm.errors import ModelError
from swarmchat.swarm.models.base import Adapted, Answer, ModelEvent, ModelRequest, Retry, TextChunk, join_body
from swarmchat.swarm.models.context_windows import context_window_for, known_context_window
from swarmchat.swarm.models.openai_client import OpenAIServer
from swarmchat.swarm.models.openai_response import ResponseReader
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
from swarmchat.swarm.providers.failures import AttemptError
from swarmchat.swarm.providers.messages import MessageAdapter
from swarmchat.swarm.providers.schemas import portable_tools
from swarmchat.swarm.providers.structured import demands_output, instruction, output_form, with_output_form

if TYPE_CHECKING:
    from openai import AsyncStream


@explained
class OpenAIModel:
    """Streams answers from ``POST BASE_URL/chat/completions``.

    ``base_url``: the address with its version path; ``None``: OpenAI's. ``api_key``: ``None`` for servers that need no
    key; OpenAI's address then raises ModelAuthError without a request. ``served_as``: the name that the server knows,
    if it is not ``name``. ``headers`` and ``query`` are added to each request. ``context_window``: in tokens; ``None``:
    the value that the server reports, or the known value for the model's name. ``timeout``: seconds without a byte from
    the server, also before the first one. ``connect_timeout``: seconds to connect. ``max_retries``: retries after
    temporary failures, as long as no text has arrived. ``max_answer``: the largest answer in characters, and line in
    bytes. ``max_answer_time``: the longest time in seconds from a request to the end of its answer. ``adaptations``:
    the learned adaptations of servers; ``None``: none yet. ``demands``: names of adaptations that this server is known
    to need. ``sleep`` and ``jitter``: see ``OpenAIServer``. Raises DefinitionError unless ``base_url`` is an HTTP
    address.

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
        check_value("OpenAIModel", "name", name, TEXT)
        for each, value in {"base_url": base_url, "api_key": api_key}.items():
            check_value("OpenAIModel", each, value, optional(TEXT))
        check_value("OpenAIModel", "context_window", context_window, optional(COUNT))
        self._name = name
        self.served_as = served_as or name
        """The name that the server knows."""
        self._context_window = context_window
        self._discovered = False
        self.facts = ServerFacts()
        """What the server reported about the model: see ``discover``."""
        self._learned = adaptations or LearnedAdaptations()
        self._demands = tuple(demands)
        self._tried: tuple[str, ...] = ()
        """Adaptations that a refusal asks for, until a request in that form is accepted."""
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
        self._body = ResponseReader(self._errors, max_answer, max_answer_time)
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
        """The learned adaptations of requests for this model: names, with the effect of each."""
        return {name: describe(name) for name in self._adaptations()}

    def _adaptations(self) -> tuple[str, ...]:
        learned = self._learned.of(self.address, self.served_as)
        return (*(name for name in self._demands if name not in learned), *learned, *self._tried)

    def _version_path(self) -> str:
        return "/v1" if VERSION_PATH in self._adaptations() else ""

    def _learn(self) -> None:
        """Remember the adaptation that helped."""
        for name in self._tried:
            self._learned.add(self.address, self.served_as, name)
        self._tried = ()

    async def discover(self) -> None:
        """Ask a server for the model's real window, once, unless it is given.

        Sets ``facts``. A missing or invalid reply is not an error: the first request will show any problem. A server
        that is still loading its model is asked again by the next call.
        """
        if self._discovered or self._context_window is not None:
            return
        self._discovered = True
        if self._server.is_local or not known_context_window(self.served_as):
            models = await self._server.read(self.address + self._server.version_path + "/models")
            self._discovered = models is not None
            self.facts = facts_in_models(models or b"", self.served_as)
        if self._server.is_local and self._discovered:
            props = facts_in_props(await self._server.read(re.sub(r"/v\d+$", "", self.address) + "/props") or b"")
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
        text has arrived. No message contains the API key.
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
                            self._learned.add(self.address, self.served_as, VERSION_PATH)
                            yield Adapted(VERSION_PATH, describe(VERSION_PATH))
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
        answer, lines = AnswerDeltas(), DataLines()
        self._tried = ()
        deadline = asyncio.get_running_loop().time() + self._server.max_answer_time
        while True:
            adaptations = self._adaptations()
            fields, messages = self._form(request, adaptations)
            content = join_body(self.served_as, messages, fields)
            try:
                async with aclosing(self._events(content, answer, lines, deadline)) as events:
                    async for event in events:
                        for chunk in answer.add(event):
                            yield chunk
                        if answer.size > self._server.max_answer:
                            raise self._errors.too_long(self._server.max_answer)
                break
            except AttemptError as failure:
                # Gateways refuse a request also with an event in a response with status 200.
                status, words = failure.refusal
                attachments = any(map(has_parts_encoded, request.messages))
                adaptation = learn(status, words, fields, adaptations, attachments=attachments)
                if adaptation is None or answer.has_choices:
                    raise
                self._tried, lines = (*self._tried, adaptation), DataLines()
            yield Adapted(adaptation, describe(adaptation))
        self._learn()
        if not answer.has_choices and lines.done:
            raise self._errors.nothing_sent()
        if not (answer.finished or lines.done):
            raise self._errors.cut_off()
        for chunk in answer.rest():
            yield chunk
        whole = answer.answer(f"call_{request.key[:8]}", self._errors.address)
        self._body.check_finish(whole, answer.native_finish)
        yield whole

    async def _events(
        self, content: bytes, answer: AnswerDeltas, lines: DataLines, deadline: float
    ) -> AsyncGenerator[Mapping[str, Any], None]:
        """Post ``content`` and yield the objects of the response, which become ``answer``. Raises AttemptError."""
        # openai 3 is built on httpx2, whose errors are raised while the body is read.
        from httpx2 import RequestError
        from openai import APIConnectionError, APIStatusError

        stream = None
        try:
            stream = await self._body.before(deadline, self._post(content))
            try:
                async with aclosing(self._body.events(stream.response, lines, deadline)) as events:
                    async for event in events:
                        yield event
            finally:
                await stream.close()
        except (APIConnectionError, RequestError) as error:
            # After the end of the answer, a server may close the connection, or keep it open without sending more.
            if not (answer.finished or lines.done):
                opened = stream is not None and stream.response.num_bytes_downloaded > 0
                raise self._server.lost(error, opened) from error
        except APIStatusError as error:
            raise self._server.refused(error) from error

    async def _post(self, content: bytes) -> "AsyncStream[object]":
        from openai import AsyncStream

        client = await self._server.client()
        return await client.post(
            self._server.version_path + "/chat/completions",
            content=content,
            options={"headers": {"Content-Type": "application/json"}},
            cast_to=object,
            stream=True,
            stream_cls=AsyncStream[object],
        )

    def _form(self, request: ModelRequest, adaptations: Sequence[str]) -> tuple[dict[str, Any], Sequence[bytes]]:
        """Return the fields and the encoded messages of ``request`` in the form that ``adaptations`` ask for."""
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
            fields["tools"] = portable_tools(
                tools,
                empty_parameters="empty-parameters" in adaptations,
                short_descriptions="short-descriptions" in adaptations,
                alternatives="no-alternatives" not in adaptations,
                open_objects="no-open-objects" not in adaptations,
            )
        messages = self._adapter.adapt(
            plain, echoes, tools="tools" in fields, form=message_form(adaptations), fill=request.filled
        )
        return fields, messages
