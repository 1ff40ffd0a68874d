"""A model of OpenAI, or of any server with OpenAI's chat completions API."""

import asyncio
import json
import random
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Any

from swarmchat.swarm.models.base import ModelEvent, ModelRequest, Retry
from swarmchat.swarm.models.context_windows import context_window_for
from swarmchat.swarm.models.openai_client import AttemptError, OpenAIServer, content_type
from swarmchat.swarm.models.streaming import AnswerDeltas, DataLines

if TYPE_CHECKING:
    from httpx2 import Response
    from openai import AsyncStream

_DRAIN_TIME = 0.1


class OpenAIModel:
    """Streams answers from ``POST BASE_URL/chat/completions``.

    ``base_url``: the address with its version path; ``None``: OpenAI's. ``api_key``: ``None`` for servers that need no
    key; OpenAI's address then raises ModelAuthError without a request. ``context_window``: in tokens; ``None``: looked
    up by the model's name. ``timeout``: seconds without a byte from the server, also before the first one.
    ``connect_timeout``: seconds to connect. ``max_retries``: retries after temporary failures, as long as no text has
    come. ``sleep`` and ``jitter``: see ``OpenAIServer``. Raises ValueError unless ``base_url`` is an HTTP address.

    The openai package is imported by the first request or by ``warm_up()``. It reads organisation, project and
    proxies from the environment.
    """

    def __init__(
        self,
        name: str,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        context_window: int | None = None,
        timeout: float = 300.0,
        connect_timeout: float = 10.0,
        max_retries: int = 4,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._name = name
        self._context_window = context_window or context_window_for(name)
        self._asks_usage = True
        self._server = OpenAIServer(
            base_url,
            api_key,
            timeout=timeout,
            connect_timeout=connect_timeout,
            max_retries=max_retries,
            sleep=sleep,
            jitter=jitter,
        )
        self._errors = self._server.errors

    @property
    def name(self) -> str:
        """The model's name."""
        return self._name

    @property
    def context_window(self) -> int:
        """The context window: tokens for a request plus its answer."""
        return self._context_window

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
        attempt = 1
        while True:
            started = False
            try:
                async with aclosing(self._attempt(request)) as events:
                    async for event in events:
                        started = True
                        yield event
                return
            except AttemptError as failure:
                if started:
                    raise failure.error from None
                attempt += 1
                retry = Retry(attempt, self._server.wait_before(attempt, failure), failure.retry_reason)
            yield retry
            await self._server.sleep(retry.seconds)

    async def _attempt(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Send ``request`` once. Raises AttemptError."""
        # openai 3 is built on httpx2, whose errors are raised while the body is read.
        from httpx2 import RequestError
        from openai import APIConnectionError, APIStatusError

        answer, lines = AnswerDeltas(), DataLines()
        opened = False
        try:
            stream = await self._open(request)
            opened = True
            try:
                async with aclosing(self._events(stream.response, lines)) as events:
                    async for event in events:
                        for chunk in answer.add(event):
                            yield chunk
            finally:
                await stream.close()
        except (APIConnectionError, RequestError) as error:
            # After the end of the answer, a server may close the connection, or keep it open without sending more.
            if not (answer.finished or lines.done):
                raise self._server.lost(error, opened) from error
        except APIStatusError as error:
            raise self._errors.status(error.status_code, error.body, error.response.headers) from error
        if not (answer.finished or lines.done):
            raise self._errors.cut_off()
        for chunk in answer.rest():
            yield chunk
        yield answer.answer(f"call_{request.key[:8]}")

    async def _open(self, request: ModelRequest) -> "AsyncStream[object]":
        """Send ``request`` and return the stream of the response; omit ``stream_options`` if the server rejects it."""
        from openai import APIStatusError, AsyncStream

        while True:
            client = await self._server.client()
            usage = {"stream_options": {"include_usage": True}} if self._asks_usage else {}
            try:
                return await client.post(
                    "/chat/completions",
                    content=request.body({"stream": True, **usage}),
                    options={"headers": {"Content-Type": "application/json"}},
                    cast_to=object,
                    stream=True,
                    stream_cls=AsyncStream[object],
                )
            except APIStatusError as error:
                # Groq and Databricks reject it (vercel/ai#1578, anomalyco/opencode#4698).
                named = re.search("stream_options|include_usage", error.response.text)
                if not usage or error.status_code not in (400, 422) or not named:
                    raise
                self._asks_usage = False

    async def _events(self, response: "Response", lines: DataLines) -> AsyncGenerator[Mapping[str, Any], None]:
        """Yield the JSON objects of the stream, or the whole body if the server does not stream."""
        media_type = content_type(response)
        if media_type == "text/html":
            raise self._errors.web_page()
        if media_type == "application/json":
            yield self._parsed(await response.aread())
            return
        # The package's own iterator fails at events without data, and drops a last event without a blank line.
        async with aclosing(response.aiter_bytes()) as parts:
            async for part in parts:
                for data in lines.add(part):
                    yield self._parsed(data)
                if lines.done:
                    await _drain(parts)
                    return
        for data in lines.add(b"\n"):
            yield self._parsed(data)

    def _parsed(self, data: bytes) -> Mapping[str, Any]:
        """Return the JSON object in ``data``. Raises AttemptError if it is none, or an error of the server."""
        try:
            event = json.loads(data)
        except (ValueError, RecursionError):
            event = None
        if not isinstance(event, dict):
            raise self._errors.garbage(data.decode("utf-8", "replace"))
        if event.get("error") or event.get("object") == "error":
            raise self._errors.status(None, event.get("error") or event, {})
        return event


async def _drain(parts: AsyncGenerator[bytes, None]) -> None:
    """Read to the end of the response, for at most ``_DRAIN_TIME`` seconds, so that the connection can be reused."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_DRAIN_TIME):
            async for _ in parts:
                pass
