"""One request of a turn and its answer, as it streams in."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from swarmchat.swarm.conversation.conversation import Conversation
from swarmchat.swarm.conversation.events import Event, OutputDelta, ReasoningDelta, Retrying, TextDelta, Warned
from swarmchat.swarm.errors import ContextTooLong, ModelRefused
from swarmchat.swarm.models.base import (
    Adapted,
    Answer,
    FellBack,
    ModelEvent,
    ModelRequest,
    ReasoningChunk,
    Retry,
    TextChunk,
)
from swarmchat.swarm.tools.toolset import Toolset
from swarmchat.swarm.turn.answer_reader import AnswerReader

_LARGEST_FIGURE = 10**9
"""The largest number of tokens, or amount of money, that a server is believed to have counted for one request."""
_NOTHING_LEFT = {
    "length": "{} used up its limit of tokens before any answer, probably by reasoning: raise max_tokens, ask for less "
    "reasoning, or shorten the conversation",
    "content_filter": "the provider's content filter withheld the whole answer of {}: rephrase your message, or ask "
    "another model",
}
"""Error messages for answers that ended before they began, by finish reason."""


class Exchange:
    """A stored request, and its answer as it streams in. Without ``repair``, the answer is used as it comes.

    ``typed`` says that the answer is to be JSON of a given type.
    """

    def __init__(
        self,
        conversation: Conversation,
        toolset: Toolset,
        request: ModelRequest,
        notices: Sequence[Event],
        *,
        question: str,
        repair: bool,
        typed: bool = False,
    ) -> None:
        self.toolset = toolset
        """The tools and handoffs that the answer may call."""
        self.request = request
        self.notices = notices
        """What to tell the user before the request goes out."""
        # Where JSON is asked for, an answer in JSON is no call.
        self.reader = AnswerReader(toolset, f"{question} (in JSON)" if typed else question, repair=repair)
        self._typed = typed
        self._partial_at = 0
        """The length of the text from which on its value is read again."""
        self.agent = conversation.agent.name
        rejects = any(policy.reject_output is not None for policy in conversation.swarm.policies)
        rejects = rejects or conversation.hooks.has("after_request")
        self.held_back = rejects or conversation.agent.validate is not None
        """Whether the answer is shown only when it is whole, because it may still be rejected."""
        self.refusal: ContextTooLong | None = None
        """The server's error, if it found the context too long."""
        self.milliseconds = 0
        """How long the whole answer took."""
        self.answer = Answer()
        """The whole answer as the model gave it, once it has ended."""
        self._now = conversation.journal.now
        self._started = self._now()
        self._last: Answer | None = None

    def add(self, event: ModelEvent) -> Iterator[Event]:
        """Take the next event of the model; yield the events to show."""
        match event:
            case TextChunk() | ReasoningChunk():
                yield from self._deltas(self.reader.add(event))
            case Adapted(change=change):
                yield Warned(f"the server rejected the request; sending it in another form: {change}")
            case FellBack(model, reason):
                yield Warned(f"{model} answers in place of {self.request.model}: {reason}")
            case Retry(attempt, seconds, reason):
                yield Retrying(attempt, seconds, reason)
            case Answer(text):
                self._last = event
                if text and not self.reader.has_text:
                    yield from self._deltas(self.reader.add(TextChunk(text)))

    def finish(self) -> Iterator[Event]:
        """End the answer; yield the events that were held back.

        Raises ModelRefused if the limit of tokens, or a filter of the provider, left no answer.
        """
        yield from self._deltas(self.reader.finish())
        answer = self.reader.raw_answer(self._last)
        self.answer = replace(answer, usage=_plausible(answer.usage)) if answer.usage else answer
        if answer.finish in _NOTHING_LEFT and self.reader.said_nothing and not answer.tool_calls:
            raise ModelRefused(_NOTHING_LEFT[answer.finish].format(self.request.model))
        self.milliseconds = max(0, round((self._now() - self._started) / timedelta(milliseconds=1)))

    def _deltas(self, chunks: Iterable[TextChunk | ReasoningChunk]) -> Iterator[Event]:
        for chunk in chunks:
            if not self.held_back:
                kind = TextDelta if isinstance(chunk, TextChunk) else ReasoningDelta
                yield kind(chunk.text, self.agent)
                if self._typed and kind is TextDelta:
                    yield from self._partial_output()

    def _partial_output(self) -> Iterator[OutputDelta]:
        """Yield the value so far; at growing distances, so that reading a long one takes linear time."""
        text = self.reader.text
        if len(text) >= self._partial_at:
            from swarmchat.swarm.turn.output import partial_value

            self._partial_at = len(text) + len(text) // 32
            if (value := partial_value(text)) is not None:
                yield OutputDelta(value, self.agent)


def _plausible(usage: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return ``usage`` without impossible numbers, which would spoil every sum."""
    return {
        name: figure
        for name, figure in usage.items()
        if not isinstance(figure, int | float) or 0 <= figure <= _LARGEST_FIGURE
    }
