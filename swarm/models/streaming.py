"""Assemble a chat answer from streamed deltas: text, reasoning, and tool calls."""

from collections.abc import Iterator, Mapping
from io import StringIO
from typing import Any

from swarmchat.swarm.common.encoding import clean_text
from swarmchat.swarm.models.base import Answer, ReasoningChunk, TextChunk
from swarmchat.swarm.models.call_deltas import ToolCallDeltas

_ECHOED_FIELDS = ("extra_content", "reasoning_details", "thinking_blocks")
"""Fields of a message that its provider wants back: Gemini, OpenRouter, Claude behind LiteLLM."""

_TEXT_FIELDS = ("text", "summary", "data", "thinking", "signature")
"""Fields of reasoning entries that come in pieces."""

_LONGEST_WORD = 200
"""Characters of a model's name, of a finish reason and of a figure's name."""
_MOST_FIGURES, _LARGEST_FIGURE = 50, 10**12

_FINISHES = {
    "end_turn": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "stop_sequence": "stop",
    "complete": "stop",
    "completed": "stop",
    "max_tokens": "length",
    "max_output_tokens": "length",
    "max_new_tokens": "length",
    "model_length": "length",
    "model_context_window_exceeded": "length",
    "safety": "content_filter",
    "recitation": "content_filter",
    "blocklist": "content_filter",
    "prohibited_content": "content_filter",
    "sensitive": "content_filter",
    "spii": "content_filter",
    "refusal": "content_filter",
    "content_filtered": "content_filter",
    "guardrail_intervened": "content_filter",
}
"""What providers call the reasons for which an answer ends, in the words of the chat API."""


class DataLines:
    """Splits a stream of server-sent events into its data, however the bytes come.

    Some servers forget the blank line between events, or after the last one: a ``data:`` line with a whole JSON object
    is an event. One that only begins an object, as in pretty-printed JSON, goes on until the blank line. A bare JSON
    object, as a server in trouble may write it, is taken too. Comments, event names and events without data are passed
    over; so are comments that a gateway has put into an event (mnfst/llm-gateway#2053).
    """

    def __init__(self) -> None:
        self._rest = bytearray()
        self._begun = bytearray()
        """An object of which only the first lines have come."""
        self.ignored = 0
        """Bytes of comments and other lines without data."""
        self.done = False
        """Whether ``[DONE]`` was received; anything after it is ignored."""

    def add(self, received: bytes) -> Iterator[bytes]:
        """Yield the data of the lines that ``received`` completes."""
        lines = received.splitlines(keepends=True)
        if not lines:
            return
        if self._rest and lines[0].endswith((b"\n", b"\r")):
            lines[0] = bytes(self._rest) + lines[0]
            self._rest.clear()
        if not lines[-1].endswith((b"\n", b"\r")):
            self._rest += lines.pop()
        for line in lines:
            data = line.removeprefix(b"data:").strip()
            if self._begun and data and data != b"[DONE]":
                self._begun += b"\n" + data
                continue
            if self._begun:
                yield bytes(self._begun)
                self._begun.clear()
            if not self.done and line.startswith((b"data:", b"{")) and data[:1] == b"{" and data[-1:] != b"}":
                self._begun += data
                continue
            if self.done or data[:1] in (b"", b":") or not line.startswith((b"data:", b"{")):
                self.ignored += len(line)
                continue
            self.done = data == b"[DONE]"
            if not self.done:
                yield data

    @property
    def pending(self) -> int:
        """Bytes of the line or the object that is still arriving."""
        return len(self._rest) + len(self._begun)


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
        return clean_text(text)

    def finish(self) -> str:
        """Return the text that still waits, with lone surrogates replaced."""
        rest, self._held = self._held, ""
        return clean_text(rest)


class AnswerDeltas:
    """Collects the events of one streamed answer, or the single object of one that was not streamed."""

    def __init__(self) -> None:
        # A list of pieces would take some 60 bytes for each, however short they are.
        self._texts: dict[type[TextChunk] | type[ReasoningChunk], StringIO] = {
            TextChunk: StringIO(newline=""),
            ReasoningChunk: StringIO(newline=""),
        }
        self._size = self._pieces = 0
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
    def size(self) -> int:
        """Characters of the answer so far: text, reasoning, tool calls, and data to send back to the server."""
        return self._size + self._calls.size

    @property
    def finished(self) -> bool:
        """Whether the server has given the finish reason; only usage may follow."""
        return bool(self._finish)

    def add(self, event: Mapping[str, Any]) -> Iterator[TextChunk | ReasoningChunk]:
        """Take one ``chat.completion.chunk`` (or ``chat.completion``) and yield its additions to the answer."""
        self._model = self._model or _text(event.get("model"))[:_LONGEST_WORD]
        usage = event.get("usage")
        self._usage = _figures(usage) or self._usage
        choices = event.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if not isinstance(choice, dict) or choice.get("index", 0) not in (0, None):
                continue
            # Perplexity sends the whole message beside each delta, MiniMax in the last chunk.
            delta = choice.get("delta") or (None if self.has_choices else choice.get("message"))
            if isinstance(delta, dict):
                yield from self._add_delta(delta, last=bool(choice.get("finish_reason")))
            self.has_choices = True
            self._finish = _text(choice.get("finish_reason"))[:_LONGEST_WORD] or self._finish
            self.native_finish = _text(choice.get("native_finish_reason")) or self.native_finish

    def rest(self) -> Iterator[TextChunk | ReasoningChunk]:
        """Yield the rest that was held back as a possible half of a character."""
        for kind, joiner in self._joiners.items():
            yield from self._say(kind, joiner.finish())

    def answer(self, prefix: str = "call", server: str = "") -> Answer:
        """Return the whole answer of ``server``. ``prefix`` begins the ids of calls that came without one."""
        calls = self._calls.finish(prefix)
        # Gemini writes "content_filter: PROHIBITED_CONTENT".
        word = self._finish.lower().removeprefix("content_filter: ")
        finish = _FINISHES.get(word, word) or "stop"
        return Answer(
            text=self._texts[TextChunk].getvalue(),
            tool_calls=calls,
            finish="tool_calls" if calls and finish in ("stop", "function_call") else finish,
            usage=self._usage,
            model=clean_text(self._model),
            reasoning=self._texts[ReasoningChunk].getvalue(),
            echo=self._echo(server, has_calls=bool(calls)),
        )

    def _echo(self, server: str, *, has_calls: bool) -> Mapping[str, Any] | None:
        """Return the data to send back to ``server`` with this answer; calls have at least the origin of their ids."""
        fields = {name: field.value() for name, field in self._fields.items()}
        echo = {"reasoning_field": self._reasoning_field, "fields": fields, "calls": self._calls.echoes}
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
                self._fields.setdefault(name, _Field()).add(value)
                self._size += len(str(value))
        content = delta.get("content")
        for part in content if isinstance(content, list) else ():
            yield from self._add_part(part)
        text = _text(content) or _text(delta.get("refusal"))
        shown = self._texts[TextChunk]
        if not (last and self._pieces > 1 and len(text) == shown.tell() and text == shown.getvalue()):
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
            self._size += self._texts[kind].write(text)
            self._pieces += kind is TextChunk
            yield kind(text)


class _Field:
    """A provider's own field, from several deltas: entries of lists with the same index, type and id are continued."""

    def __init__(self) -> None:
        self._value: object = None
        self._texts: list[dict[str, list[str]]] = []
        """The pieces of the texts of each entry, if the value is a list."""

    def add(self, value: object) -> None:
        """Take the field of the next delta."""
        if not isinstance(value, list):
            self._value, self._texts = value, []
            return
        if not isinstance(self._value, list):
            self._value, self._texts = [], []
        for entry in value:
            last = self._value[-1] if self._value else None
            if not (isinstance(entry, dict) and isinstance(last, dict) and _same_entry(entry, last)):
                self._value.append(dict(entry) if isinstance(entry, dict) else entry)
                self._texts.append({})
                continue
            texts = self._texts[-1]
            for name, each in entry.items():
                if name in _TEXT_FIELDS and isinstance(each, str) and isinstance(last.get(name), str):
                    texts.setdefault(name, [last[name]]).append(each)
                elif each is not None:
                    last[name] = each

    def value(self) -> object:
        """Return the whole field."""
        if not isinstance(self._value, list):
            return self._value
        joined = [{name: "".join(pieces) for name, pieces in texts.items()} for texts in self._texts]
        return [
            {**entry, **texts} if isinstance(entry, dict) else entry
            for entry, texts in zip(self._value, joined, strict=True)
        ]


def _same_entry(entry: Mapping[str, Any], last: Mapping[str, Any]) -> bool:
    return all(entry.get(name) == last.get(name) for name in ("index", "type", "id"))


def _figures(usage: object, levels: int = 2) -> dict[str, Any]:
    """Return the numbers in a server's ``usage``, and those of its ``…_details``. Anything else cannot be used."""
    figures: dict[str, Any] = {}
    for name, value in list(usage.items())[:_MOST_FIGURES] if isinstance(usage, dict) else ():
        if isinstance(value, dict) and levels > 1:
            figures[name[:_LONGEST_WORD]] = _figures(value, levels - 1)
        elif type(value) in (int, float) and 0 <= value < _LARGEST_FIGURE:
            figures[name[:_LONGEST_WORD]] = value
    return figures


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
