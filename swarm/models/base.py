"""The interface of language models: they take a request and stream chunks of text, then the whole ``Answer``."""

import hashlib
import json
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, Protocol, runtime_checkable

from swarmchat.swarm.common.encoding import encode_json
from swarmchat.swarm.common.messages import has_parts_encoded, images_in
from swarmchat.swarm.models.server_facts import ServerFacts


class MessageDigest:
    """The sha256 of a list of messages, which can be extended without hashing the first ones again.

    Each request of a chat starts with the messages of the previous one, so only the new ones need hashing.
    """

    def __init__(self, messages: tuple[bytes, ...] = ()) -> None:
        self._messages: tuple[bytes, ...] = ()
        self._state = hashlib.sha256()
        self.images = 0
        """The number of images in the messages."""
        self._add(messages)

    def extended_to(self, messages: tuple[bytes, ...]) -> "MessageDigest":
        """Return ``MessageDigest(messages)``, reusing this digest if they start with its messages."""
        count = len(self._messages)
        if messages[:count] != self._messages:
            return MessageDigest(messages)
        longer = MessageDigest()
        longer._messages, longer._state, longer.images = self._messages, self._state.copy(), self.images
        longer._add(messages[count:])
        return longer

    @property
    def hexdigest(self) -> str:
        """The digest, as 64 characters."""
        return self._state.hexdigest()

    def _add(self, messages: tuple[bytes, ...]) -> None:
        # Each message is preceded by its length, so that two messages differ from one with the same bytes.
        self._state.update(b"".join([part for message in messages for part in (b"%d:" % len(message), message)]))
        self._messages += messages
        self.images += sum(map(images_in, messages))


def join_body(model: str, messages: Sequence[bytes], fields: Mapping[str, Any]) -> bytes:
    """Return the JSON body of a request with ``messages``, each encoded already, and other ``fields``."""
    before = b'{"model":' + encode_json(model) + b',"messages":['
    after = [b"," + encode_json(name) + b":" + encode_json(value) for name, value in fields.items()]
    end = b"".join((b"]", *after, b"}"))
    if len(messages) < 2:
        return b"".join((before, *messages, end))
    # A single join: concatenating afterwards would copy a long conversation again.
    return b",".join((before + messages[0], *messages[1:-1], messages[-1] + end))


@dataclass(frozen=True)
class ModelRequest:
    """A chat request, ready to be sent.

    ``messages`` are OpenAI chat messages, each already encoded as JSON: the body is joined from stored bytes instead
    of being encoded again (the openai package's ``create()`` walks through every message of every request).
    """

    model: str
    messages: tuple[bytes, ...]
    tools: tuple[Mapping[str, Any], ...] = ()
    """Tool definitions in the format of the chat API: ``{"type": "function", "function": {…}}``."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Other fields of the body: temperature, max_tokens, tool_choice …"""
    instructions: int = 0
    """Number of messages at the start that are the agent's own system messages."""
    echoes: Mapping[int, Mapping[str, Any]] = field(default_factory=dict, repr=False)
    """What providers attached to answers, by the index of the message: see ``Answer.echo``. Not part of the key."""
    previous: MessageDigest = field(default_factory=MessageDigest, repr=False, compare=False)
    """The ``conversation`` of an earlier request, so that only new messages are hashed. Does not change the result."""
    blobs: Mapping[str, bytes] = field(default_factory=dict, repr=False, compare=False)
    """The data of images that the messages name, by its sha256: see ``filled``. Named in the key, not part of it."""
    agent: str = field(default="", compare=False)
    """The agent that asks. Not sent, and not part of the key."""

    @cached_property
    def key(self) -> str:
        """Hex sha256 that identifies the request, whether it is streamed or not."""
        return MessageDigest((json.dumps(self.parts).encode(),)).hexdigest

    @cached_property
    def conversation(self) -> MessageDigest:
        """Digest of all messages after the instructions."""
        return self.previous.extended_to(self.messages[self.instructions :])

    @cached_property
    def parts(self) -> dict[str, str]:
        """Hex sha256 of each part of the request, to tell which parts changed between two requests."""
        return {
            "model": _digest(encode_json(self.model)),
            "instructions": _digest(*self.messages[: self.instructions]),
            "conversation": self.conversation.hexdigest,
            "tools": _digest(encode_json(self.tools)),
            "parameters": _digest(json.dumps(self.parameters, sort_keys=True, default=str).encode()),
        }

    @property
    def images(self) -> int:
        """The number of images in the conversation."""
        return self.conversation.images

    def body(self, extra: Mapping[str, Any] | None = None, *, data: bool = True) -> bytes:
        """Return the JSON body for ``POST /chat/completions``, with the fields of ``extra`` added.

        Without ``data``, images are named as in the log.
        """
        fields: dict[str, Any] = {"tools": self.tools} if self.tools else {}
        fields |= {name: self.parameters[name] for name in sorted(self.parameters)}
        messages = [
            encode_json(self.filled(json.loads(each))) if data and has_parts_encoded(each) else each
            for each in self.messages
        ]
        return join_body(self.model, messages, {**fields, **(extra or {})})

    def decoded_messages(self, *, data: bool = True) -> list[dict[str, Any]]:
        """Return the messages as Python objects; without ``data``, images are named as in the log."""
        messages = map(json.loads, self.messages)
        return [dict(self.filled(message)) for message in messages] if data else [*messages]

    def filled(self, message: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return one of the messages with the data of its images, as the chat API expects them."""
        if not isinstance(message.get("content"), list):
            return message
        # Loaded with the first image.
        from swarmchat.swarm.images.parts import to_send

        return to_send(message, self.blobs.get)


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool call that the model requests. ``arguments`` is the text that the model wrote, normally JSON."""

    id: str
    name: str
    arguments: str
    agent: str = field(default="", compare=False)
    """The agent that makes the call while it works on a task; empty for the active agent."""

    def to_message(self) -> dict[str, Any]:
        """Return the call as an entry of an assistant message's ``tool_calls``."""
        return {
            "id": self.id,
            "type": "function",
            "function": {"name": self.name, "arguments": self.arguments},
        }


@dataclass(frozen=True, slots=True)
class TextChunk:
    """The next piece of the answer's text: never empty, always whole characters."""

    text: str


@dataclass(frozen=True, slots=True)
class ReasoningChunk:
    """The next piece of a reasoning model's thoughts, which are not part of the answer's text."""

    text: str


@dataclass(frozen=True, slots=True)
class Retry:
    """The attempt failed before any text came; the next one starts in ``seconds``."""

    attempt: int
    """Number of the next attempt; the first retry is 2."""
    seconds: float
    reason: str


@dataclass(frozen=True, slots=True)
class Adapted:
    """The server rejected the form of the request; another form is used from now on."""

    name: str
    """Name of the adaptation."""
    change: str
    """What is different, for the user."""


@dataclass(frozen=True, slots=True)
class FellBack:
    """A fallback model answers this request, because the first model's server is down or too busy."""

    model: str
    """Name of the model that answers."""
    reason: str


@dataclass(frozen=True, slots=True)
class Answer:
    """The complete answer: always the last event."""

    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish: str = "stop"
    """Why the answer ended: stop, length, tool_calls, content_filter, or the server's own word."""
    usage: Mapping[str, Any] | None = None
    """Token counts of the server (``prompt_tokens``, ``completion_tokens`` …); ``None`` if it reports none."""
    model: str = ""
    """Name of the model that answered, according to the server."""
    reasoning: str = ""
    echo: Mapping[str, Any] | None = None
    """What goes back to the same server with this answer, in later requests; ``None`` if there is nothing.

    ``server``: its address. ``reasoning_field``: the field in which it sent the reasoning. ``fields``: other fields of
    the message. ``calls``: other fields of each call, by its id.
    """
    fallback: str = ""
    """Name of the model that answered in place of the one that was asked; empty for that one."""

    def to_message(self) -> dict[str, Any]:
        """Return the answer as an assistant message, for the log and for later requests."""
        message: dict[str, Any] = {"role": "assistant", "content": self.text}
        if self.tool_calls:
            # The API documents null, not "", for an assistant message that only calls tools.
            message["content"] = self.text or None
            message["tool_calls"] = [call.to_message() for call in self.tool_calls]
        return message


ModelEvent = TextChunk | ReasoningChunk | Retry | Adapted | FellBack | Answer


class Model(Protocol):
    """A language model. Creating one does no I/O and imports nothing heavy."""

    @property
    def name(self) -> str:
        """The model's name, as sent to the server and shown to the user."""
        ...

    @property
    def context_window(self) -> int:
        """The context window: tokens for a request plus its answer."""
        ...

    def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Answer ``request``: yield text as it arrives, and the complete ``Answer`` last.

        Closing the generator, or cancelling the task that reads it, stops the transfer at once. Raises ModelError. A
        request is never retried after its first TextChunk: the user has already seen that text.
        """
        ...

    async def close(self) -> None:
        """Close the connections. Closing twice is no error."""
        ...


@runtime_checkable
class PreloadableModel(Model, Protocol):
    """A model with a slow import, which can be done before the first request."""

    def warm_up(self) -> None:
        """Import the packages that the first request needs. Called in a thread, while the user types."""
        ...


@runtime_checkable
class DiscoverableModel(Model, Protocol):
    """A model whose server can report facts about it."""

    facts: ServerFacts
    """What the server reported."""

    async def discover(self) -> None:
        """Ask the server, unless it has answered already; called before each turn. Raises nothing."""
        ...


@runtime_checkable
class ObservableModel(Model, Protocol):
    """A model that passes on the raw JSON objects of an answer."""

    on_object: Callable[[Mapping[str, Any]], None] | None
    """Called with each JSON object of an answer, before it is interpreted."""


@lru_cache(maxsize=256)
def _digest(*pieces: bytes) -> str:
    """Return the hex sha256 of ``pieces``, cached because they rarely change between requests."""
    return MessageDigest(pieces).hexdigest
