"""A model behind the OpenAI chat completions API: OpenAI itself, or any server that speaks like it."""

import asyncio
import json
import random
import re
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from swarmchat.swarm.deltas import AnswerDeltas, DataLines
from swarmchat.swarm.errors import ModelAuthError, ModelBusy
from swarmchat.swarm.model import ModelEvent, ModelRequest, Retry
from swarmchat.swarm.model_errors import AttemptError, Refusals
from swarmchat.swarm.model_limits import context_window_for

if TYPE_CHECKING:
    from httpx2 import Response
    from openai import AsyncOpenAI, AsyncStream

OPENAI_URL = "https://api.openai.com/v1"
LONGEST_WAIT = 60.0
"""Seconds: a server that asks for a longer wait is given up on."""

_FIRST_WAIT, _LONGEST_BACKOFF = 0.5, 8.0
_DRAIN_TIME = 0.1


class OpenAIModel:
    """Answers over ``POST BASE_URL/chat/completions``, streaming.

    ``base_url``: the address with its version path, OpenAI's own when ``None``. ``api_key``: may be ``None`` for
    servers that want none; OpenAI's own address then raises ModelAuthError without a request. ``context_window``: in
    tokens, by the model's name when ``None``. ``timeout``: seconds without a byte from the server, which is also
    how long the first byte may take; ``connect_timeout``: seconds to connect. ``max_retries``: how often a failure
    that may pass, before anything was said, is tried again. ``sleep`` waits between attempts, ``jitter`` returns the
    part, 0 to 1, of a backoff's second half that is waited. Raises ValueError for an address that is no HTTP address.

    The openai package is imported by the first request or by ``warm_up()``. It takes its organisation, its project and
    its proxies from the environment itself.
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
        self._base_url = (base_url or OPENAI_URL).strip().rstrip("/")
        self._api_key = (api_key or "").strip() or None
        parts = urlsplit(self._base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"base_url {base_url!r}: expected an address such as http://localhost:11434/v1")
        self._context_window = context_window or context_window_for(name)
        self._timeout, self._connect_timeout = timeout, connect_timeout
        self._max_retries = max_retries
        self._sleep, self._jitter = sleep, jitter
        self._asks_usage = True
        self._lock = threading.Lock()
        self._client: AsyncOpenAI | None = None
        self._refusals = Refusals(self._base_url, self._api_key)

    @property
    def name(self) -> str:
        """What the model is called."""
        return self._name

    @property
    def context_window(self) -> int:
        """How many tokens a request and its answer may have together."""
        return self._context_window

    def warm_up(self) -> None:
        """Import the openai package and make the client, so that the first request need not wait for that.

        May be called from any thread, and more than once. Does no network access.
        """
        with self._lock:
            if self._client is not None:
                return
            from openai import AsyncOpenAI, Timeout

            self._client = AsyncOpenAI(
                base_url=self._base_url,
                # The package insists on a key; servers without keys ignore it.
                api_key=self._api_key or "none",
                timeout=Timeout(self._timeout, connect=self._connect_timeout),
                # Retries are ours, so that each wait can be shown.
                max_retries=0,
            )

    async def close(self) -> None:
        """Close the connections. Closing twice is no error, and a later request opens new ones."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Answer ``request``; see ``Model.stream``.

        Raises ModelUnavailable, ModelBusy, ModelAuthError, ModelNotFound, ModelRefused and ContextTooLong. Failures
        that may pass (connection, timeout, 408, 409, 429, 5xx) come as Retry events while attempts are left and nothing
        was said. No message holds the key.
        """
        self._check_key()
        attempt = 1
        while True:
            said = False
            try:
                async with aclosing(self._attempt(request)) as events:
                    async for event in events:
                        said = True
                        yield event
                return
            except AttemptError as failure:
                if said or not failure.passing or attempt > self._max_retries:
                    raise failure.error from None
                attempt += 1
                retry = Retry(attempt, self._wait(failure, attempt), failure.passing)
            yield retry
            await self._sleep(retry.seconds)

    def _check_key(self) -> None:
        """Raise ModelAuthError where no request could succeed: no key for OpenAI, or one that no header can hold."""
        key = self._api_key
        if key is None and urlsplit(self._base_url).hostname == urlsplit(OPENAI_URL).hostname:
            raise ModelAuthError(
                f"{self._refusals.address} needs an API key and none is set: set OPENAI_API_KEY, "
                "or give the address of a server that needs none as base URL"
            )
        if key is not None and not (key.isascii() and key.isprintable() and " " not in key):
            raise ModelAuthError("the API key holds a space, a line break or a letter outside ASCII: copy it again")

    def _wait(self, failure: AttemptError, attempt: int) -> float:
        """Return the seconds before ``attempt``; raise ModelBusy when the server asks for too many."""
        if failure.wait is None:
            backoff = min(_FIRST_WAIT * 2.0 ** (attempt - 2), _LONGEST_BACKOFF)
            return backoff * (1 + self._jitter()) / 2
        if failure.wait > LONGEST_WAIT:
            raise ModelBusy(
                f"{self._refusals.address} asks to wait {failure.wait:.0f} s, more than the {LONGEST_WAIT:.0f} s "
                f"that this program waits; try again then. {failure.error}"
            ) from None
        return failure.wait

    async def _attempt(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Send ``request`` once. Raises AttemptError."""
        # What openai 3 is built on: reading the body raises its errors.
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
            # A server may hang up after the end, or keep the line open and say nothing more.
            if not (answer.finished or lines.done):
                raise self._lost(error, opened) from error
        except APIStatusError as error:
            raise self._refusals.status(error.status_code, error.body, error.response.headers) from error
        if not (answer.finished or lines.done):
            raise self._refusals.cut_off()
        for chunk in answer.rest():
            yield chunk
        yield answer.answer(f"call_{request.key[:8]}")

    def _lost(self, error: Exception, opened: bool) -> AttemptError:
        """Return what the loss of the connection means, before (``opened`` false) or after the answer began."""
        cause = error.__cause__ or error
        kind = type(cause).__name__
        if kind.startswith("Connect") or not (opened or kind.endswith("Timeout")):
            late = f"no connection within {self._connect_timeout:g} s" if kind == "ConnectTimeout" else ""
            return self._refusals.no_connection(late or str(cause) or kind)
        return self._refusals.silence(self._timeout) if kind.endswith("Timeout") else self._refusals.cut_off()

    async def _open(self, request: ModelRequest) -> "AsyncStream[object]":
        """Return the answering stream, asking without ``stream_options`` if the server does not know them."""
        from openai import APIStatusError, AsyncStream

        while True:
            if (client := self._client) is None:
                # The import takes half a second: off the event loop.
                await asyncio.to_thread(self.warm_up)
                continue
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
                # Groq and Databricks refused it (vercel/ai#1578, anomalyco/opencode#4698).
                named = re.search("stream_options|include_usage", error.response.text)
                if not usage or error.status_code not in (400, 422) or not named:
                    raise
                self._asks_usage = False

    async def _events(self, response: "Response", lines: DataLines) -> AsyncGenerator[Mapping[str, Any], None]:
        """Yield the objects of the stream, or the one body of a server that does not stream."""
        kind = response.headers.get("content-type", "").split(";")[0].strip().lower()
        if kind == "text/html":
            raise self._refusals.wrong_address("it answers with a web page")
        if kind == "application/json":
            yield self._parsed(await response.aread())
            return
        # Not the package's own event iterator: it fails at events without data and loses a last one without blank line.
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
        """Return the object in ``data`` if it can be a part of an answer. Raises AttemptError."""
        try:
            event = json.loads(data)
        except (ValueError, RecursionError):
            event = None
        if not isinstance(event, dict):
            raise self._refusals.garbage(data.decode("utf-8", "replace"))
        if event.get("error") or event.get("object") == "error":
            raise self._refusals.status(None, event.get("error") or event, {})
        return event


async def _drain(parts: AsyncGenerator[bytes, None]) -> None:
    """Read what follows the end, so that the connection can be used again; a server that keeps it open is left."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_DRAIN_TIME):
            async for _ in parts:
                pass
