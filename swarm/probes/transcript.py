"""The record of an exchange with a model server: requests, raw answers, and the events of the session."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from swarmchat.swarm.common.encoding import decode_json
from swarmchat.swarm.conversation.events import Event, Rescued, ToolFinished, TurnEnded
from swarmchat.swarm.errors import SwarmError
from swarmchat.swarm.models import base
from swarmchat.swarm.models.base import Adapted, Answer, ModelEvent, ModelRequest, ReasoningChunk, Retry, TextChunk
from swarmchat.swarm.probes.budget import ProbeBudget


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
    def counted(self) -> tuple[int, int]:
        """The tokens of request and answer as the server counts them; 0 if it does not."""
        usage = (self.answer.usage if self.answer is not None else None) or {}
        prompt, answer = (usage.get(name) for name in ("prompt_tokens", "completion_tokens"))
        return max(0, prompt) if isinstance(prompt, int) else 0, max(0, answer) if isinstance(answer, int) else 0

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
    """Forwards requests to ``inner``, and records each exchange in ``replies``. Does not close ``inner``.

    The answers of ``history`` are given first, without a request. What ``budget`` does not allow is not sent.
    """

    def __init__(self, inner: base.Model, budget: ProbeBudget, history: Sequence[Answer] = ()) -> None:
        self._budget = budget
        self._history = deque(history)
        self.name, self.context_window = inner.name, inner.context_window
        self._inner = inner
        self.replies: list[RecordedExchange] = []
        self.adaptations: list[str] = []
        """Names of the adaptations that were learned."""

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Answer ``request``; see ``Model.stream``. Raises BudgetSpent."""
        if self._history:
            yield self._history.popleft()
            return
        self._budget.begin(request)
        reply = RecordedExchange(request)
        self.replies.append(reply)
        if isinstance(self._inner, base.ObservableModel):
            reply.objects = []
            self._inner.on_object = reply.objects.append
        clock = asyncio.get_running_loop().time
        started, characters = clock(), 0
        try:
            async with aclosing(self._inner.stream(request)) as events:
                async for event in events:
                    if isinstance(event, TextChunk | ReasoningChunk):
                        if reply.first is None:
                            reply.first = clock() - started
                        characters += len(event.text)
                        self._budget.check_answer(request, characters)
                    elif isinstance(event, Adapted) or (isinstance(event, Retry) and "loading" not in event.reason):
                        # A server that is loading its model has not read the request.
                        self._budget.repeat()
                    if isinstance(event, TextChunk):
                        reply.texts.append(event.text)
                    elif isinstance(event, Answer):
                        reply.answer = event
                    elif isinstance(event, Adapted):
                        self.adaptations.append(event.name)
                    reply.reasoned = reply.reasoned or isinstance(event, ReasoningChunk)
                    yield event
        finally:
            reply.seconds = clock() - started
            calls = reply.answer.tool_calls if reply.answer is not None else ()
            characters += sum(len(call.name) + len(call.arguments) for call in calls)
            self._budget.end(request, *reply.counted, characters)

    async def close(self) -> None:
        """Do nothing: the owner of the inner model closes it."""


@dataclass(frozen=True, slots=True)
class ExchangeOutcome:
    """An event with the numbers of its turn and its request, both counted from 0."""

    turn: int
    request: int
    event: Event


@dataclass
class ProbeTranscript:
    """The record of an exchange: the server's replies, and the resulting events of the session."""

    replies: list[RecordedExchange]
    outcomes: list[ExchangeOutcome]
    adaptations: list[str]
    """Names of the adaptations to the server that were learned in this exchange."""
    error: SwarmError | None = None
    """The error that ended the exchange early, if any."""

    @property
    def rescued(self) -> list[Rescued]:
        """The rescue steps that were taken."""
        return [each.event for each in self.outcomes if isinstance(each.event, Rescued)]

    @property
    def ends(self) -> list[TurnEnded]:
        """The ends of the turns that were completed."""
        return [each.event for each in self.outcomes if isinstance(each.event, TurnEnded)]

    @property
    def text(self) -> str:
        """The last answer; empty if there is none, or only the placeholder."""
        return self.ends[-1].text.strip() if self.ends and self.ends[-1].recovered else ""

    @property
    def counted_tokens(self) -> int | None:
        """The prompt tokens of the last complete answer as the server counts them."""
        usages = (reply.answer.usage for reply in reversed(self.replies) if reply.answer is not None)
        counted = (next(usages, None) or {}).get("prompt_tokens")
        return counted if isinstance(counted, int) else None

    @property
    def estimated_tokens(self) -> int:
        """The tokens of the last context by our own count; 0 if no turn was completed."""
        return self.ends[-1].context_tokens if self.ends else 0

    @property
    def native_calls(self) -> bool:
        """Whether the server sent tool calls in their own field, not as text."""
        return any(reply.answer is not None and reply.answer.tool_calls for reply in self.replies)

    def calls(
        self, turn: int | None = None, *, tool: str | None = None, successful: bool = False
    ) -> list[ToolFinished]:
        """Return the tool calls, optionally of one turn, of one tool, or successful ones only."""
        return [
            each.event
            for each in self.outcomes
            if isinstance(each.event, ToolFinished)
            and turn in (None, each.turn)
            and tool in (None, each.event.name)
            and (each.event.status == "ok" or not successful)
        ]

    def most_at_once(self) -> int:
        """Return the largest number of calls in one message."""
        requests = [each.request for each in self.outcomes if isinstance(each.event, ToolFinished)]
        return max((requests.count(request) for request in requests), default=0)


def arguments_of(call: ToolFinished) -> dict[str, Any]:
    """Return the arguments of ``call``; empty if they are not a JSON object."""
    try:
        values = decode_json(call.arguments)
    except ValueError:
        return {}
    return values if isinstance(values, dict) else {}
