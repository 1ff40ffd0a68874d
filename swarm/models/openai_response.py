"""Read the body of a response, a stream of events or one JSON text, within limits of time and size."""

import asyncio
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar

from swarmchat.swarm.common.encoding import NestingError, decode_json
from swarmchat.swarm.common.patterns import lazy_pattern
from swarmchat.swarm.errors import ModelRefused
from swarmchat.swarm.models.base import Answer
from swarmchat.swarm.models.openai_client import content_type
from swarmchat.swarm.models.streaming import DataLines
from swarmchat.swarm.providers.failures import ServerErrors, error_object

if TYPE_CHECKING:
    from httpx2 import Response

T = TypeVar("T")

_DRAIN_TIME = 0.1

_BLANK = b" \t\r\n\xef\xbb\xbf"
"""White space and the byte order mark, which some servers put before the body."""

_STREAM = lazy_pattern(rb"(?:data|event|id|retry)?:|[a-z]{0,4}\Z")
"""How a stream of events begins: with a field, a comment, or its first bytes."""

_TROUBLE = lazy_pattern(r"error|resource|abort|cancel|timeout|overload|unavailable", re.IGNORECASE)
"""Finish reasons by which a provider says that it, not the model, ended an answer (z.ai, DeepSeek, OpenRouter)."""
_FINISH = lazy_pattern(r"stop|length|tool_calls|function_call|content_filter|malformed|unexpected_tool", re.IGNORECASE)
"""Finish reasons of the model itself, with Gemini's ``MALFORMED_FUNCTION_CALL`` and ``UNEXPECTED_TOOL_CALL``."""


class ResponseReader:
    """Reads responses, and reports why they ended.

    ``max_answer``: the most bytes of a line or of a body. ``max_answer_time``: the most seconds until its end.
    """

    def __init__(self, errors: ServerErrors, max_answer: int, max_answer_time: float) -> None:
        self._errors = errors
        self._max_answer = max_answer
        self._max_time = max_answer_time
        self.on_object: Callable[[Mapping[str, Any]], None] | None = None
        """Gets the raw objects of answers as they come."""

    async def events(
        self, response: "Response", lines: DataLines, deadline: float
    ) -> AsyncGenerator[Mapping[str, Any], None]:
        """Yield the JSON objects of the stream, or the whole body if the server does not stream.

        The body tells which, not its media type: servers name either as the other.
        """
        if content_type(response) == "text/html":
            raise self._errors.web_page()
        # The package's own iterator fails at events without data, and drops a last event without a blank line.
        whole, body, limit = None, bytearray(), self._max_answer
        opening = b""
        async with aclosing(response.aiter_bytes()) as parts:
            while (part := await self.before(deadline, anext(parts, None))) is not None:
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
        if not opening:
            raise self._errors.nothing_sent(wrong_address=True)
        for number, data in enumerate(_json_texts(bytes(body)) if whole else lines.add(b"\n\n")):
            event = self._parsed(data)
            if whole and number == 0 and "choices" not in event:
                raise self._errors.garbage(data[:1000].decode("utf-8", "replace"))
            yield event

    def _parsed(self, data: bytes) -> Mapping[str, Any]:
        """Return the JSON object in ``data``. Raises AttemptError for anything else, and for an error of the server."""
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
            if isinstance(error.error, ModelRefused):
                error.refusal = HTTPStatus.BAD_REQUEST, data.decode("utf-8", "replace")
            raise error
        if self.on_object is not None:
            self.on_object(event)
        return event

    async def before(self, deadline: float, step: Awaitable[T]) -> T:
        """Return the result of ``step``. Raises AttemptError if it takes until ``deadline``."""
        try:
            async with asyncio.timeout_at(deadline) as limit:
                return await step
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise self._errors.too_slow(self._max_time) from error

    def check_finish(self, answer: Answer, native: str) -> None:
        """Raise AttemptError if the server ended ``answer``, not the model; ``native`` is a provider's own reason."""
        empty = not answer.text and not answer.tool_calls
        if empty and _TROUBLE.search(native):
            # OpenRouter calls some failures of providers a normal end.
            raise self._errors.broken_off(native)
        if _TROUBLE.search(answer.finish) or (empty and not _FINISH.search(answer.finish)):
            raise self._errors.broken_off(answer.finish)


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
