"""One request and its answer, as it streams in."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from swarmchat.swarm.context.builder import RequestContext
from swarmchat.swarm.conversation.conversation import Conversation
from swarmchat.swarm.conversation.events import Event, ReasoningDelta, Retrying, TextDelta, Warned
from swarmchat.swarm.errors import ContextTooLong
from swarmchat.swarm.models.base import Answer, ModelEvent, ModelRequest, ReasoningChunk, Retry, TextChunk
from swarmchat.swarm.tools.toolset import Toolset
from swarmchat.swarm.turn.answer_reader import AnswerReader

_LARGEST_FIGURE = 10**9
"""The largest number of tokens, or amount of money, that a server is believed to have counted for one request."""


class Exchange:
    """A request that was stored and is about to be sent. Without ``repair``, the answer is taken as it comes."""

    def __init__(
        self,
        conversation: Conversation,
        toolset: Toolset,
        context: RequestContext,
        request: ModelRequest,
        *,
        question: str,
        repair: bool,
        notices: Sequence[Event],
    ) -> None:
        self.toolset = toolset
        """What the answer may call."""
        self.request = request
        self.notices = notices
        """What there is to say before the request goes out."""
        self.reader = AnswerReader(toolset, question, repair=repair)
        self.agent = conversation.agent.name
        rejects = any(policy.reject_output is not None for policy in conversation.swarm.policies)
        self.held_back = rejects or conversation.agent.validate is not None
        """Whether the answer is shown only when it is whole: what may still be rejected is not shown as it comes."""
        self.refusal: ContextTooLong | None = None
        """What the server said, if it found the context too long."""
        self.milliseconds = 0
        """How long the whole answer took."""
        self.answer = Answer()
        """The whole answer as the model gave it, once it has ended."""
        self._conversation = conversation
        self._context = context
        self._started = conversation.journal.now()
        self._last: Answer | None = None

    @property
    def call_prefix(self) -> str:
        """What the ids of calls begin with that are found in the text of this answer."""
        return f"text_{self.request.key[:8]}"

    def add(self, event: ModelEvent) -> Iterator[Event]:
        """Take what the model sends next; yield what may be shown."""
        match event:
            case TextChunk() | ReasoningChunk():
                yield from self._shown(self.reader.add(event))
            case Retry(attempt, seconds, reason):
                yield Retrying(attempt, seconds, reason)
            case Answer(text):
                self._last = event
                if text and not self.reader.has_text:
                    yield from self._shown(self.reader.add(TextChunk(text)))

    def finish(self) -> Iterator[Event]:
        """End the answer; yield what was still held back."""
        yield from self._shown(self.reader.finish())
        answer = self.reader.raw_answer(self._last)
        self.answer = replace(answer, usage=_plausible(answer.usage)) if answer.usage else answer
        elapsed = self._conversation.journal.now() - self._started
        self.milliseconds = max(0, round(elapsed / timedelta(milliseconds=1)))

    def cut_warning(self) -> Warned | None:
        """Return, once a session, that the server seems to have read less than it was sent."""
        warning = self._conversation.cut_warning(self.answer.usage, self._context.tokens)
        return None if warning is None else Warned(warning)

    def _shown(self, chunks: Iterable[TextChunk | ReasoningChunk]) -> Iterator[Event]:
        for chunk in chunks:
            if not self.held_back:
                kind = TextDelta if isinstance(chunk, TextChunk) else ReasoningDelta
                yield kind(chunk.text, self.agent)


def _plausible(usage: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return ``usage`` without numbers that no request can have: nobody could calculate with them."""
    return {
        name: figure
        for name, figure in usage.items()
        if not isinstance(figure, int | float) or 0 <= figure <= _LARGEST_FIGURE
    }
