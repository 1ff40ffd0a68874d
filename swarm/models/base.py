"""The interface to language models: a request goes in, chunks of an answer come out, an ``Answer`` ends them."""

import hashlib
import json
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, Protocol, runtime_checkable

from swarmchat.swarm.common.encoding import encode_json


class Hashed:
    """A sha256 over messages that can be extended by further ones.

    Each request of a chat begins with the messages of the one before, so only the new ones are hashed.
    """

    def __init__(self, messages: tuple[bytes, ...] = ()) -> None:
        self._messages: tuple[bytes, ...] = ()
        self._state = hashlib.sha256()
        self._add(messages)

    def going_on(self, messages: tuple[bytes, ...]) -> "Hashed":
        """Return ``Hashed(messages)``, computed from this one if they begin with its messages."""
        known = len(self._messages)
        if messages[:known] != self._messages:
            return Hashed(messages)
        longer = Hashed()
        longer._messages, longer._state = self._messages, self._state.copy()
        longer._add(messages[known:])
        return longer

    @property
    def hexdigest(self) -> str:
        """The digest, as 64 characters."""
        return self._state.hexdigest()

    def _add(self, messages: tuple[bytes, ...]) -> None:
        # The length keeps pieces apart: two messages are not one with the same bytes.
        self._state.update(b"".join([part for piece in messages for part in (b"%d:" % len(piece), piece)]))
        self._messages += messages


@dataclass(frozen=True)
class ModelRequest:
    """A chat request, ready to be sent.

    ``messages`` are OpenAI chat messages, each already encoded as JSON, so that the body is joined from stored
    bytes and not built again (the openai package's own ``create()`` walks every message of every request).
    """

    model: str
    messages: tuple[bytes, ...]
    tools: tuple[Mapping[str, Any], ...] = ()
    """Tool definitions in the chat API's form: ``{"type": "function", "function": {…}}``."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of the body: temperature, max_tokens, tool_choice …"""
    instructions: int = 0
    """How many of the messages, from the first on, are the agent's own system messages."""
    before: Hashed = field(default_factory=Hashed, repr=False, compare=False)
    """The ``conversation`` of an earlier request, to hash only what is new. Does not change the result."""

    @cached_property
    def key(self) -> str:
        """Identify the request: the sha256, in hex, of its parts. Streaming or not makes no difference."""
        return Hashed((json.dumps(self.parts).encode(),)).hexdigest

    @cached_property
    def conversation(self) -> Hashed:
        """The messages but for the instructions, hashed."""
        return self.before.going_on(self.messages[self.instructions :])

    @cached_property
    def parts(self) -> dict[str, str]:
        """Identify each part of the request by the sha256, in hex, of its JSON, to tell which of them changed."""
        return {
            "model": _digest(encode_json(self.model)),
            "instructions": _digest(*self.messages[: self.instructions]),
            "conversation": self.conversation.hexdigest,
            "tools": _digest(encode_json(self.tools)),
            "parameters": _digest(json.dumps(self.parameters, sort_keys=True, default=str).encode()),
        }

    def body(self, extra: Mapping[str, Any] | None = None) -> bytes:
        """Return the JSON body for ``POST /chat/completions``, with the fields of ``extra`` added."""
        fields = [(name, self.parameters[name]) for name in sorted(self.parameters)] + [*(extra or {}).items()]
        if self.tools:
            fields.insert(0, ("tools", self.tools))
        before = b'{"model":' + encode_json(self.model) + b',"messages":['
        after = b"]" + b"".join([b"," + encode_json(name) + b":" + encode_json(value) for name, value in fields]) + b"}"
        # Joined once: a long conversation would be copied once more.
        first, rest = self.messages[:1], self.messages[1:]
        if not rest:
            return before + b"".join(first) + after
        return b",".join((before + first[0], *rest[:-1], rest[-1] + after))

    def decoded_messages(self) -> list[dict[str, Any]]:
        """Return the messages as Python objects, for models that read them and for display."""
        return [json.loads(message) for message in self.messages]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that the model wants made. ``arguments`` is the text the model wrote: JSON if all is well."""

    id: str
    name: str
    arguments: str

    def to_message(self) -> dict[str, Any]:
        """Return the call in the form of an assistant message's ``tool_calls``."""
        return {
            "id": self.id,
            "type": "function",
            "function": {"name": self.name, "arguments": self.arguments},
        }


@dataclass(frozen=True, slots=True)
class TextChunk:
    """The next piece of the answer's text; never empty, never half a character."""

    text: str


@dataclass(frozen=True, slots=True)
class ReasoningChunk:
    """The next piece of a reasoning model's thoughts. Not part of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Retry:
    """The attempt failed temporarily, before any text; the next one starts in ``seconds``."""

    attempt: int
    """Which attempt comes next, counted from 2."""
    seconds: float
    reason: str


@dataclass(frozen=True, slots=True)
class Answer:
    """The whole answer. Always the last event."""

    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish: str = "stop"
    """stop, length, tool_calls, content_filter, or what else the server said."""
    usage: Mapping[str, Any] | None = None
    """Tokens as the server counts them (``prompt_tokens``, ``completion_tokens`` …); ``None`` if it does not say."""
    model: str = ""
    """Which model the server says that it used."""
    reasoning: str = ""

    def to_message(self) -> dict[str, Any]:
        """Return the answer as an assistant chat message, as it is stored and sent again."""
        message: dict[str, Any] = {"role": "assistant", "content": self.text}
        if self.tool_calls:
            # The API documents null, not "", for an assistant message that only calls tools.
            message["content"] = self.text or None
            message["tool_calls"] = [call.to_message() for call in self.tool_calls]
        return message


ModelEvent = TextChunk | ReasoningChunk | Retry | Answer


class Model(Protocol):
    """A language model. Creating one does no I/O and imports nothing heavy."""

    @property
    def name(self) -> str:
        """The model's name, in requests and on the screen."""
        ...

    @property
    def context_window(self) -> int:
        """The context window: tokens for a request plus its answer."""
        ...

    def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Answer ``request``: yield text as it comes and the whole ``Answer`` last.

        Closing the generator, or cancelling the task that reads it, stops the transfer at once.
        Raises the kinds of ModelError. An error after the first TextChunk is raised as it is, never retried: the
        text was already said.
        """
        ...

    async def close(self) -> None:
        """Close the connections. Closing twice is no error."""
        ...


@runtime_checkable
class PreloadableModel(Model, Protocol):
    """A model whose first request would have to wait for an import."""

    def warm_up(self) -> None:
        """Import what the first request needs. Called in a thread, while the user types."""
        ...


@runtime_checkable
class ObservableModel(Model, Protocol):
    """A model that shows the parts of a server's answer as they were sent."""

    on_object: Callable[[Mapping[str, Any]], None] | None
    """Called with each JSON object of an answer, before it is parsed."""


@lru_cache(maxsize=256)
def _digest(*pieces: bytes) -> str:
    """Return the sha256 of ``pieces``, cached because they seldom change from request to request."""
    return Hashed(pieces).hexdigest
