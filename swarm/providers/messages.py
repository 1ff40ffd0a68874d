"""The last pass over the messages of a request: the form that every server of the chat API accepts.

The log and the digests of requests keep the neutral form; only messages about to be sent pass through here. The rules
are described in ``rules``. Each rule looks backwards only, so a request that continues an earlier one begins with the
same bytes, and the provider's prompt cache is hit.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import takewhile
from typing import Any, NamedTuple

from swarmchat.swarm.common.encoding import encode_json
from swarmchat.swarm.common.messages import REMINDER, calls_of, others_of, part_in_words, text_of, texts_of
from swarmchat.swarm.common.patterns import lazy_pattern

CONTINUE = "Please continue."
"""The user message where a server demands one: after an assistant message, before the next one."""
GREETING = "Hello."
"""The user message before an assistant message that begins a conversation."""
INTERRUPTED = "I was interrupted before I could answer."
"""The assistant message between a tool's result and a user message."""
NO_ATTACHMENT = "{} You cannot see it."
"""The text in place of a picture, for models that take only text."""
SHOWN = "I will look at what it returned."
"""The assistant message between the results of tools and the pictures in them."""
NO_OUTPUT = "The call returned nothing."
"""The content of a blank result."""
SHOWN_BELOW = "The call returned what follows."
"""The content of a result that holds pictures and no text."""
NO_REASONING = "I will call a tool."
"""The reasoning of a call that was made by another server, for servers that demand one."""
NO_SIGNATURE = "skip_thought_signature_validator"
"""What Gemini accepts for calls of other models (ai.google.dev/gemini-api/docs/thought-signatures)."""

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_PORTABLE_ID = lazy_pattern(r"[a-zA-Z0-9]{9}")
_OWN_ID = lazy_pattern(r"(?:call|text)_[0-9a-f]{8}_\d+_*")
"""Ids that this program gives to calls that came without one."""

# How most messages are stored. One that begins so, without a blank, and without calls, needs no decoding.
_PLAIN = {role: b'{"role":"' + role.encode() + b'","content":"' for role in ("user", "assistant")}
_CALLS = b'"tool_calls":'
_NOT_BLANK = frozenset(range(ord("!"), 127)) - frozenset(b'"\\')
"""First bytes of texts that are not blank."""


Fill = Callable[[Mapping[str, Any]], Mapping[str, Any]]


class MessageForm(NamedTuple):
    """What differs between servers, as learned from their refusals."""

    empty_content: bool = False
    """``""`` instead of null beside tool calls."""
    system_in_user: bool = False
    """System text at the start of the first user message: the chat template has no system role."""
    reasoning: bool = False
    """``reasoning_content`` in every assistant message that has one, and in each with tool calls."""
    signatures: bool = False
    """A thought signature in every tool call."""
    echo: bool = True
    """What the server attached to an answer goes back with it."""
    names: bool = True
    """The name of the function in its result."""
    single_calls: bool = False
    """Calls that were made at once follow one another, each with its result."""
    attachments: bool = True
    """Pictures and other parts that are no text."""


def portable_id(call_id: str) -> str:
    """Return nine letters and digits for ``call_id``, always the same; itself if it already has that form."""
    if _PORTABLE_ID.fullmatch(call_id):
        return call_id
    number = int.from_bytes(hashlib.sha256(call_id.encode("utf-8", "replace")).digest()[:8], "big")
    return "".join(_ALPHABET[number // 62**place % 62] for place in range(9))


@dataclass(frozen=True, slots=True)
class _State:
    """What the rules know after a message: enough to continue from there."""

    length: int = 0
    """Number of messages to send so far."""
    last: bytes = b""
    """The last of them, which the next message may be joined to."""
    role: str = ""
    """Its role."""
    system: tuple[bytes, ...] = ()
    """The system messages, which are sent as one."""
    reminder: str = ""
    """Text for the newest question: text that changes from request to request comes after text that does not."""
    calls: Mapping[str, tuple[str, str, bytes]] = field(default_factory=dict)
    """The last tool calls by their ids: the ids that are sent, the names of the functions, and the messages to send
    before the results."""
    shown: tuple[Any, ...] = ()
    """Pictures in the last results, which follow them in a message of the user: servers take only text in a result."""


class MessageAdapter:
    """Adapts messages to one server. ``server`` is its name in the data that it attached to answers (``Answer.echo``).

    Messages at the start that the last request had, too, are not read again.
    """

    def __init__(self, server: str) -> None:
        self._server = server
        self._form, self._tools = MessageForm(), True
        self._fill: Fill = lambda message: message
        self._seen: tuple[bytes, ...] = ()
        self._states = [_State()]
        self._sent: list[bytes] = []
        """The messages to send, without the system message."""

    def adapt(
        self,
        messages: tuple[bytes, ...],
        echoes: Mapping[int, Mapping[str, Any]],
        *,
        tools: bool,
        form: MessageForm,
        fill: Fill = lambda message: message,
    ) -> list[bytes]:
        """Return the messages to send for ``messages``, all as JSON.

        ``echoes``: what providers attached to answers, by the index of the message. ``tools``: whether the request
        offers any. ``fill`` puts the data of pictures into a message.
        """
        self._fill = fill
        common = self._common(messages) if (form, tools) == (self._form, self._tools) else 0
        self._form, self._tools = form, tools
        del self._states[common + 1 :]
        state = self._states[-1]
        del self._sent[state.length :]
        if self._sent:
            self._sent[-1] = state.last
        for index in range(common, len(messages)):
            state = self._add(state, messages[index], echoes.get(index, {}))
            self._states.append(state)
        self._seen = messages
        return self._complete(state)

    def _common(self, messages: tuple[bytes, ...]) -> int:
        """Return how many messages at the start are those of the last request."""
        if messages[: len(self._seen)] == self._seen:
            return len(self._seen)
        pairs = zip(self._seen, messages, strict=False)
        return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))

    def _add(self, state: _State, encoded: bytes, echo: Mapping[str, Any]) -> _State:
        """Apply the rules to the next message."""
        for role, start in _PLAIN.items():
            plain = encoded.startswith(start) and encoded[len(start)] in _NOT_BLANK and not echo
            if plain and (role == "user" or _CALLS not in encoded):
                return self._add_text(self._with_shown(state), role, encoded)
        message = json.loads(encoded)
        if isinstance(message.get("content"), list):
            message = self._with_content(message)
            encoded = encode_json(message)
        role = message["role"]
        if role == "system" and message.get("name") == REMINDER:
            return replace(state, reminder=text_of(message))
        if role in ("system", "developer"):
            return replace(state, system=(*state.system, encoded))
        if role == "tool":
            return self._add_result(state, message)
        state = self._with_shown(state)
        if role == "assistant" and message.get("tool_calls"):
            return self._add_calls(state, message, echo if echo.get("server") == self._server else {})
        if not text_of(message).strip():
            return state
        if role == "assistant" and echo.get("server") == self._server:
            encoded = encode_json(self._with_echo(message, echo))
        return self._add_text(state, role, encoded)

    def _add_text(self, state: _State, role: str, encoded: bytes) -> _State:
        """Add a user message, or an assistant message without calls."""
        if role == "user" and state.role == "user":
            self._sent[-1] = encoded = _joined(state.last, encoded)
            return replace(state, last=encoded)
        return self._push(self._room_for(state, role), role, encoded)

    def _add_calls(self, state: _State, message: dict[str, Any], echo: Mapping[str, Any]) -> _State:
        """Add an assistant message with calls; only its text if no tools are offered."""
        text = text_of(message) if message.get("content") else ""
        calls = {
            call.id: (call.id if echo and not _OWN_ID.fullmatch(call.id) else portable_id(call.id), call.name, b"")
            for call in calls_of(message)
        }
        if self._tools:
            sent = [{**call, "id": calls[call["id"]][0]} for call in message["tool_calls"]]
            if self._form.single_calls:
                texts = [text, *[""] * (len(sent) - 1)]
                singles = [
                    self._call_message(message, each, [call], echo) for each, call in zip(texts, sent, strict=True)
                ]
                calls = {key: (*calls[key][:2], single) for key, single in zip(calls, singles, strict=True)}
            else:
                encoded = self._call_message(message, text, sent, echo)
                state = self._push(self._room_for(state, "assistant"), "assistant", encoded)
        elif text.strip():
            state = self._add_text(state, "assistant", _message("assistant", text))
        return replace(state, calls=calls)

    def _call_message(
        self, message: dict[str, Any], text: str, calls: list[dict[str, Any]], echo: Mapping[str, Any]
    ) -> bytes:
        """Return ``message`` with this ``text`` and these ``calls``."""
        message = self._with_echo({**message, "tool_calls": calls}, echo)
        message["content"] = text if text.strip() else "" if self._form.empty_content else None
        return encode_json(message)

    def _add_result(self, state: _State, message: dict[str, Any]) -> _State:
        """Add a tool's result; as text of the user if no tools are offered."""
        call_id = message["tool_call_id"]
        sent_id, name, before = state.calls.get(call_id, (portable_id(call_id), "tool", b""))
        if shown := tuple(others_of(message)):
            message["content"] = "\n\n".join(texts_of(message))
        text = text_of(message)
        if not self._tools:
            return self._add_output(state, f"The result of {name}: {text or NO_OUTPUT}", shown)
        if not text.strip():
            message["content"] = SHOWN_BELOW if shown else NO_OUTPUT
        state = replace(state, shown=(*state.shown, *shown))
        if before:
            state = self._push(self._room_for(state, "assistant"), "assistant", before)
        names = {"name": name} if self._form.names else {}
        return self._push(state, "tool", encode_json({**message, "tool_call_id": sent_id, **names}))

    def _add_output(self, state: _State, text: str, shown: tuple[Any, ...]) -> _State:
        """Add a tool's result as a message of the user."""
        content = [{"type": "text", "text": text}, *shown] if shown else text
        return self._add_text(state, "user", encode_json({"role": "user", "content": content}))

    def _with_shown(self, state: _State) -> _State:
        """Add the pictures in the results of tools before another message."""
        if not state.shown:
            return state
        before, pictures = _pictures(state)
        state = self._push(state, "assistant", before)
        return self._push(replace(state, shown=()), "user", pictures)

    def _with_content(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """Return a message with a list as content; only texts are joined to one, because many servers reject lists."""
        if self._form.attachments:
            message = self._fill(message)
        parts = message["content"]
        texts = [part if isinstance(part, str) else part.get("text") for part in parts]
        if not self._form.attachments:
            described = zip(texts, parts, strict=True)
            texts = [
                text if isinstance(text, str) else NO_ATTACHMENT.format(part_in_words(part)) for text, part in described
            ]
        is_text = all(isinstance(text, str) for text in texts)
        return {**message, "content": "\n\n".join(texts) if is_text else parts}

    def _with_echo(self, message: dict[str, Any], echo: Mapping[str, Any]) -> dict[str, Any]:
        """Return an assistant message with the data that its provider attached to it, or requires with calls."""
        if not self._form.echo:
            return message
        message = {**message, **echo.get("fields", {})}
        calls = message.get("tool_calls", [])
        reasoning = echo.get("reasoning") or (NO_REASONING if self._form.reasoning else "")
        if reasoning and (calls or self._form.reasoning):
            message[echo.get("reasoning_field", "reasoning_content")] = reasoning
        if calls:
            attached = echo.get("calls", {})
            message["tool_calls"] = [{**call, **attached.get(call["id"], {})} for call in calls]
        if self._form.signatures:
            for call in message.get("tool_calls", []):
                call.setdefault("extra_content", {"google": {"thought_signature": NO_SIGNATURE}})
        return message

    def _room_for(self, state: _State, role: str) -> _State:
        """Add the messages that are required between the last message and one of ``role``."""
        if role == "user" and state.role == "tool":
            return self._push(state, "assistant", _message("assistant", INTERRUPTED))
        if role == "assistant" and state.role in ("", "assistant"):
            return self._push(state, "user", _message("user", CONTINUE if state.role else GREETING))
        return state

    def _push(self, state: _State, role: str, encoded: bytes) -> _State:
        self._sent.append(encoded)
        return replace(state, length=state.length + 1, last=encoded, role=role)

    def _complete(self, state: _State) -> list[bytes]:
        """Return the messages to send, with one system message at the start and no assistant message at the end."""
        sent = [*self._sent, *(_pictures(state) if state.shown else ())]
        if state.role in ("", "assistant"):
            sent.append(_message("user", CONTINUE))
        if state.reminder.strip():
            last = max(index for index, message in enumerate(sent) if json.loads(message)["role"] == "user")
            sent[last] = _joined(_message("user", state.reminder), sent[last])
        if not state.system:
            return sent
        if self._form.system_in_user:
            first = next(index for index, message in enumerate(sent) if json.loads(message)["role"] == "user")
            sent[first] = _joined(_message("user", _text_of_all(state.system)), sent[first])
            return sent
        if len(state.system) == 1 and state.system[0].startswith(b'{"role":"system",'):
            return [state.system[0], *sent]
        return [_message("system", _text_of_all(state.system)), *sent]


def _message(role: str, text: str) -> bytes:
    return encode_json({"role": role, "content": text})


def _pictures(state: _State) -> tuple[bytes, bytes]:
    """Return the messages that show the pictures in the last results."""
    return _message("assistant", SHOWN), encode_json({"role": "user", "content": list(state.shown)})


def _text_of_all(messages: Iterable[bytes]) -> str:
    return "\n\n".join(filter(None, (text_of(json.loads(message)).strip() for message in messages)))


def _joined(first: bytes, second: bytes) -> bytes:
    """Return two messages of the user as one."""
    contents = [json.loads(message)["content"] for message in (first, second)]
    if all(isinstance(content, str) for content in contents):
        return _message("user", "\n\n".join(contents))
    parts = [[{"type": "text", "text": each}] if isinstance(each, str) else each for each in contents]
    return encode_json({"role": "user", "content": [*parts[0], *parts[1]]})
