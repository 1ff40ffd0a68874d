"""Assemble a chat answer from streamed deltas: text, reasoning, and tool calls, whatever way the server cuts them.

What servers do with ``delta.tool_calls``, and what is made of it:

    no id, or an empty one      Ollama (langbot-app/LangBot#2262), LM Studio (lmstudio-bug-tracker#830), vLLM
                                (vllm-project/vllm#18412), llama.cpp (ggml-org/llama.cpp#11992): an id is made up
    no index                    Gemini (open-webui/computer#224): the id, else the position, tells the calls apart
    index 0 for every call      Ollama (ollama/ollama#15457, vercel/ai#14277): a new id with a name starts a call
    the id in every delta       vLLM (vllm-project/vllm#31438): it is the same call
    a fresh id in every delta   vLLM, gpt-oss (vllm-project/vllm#23522): without a name it goes on with the call
    one id for several calls    GLM, DeepSeek (HKUDS/nanobot#3943): the later ones get a suffix
    the name in every delta     MiniMax, Fireworks (NousResearch/hermes-agent#11984, #8094): it counts once
    the name in pieces          Gemini (continuedev/continue#5849): joined until the arguments begin
    all arguments sent again    GPT-5 (open-webui/open-webui#22235): they count once
    arguments as an object      llama.cpp (ggml-org/llama.cpp#20198), MiniMax (can1357/oh-my-pi#1779): encoded
    finish "stop" with calls    Gemini (googleapis/python-genai#2868): the answer says ``tool_calls``
    other fields beside them    Gemini's thought signatures (microsoft/semantic-kernel#13417): kept for ``Answer.echo``
    legacy ``function_call``    the API before November 2023: it is the only call
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from swarmchat.swarm.models.base import Answer, ReasoningChunk, TextChunk, ToolCall

_CALL_FIELDS = ("index", "id", "type", "function")

_ECHOED_FIELDS = ("extra_content", "reasoning_details", "thinking_blocks")
"""Fields of a message that its provider wants back: Gemini, OpenRouter, Claude behind LiteLLM."""

_TEXT_FIELDS = ("text", "summary", "data", "thinking", "signature")
"""Fields of reasoning entries that come in pieces."""

_FINISHES = {
    "end_turn": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "stop_sequence": "stop",
    "complete": "stop",
    "completed": "stop",
    "max_tokens": "length",
    "model_length": "length",
    "safety": "content_filter",
    "recitation": "content_filter",
    "blocklist": "content_filter",
    "prohibited_content": "content_filter",
    "sensitive": "content_filter",
}
"""What providers call the reasons for which an answer ends, in the words of the chat API."""


@dataclass(slots=True)
class _Call:
    """A call that is still arriving."""

    index: int | None
    id: str = ""
    name: str = ""
    arguments: str = ""
    echo: dict[str, Any] = field(default_factory=dict)
    """Fields of the provider's own."""

    def complete(self) -> bool:
        """Tell whether the arguments so far are one whole JSON object, so that more would only break them."""
        try:
            return isinstance(json.loads(self.arguments), dict)
        except ValueError:
            return False

    def take(self, name: str, arguments: str) -> None:
        """Add the next piece of the name and of the arguments."""
        if name and not self.arguments:
            self.name = name if name.startswith(self.name) else self.name + name
        # A repeat is told from a next piece by being whole: no object goes on after its last bracket.
        if not (arguments == self.arguments and self.complete()):
            self.arguments += arguments


class ToolCallDeltas:
    """Collects the ``tool_calls`` entries of one answer's deltas."""

    def __init__(self) -> None:
        self._calls: list[_Call] = []
        self.echoes: dict[str, Mapping[str, Any]] = {}
        """Fields of the provider's own, by the ids of the finished calls."""

    def add(self, entries: object) -> None:
        """Take the ``tool_calls`` of one delta. Anything but a list of objects is ignored."""
        for position, entry in enumerate(entries if isinstance(entries, list) else ()):
            if not isinstance(entry, dict):
                continue
            function = entry.get("function")
            function = function if isinstance(function, dict) else {}
            index = entry.get("index")
            identity, name = _text(entry.get("id")), _text(function.get("name"))
            arguments = function.get("arguments")
            if not isinstance(arguments, str):
                arguments = json.dumps(arguments, ensure_ascii=False) if arguments else ""
            call = self._find(index if isinstance(index, int) else None, identity, name, arguments, position)
            call.id = call.id or identity
            call.echo |= {key: value for key, value in entry.items() if key not in _CALL_FIELDS and value is not None}
            call.take(name, arguments)

    def finish(self, prefix: str = "call") -> tuple[ToolCall, ...]:
        """Return the calls in the order in which they began, each with an id of its own.

        A missing id becomes ``PREFIX_POSITION``; an id used before gets the position as a suffix. A call without
        arguments has ``{}``, because history with an empty string there is refused. Entries that name no function and
        carry nothing are left out.
        """
        said = [call for call in self._calls if call.name or call.arguments.strip()]
        finished: list[ToolCall] = []
        taken = {call.id for call in said}
        used: set[str] = set()
        for position, call in enumerate(said):
            identity = call.id
            if not identity or identity in used:
                identity = f"{call.id or prefix}_{position}"
                while identity in taken:
                    identity += "_"
                taken.add(identity)
            used.add(identity)
            arguments = call.arguments if call.arguments.strip() else "{}"
            finished.append(ToolCall(_whole(identity), _whole(call.name), _whole(arguments)))
            if call.echo:
                self.echoes[finished[-1].id] = call.echo
        return tuple(finished)

    def _find(self, index: int | None, identity: str, name: str, arguments: str, position: int) -> _Call:
        """Return the call that a delta continues, or a new one."""
        same_index = [call for call in self._calls if index is None or call.index in (index, None)]
        if not same_index:
            return self._start(index)
        latest = next((call for call in reversed(same_index) if identity and call.id == identity), same_index[-1])
        whole = latest.complete()
        again = name == latest.name and arguments.strip() in ("", latest.arguments)
        if identity == latest.id != "" or (not identity and index is not None):
            # The same call by id or by index, unless it would be a second object after a whole one.
            starts = bool(name) and whole and not again
        elif identity and latest.id:
            # A name with the new id starts a call, unless it is the one whose arguments are on their way.
            starts = whole or bool(name and not (name == latest.name and latest.arguments))
        else:
            # Nothing but the name tells calls apart: it starts one after a whole one, or beside one in the same list.
            starts = bool(name and latest.name) and (whole or (index is None and position > 0))
        return self._start(index) if starts else latest

    def _start(self, index: int | None) -> _Call:
        self._calls.append(_Call(index))
        return self._calls[-1]


class DataLines:
    """Splits a stream of server-sent events into its data, however the bytes come.

    Each ``data:`` line is taken as one event: no chat server cuts its JSON into lines, but some forget the blank line
    between events, or after the last one. A bare JSON object, as a server in trouble may write it, is taken too.
    Comments, event names and events without data are passed over.
    """

    def __init__(self) -> None:
        self._rest = b""
        self.done = False
        """Whether ``[DONE]`` was received; anything after it is ignored."""

    def add(self, received: bytes) -> Iterator[bytes]:
        """Yield the data of the lines that ``received`` completes."""
        lines = (self._rest + received).splitlines(keepends=True)
        self._rest = lines.pop() if lines and not lines[-1].endswith((b"\n", b"\r")) else b""
        for line in lines:
            data = line.removeprefix(b"data:").strip()
            if self.done or not data or not line.startswith((b"data:", b"{")):
                continue
            self.done = data == b"[DONE]"
            if not self.done:
                yield data


class SurrogateJoiner:
    """Joins the halves of a character that a server cut in two JSON strings (``"\\ud83d"``, then ``"\\ude00"``).

    A half that stays alone becomes U+FFFD: it could not be stored or printed.
    """

    def __init__(self) -> None:
        self._held = ""

    def add(self, text: str) -> str:
        """Return the text that is complete; the first half of a character waits for the next piece."""
        if not self._held and text.isascii():
            return text
        text, self._held = self._held + text, ""
        if text and "\ud800" <= text[-1] <= "\udbff":
            text, self._held = text[:-1], text[-1]
        return _whole(text)

    def finish(self) -> str:
        """Return the text that still waits, with lone surrogates replaced."""
        held, self._held = self._held, ""
        return _whole(held)


class AnswerDeltas:
    """Collects the events of one streamed answer, or the single object of one that was not streamed."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._calls = ToolCallDeltas()
        self._joiners: dict[type[TextChunk] | type[ReasoningChunk], SurrogateJoiner] = {
            TextChunk: SurrogateJoiner(),
            ReasoningChunk: SurrogateJoiner(),
        }
        self._usage: Mapping[str, Any] | None = None
        self._model = ""
        self._finish = ""
        self._reasoning_field = ""
        self._fields: dict[str, Any] = {}
        self.native_finish = ""
        """The word of the provider behind a gateway for why the answer ended."""
        self.has_choices = False
        """Whether anything of an answer has come."""

    @property
    def finished(self) -> bool:
        """Whether the server has said why the answer ends; what follows is only usage."""
        return bool(self._finish)

    def add(self, event: Mapping[str, Any]) -> Iterator[TextChunk | ReasoningChunk]:
        """Take one ``chat.completion.chunk`` (or ``chat.completion``) and yield what it adds to the answer."""
        self._model = self._model or _text(event.get("model"))
        usage = event.get("usage")
        self._usage = usage if isinstance(usage, dict) and usage else self._usage
        choices = event.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if not isinstance(choice, dict) or choice.get("index", 0) not in (0, None):
                continue
            # Perplexity sends the whole message beside each delta, MiniMax in the last chunk.
            delta = choice.get("delta") or (None if self.has_choices else choice.get("message"))
            if isinstance(delta, dict):
                yield from self._add_delta(delta, last=bool(choice.get("finish_reason")))
            self.has_choices = True
            self._finish = _text(choice.get("finish_reason")) or self._finish
            self.native_finish = _text(choice.get("native_finish_reason")) or self.native_finish

    def rest(self) -> Iterator[TextChunk | ReasoningChunk]:
        """Yield the rest that was held back as a possible half of a character."""
        for kind, joiner in self._joiners.items():
            yield from self._say(kind, joiner.finish())

    def answer(self, prefix: str = "call", server: str = "") -> Answer:
        """Return the whole answer of ``server``. ``prefix`` begins the ids of calls that came without one."""
        calls = self._calls.finish(prefix)
        finish = _FINISHES.get(self._finish.lower(), self._finish) or "stop"
        return Answer(
            text="".join(self._text),
            tool_calls=calls,
            finish="tool_calls" if calls and finish in ("stop", "function_call") else finish,
            usage=self._usage,
            model=_whole(self._model),
            reasoning="".join(self._reasoning),
            echo=self._echo(server, has_calls=bool(calls)),
        )

    def _echo(self, server: str, *, has_calls: bool) -> Mapping[str, Any] | None:
        """Return what goes back to ``server`` with this answer; calls at least say whose ids they have."""
        echo = {"reasoning_field": self._reasoning_field, "fields": self._fields, "calls": self._calls.echoes}
        echo = {name: value for name, value in echo.items() if value}
        return {"server": server, **echo} if server and (echo or has_calls) else None

    def _add_delta(self, delta: Mapping[str, Any], *, last: bool) -> Iterator[TextChunk | ReasoningChunk]:
        # ``reasoning_content``: DeepSeek, vLLM, llama.cpp; ``reasoning``: Ollama, OpenRouter. Some send both, alike.
        for name in ("reasoning_content", "reasoning"):
            if thought := _text(delta.get(name)):
                self._reasoning_field = self._reasoning_field or name
                yield from self._say(ReasoningChunk, self._joiners[ReasoningChunk].add(thought))
                break
        for name in _ECHOED_FIELDS:
            if value := delta.get(name):
                self._fields[name] = _merged(self._fields.get(name), value)
        content = delta.get("content")
        for part in content if isinstance(content, list) else ():
            yield from self._add_part(part)
        text = _text(content) or _text(delta.get("refusal"))
        if not (last and len(self._text) > 1 and text == "".join(self._text)):
            # The last delta may repeat the whole answer.
            yield from self._say(TextChunk, self._joiners[TextChunk].add(text))
        self._calls.add(delta.get("tool_calls"))
        if isinstance(delta.get("function_call"), dict):
            self._calls.add([{"index": 0, "function": delta["function_call"]}])

    def _add_part(self, part: object) -> Iterator[TextChunk | ReasoningChunk]:
        """Take one part of a ``content`` list: text, or what Mistral's reasoning models nest under ``thinking``."""
        if not isinstance(part, dict):
            return
        thinking = part.get("thinking")
        for inner in thinking if isinstance(thinking, list) else ():
            if isinstance(inner, dict):
                thought = self._joiners[ReasoningChunk].add(_text(inner.get("text")))
                yield from self._say(ReasoningChunk, thought)
        yield from self._say(TextChunk, self._joiners[TextChunk].add(_text(part.get("text"))))

    def _say(self, kind: type[TextChunk] | type[ReasoningChunk], text: str) -> Iterator[TextChunk | ReasoningChunk]:
        if text:
            (self._text if kind is TextChunk else self._reasoning).append(text)
            yield kind(text)


def _merged(so_far: object, value: object) -> object:
    """Return a field of several deltas as one: entries of lists with the same index and type are continued."""
    if not isinstance(so_far, list) or not isinstance(value, list):
        return value
    entries = list(so_far)
    for entry in value:
        last = entries[-1] if entries else None
        if (
            isinstance(entry, dict)
            and isinstance(last, dict)
            and all(entry.get(name) == last.get(name) for name in ("index", "type", "id"))
        ):
            texts = {name: last[name] + entry[name] for name in _TEXT_FIELDS if last.get(name) and entry.get(name)}
            entries[-1] = {**last, **{name: each for name, each in entry.items() if each is not None}, **texts}
        else:
            entries.append(entry)
    return entries


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _whole(text: str) -> str:
    """Return ``text`` with pairs of surrogates joined and lone ones replaced."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
