"""A model that forwards requests to another one, and records each request with its raw answer."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from swarmchat.swarm.models.base import (
    Answer,
    Model,
    ModelEvent,
    ModelRequest,
    ObservableModel,
    ReasoningChunk,
    TextChunk,
)


@dataclass
class RecordedExchange:
    """One request with the answer to it, before any repair."""

    request: ModelRequest
    texts: list[str] = field(default_factory=list)
    """The pieces of the text."""
    objects: list[Mapping[str, Any]] | None = None
    """The JSON objects that the server sent; ``None`` if the model does not run on a server."""
    answer: Answer | None = None
    """``None`` if the answer is incomplete."""
    first: float | None = None
    """Seconds until the first piece of text or reasoning."""
    seconds: float = 0.0
    """Seconds until the end of the answer."""
    reasoned: bool = False
    """Whether the server sent reasoning separately from the answer."""

    @property
    def text(self) -> str:
        """The text before any repair."""
        return self.answer.text if self.answer is not None else "".join(self.texts)

    @property
    def stop_reasons(self) -> list[str]:
        """The finish reasons that the server gave."""
        return [str(choice["finish_reason"]) for choice in self._choices if choice.get("finish_reason")]

    @property
    def call_ids(self) -> list[str]:
        """The ids of the calls, in order; empty for a call without an id."""
        ids: dict[str, str] = {}
        for number, (piece, function) in enumerate(self._call_pieces):
            if function.get("name"):
                ids.setdefault(str(piece.get("index", number)), str(piece.get("id") or ""))
        return list(ids.values())

    @property
    def argument_pieces(self) -> int:
        """The number of pieces that the arguments of all calls arrived in."""
        return sum(bool(function.get("arguments")) for _, function in self._call_pieces)

    @property
    def _choices(self) -> list[Mapping[str, Any]]:
        return [choice for each in self.objects or () for choice in _objects(each.get("choices"))]

    @property
    def _call_pieces(self) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
        deltas = _objects([choice.get("delta") or choice.get("message") for choice in self._choices])
        pieces = [piece for delta in deltas for piece in _objects(delta.get("tool_calls"))]
        return [(piece, function) for piece in pieces for function in _objects([piece.get("function")])]


def _objects(value: object) -> list[Mapping[str, Any]]:
    """Return the JSON objects in a list; empty if ``value`` is not a list."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


class RecordingModel:
    """Forwards requests to ``inner``, and records each exchange in ``replies``. Does not close ``inner``."""

    def __init__(self, inner: Model) -> None:
        self._inner = inner
        self.replies: list[RecordedExchange] = []

    @property
    def name(self) -> str:
        """The inner model's name."""
        return self._inner.name

    @property
    def context_window(self) -> int:
        """The inner model's context window."""
        return self._inner.context_window

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Answer ``request``; see ``Model.stream``."""
        reply = RecordedExchange(request)
        self.replies.append(reply)
        if isinstance(self._inner, ObservableModel):
            reply.objects = []
            self._inner.on_object = reply.objects.append
        clock = asyncio.get_running_loop().time
        started = clock()
        try:
            async with aclosing(self._inner.stream(request)) as events:
                async for event in events:
                    if isinstance(event, TextChunk | ReasoningChunk) and reply.first is None:
                        reply.first = clock() - started
                    if isinstance(event, TextChunk):
                        reply.texts.append(event.text)
                    elif isinstance(event, Answer):
                        reply.answer = event
                    reply.reasoned = reply.reasoned or isinstance(event, ReasoningChunk)
                    yield event
        finally:
            reply.seconds = clock() - started

    async def close(self) -> None:
        """Do nothing: the owner of the inner model closes it."""
