"""A model behind ``model_server`` that answers the probes of ``swarmchat models test``, with faults if wanted.

    server.reply(*[Behaviour()] * 60)

``decide`` is the faultless model; the fields of ``Behaviour`` are faults of the model or its server.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from model_server import Reply, SeenRequest, chunk, failure, stream, text

Calls = list[tuple[str, dict[str, Any]]]


def weather(city: str, unit: str = "celsius") -> tuple[str, dict[str, Any]]:
    return "get_weather", {"city": city, "unit": unit}


def decide(messages: Sequence[Mapping[str, Any]], tools: Sequence[str]) -> str | Calls:
    """Return the answer of a good model: a text or calls."""
    last = max(number for number, message in enumerate(messages) if message["role"] == "user")
    question = messages[last]["content"]
    if results := [message["content"] for message in messages[last:] if message["role"] == "tool"]:
        return f"I found this: {'; '.join(results)}"
    if "LANTERN" in messages[0]["content"]:
        return "Hello there. LANTERN"
    answers: dict[str, str | Calls] = {
        "capital": "Paris is the capital of France.",
        "count to": " ".join(map(str, range(1, 21))),
        "Compare": [weather("Oslo"), weather("Lima")],
        "in Paris": [weather("Paris")] if tools else "I cannot look that up.",
        "in Rome": [weather("Rome", "fahrenheit")],
        "Order": [
            (
                "place_order",
                {
                    "items": [{"name": "🦊", "count": 3}, {"name": "緑茶", "count": 2}],
                    "address": {"street": "Bühlstraße 1", "town": "Köln"},
                },
            )
        ],
        "door": [("door-code", {})],
        "meter": [("read_meter", {"number": 5})],
        "two plus two": "4",
        "invoice": [("transfer_to_billing", {})] if "transfer_to_billing" in tools else "What is its number?",
        "code word": "It is HERON-42." if "HERON-42" in question else "I do not see any.",
    }
    return next((answer for word, answer in answers.items() if word in question), "I do not know.")


@dataclass(frozen=True)
class Behaviour:
    """A reply that depends on the request: ``server.reply(Behaviour(leaks=True))``."""

    leaks: bool = False
    """Calls are written into the text."""
    usage: bool = True
    parallel: bool = True
    """Whether a message may have several calls."""
    whole: bool = False
    """Calls come in one piece, without an id."""
    empty: bool = False
    """Answers are empty."""
    calls: bool = True
    """Whether tools are called."""
    window: int = 100_000
    """The tokens that are read: the beginning of a longer text is dropped, and not counted."""
    refuses: str = ""
    """A parameter that is refused, such as tools or temperature."""
    forgets: str = ""
    """An argument that is omitted until an error asks for it."""
    instead: str = ""
    """The value of that argument until then; empty: no value."""
    prefix: str = ""
    """Start of each text."""
    suffix: str = ""
    """End of each text."""
    obeys: bool = True
    """Whether the model obeys tool_choice."""

    def __call__(self, request: SeenRequest) -> Reply:
        body = request.body
        if self.refuses and self.refuses in body:
            return failure(400, f"Unsupported parameter: '{self.refuses}' is not supported with this model.")
        answer = self._decide(body)
        tokens = min(self.window, len(request.raw) // 4)
        usage = {"prompt_tokens": tokens, "completion_tokens": 9} if self.usage else None
        if self.empty:
            return text(usage=usage)
        if isinstance(answer, str):
            return text(self.prefix, *_words(answer), self.suffix, usage=usage)
        if self.leaks:
            texts = [
                f"<tool_call>\n{json.dumps({'name': name, 'arguments': arguments}, ensure_ascii=False)}\n</tool_call>"
                for name, arguments in answer
            ]
            return text(self.prefix, *texts, usage=usage)
        events = [chunk({"tool_calls": [entry]}) for entry in self._entries(answer, len(body["messages"]))]
        totals = [{**chunk(None), "choices": [], "usage": usage}] if usage else []
        return stream(*events, chunk({}, "tool_calls"), *totals)

    def _decide(self, body: Mapping[str, Any]) -> str | Calls:
        tools = [tool["function"]["name"] for tool in body.get("tools", ())]
        if (self.obeys and body.get("tool_choice") == "none") or not self.calls:
            tools = []
        messages = [dict(message) for message in body["messages"]]
        for message in messages:
            message["content"] = (message["content"] or "")[-self.window * 4 :]
        last = max(number for number, message in enumerate(messages) if message["role"] == "user")
        results = [message for message in messages[last:] if message["role"] == "tool"]
        first = decide(messages[: last + 1], tools)
        if isinstance(first, list) and any(self.forgets in values for _, values in first):
            if results and all("Error" in message["content"] for message in results):
                return first
            changed = {self.forgets: self.instead} if self.instead else {}
            first = [
                (name, {key: value for key, value in values.items() if key != self.forgets} | changed)
                for name, values in first
            ]
        elif not self.parallel and isinstance(first, list) and len(results) < len(first):
            return [first[len(results)]]
        if not isinstance(first, str) and not self.calls:
            return "I have no tools."
        return decide(messages, tools) if results else first

    def _entries(self, calls: Calls, start: int) -> list[dict[str, Any]]:
        entries = []
        for index, (name, arguments) in enumerate(calls):
            encoded = json.dumps(arguments)
            if self.whole:
                entries.append({"index": index, "function": {"name": name, "arguments": encoded}})
                continue
            call_id = f"call_{start}_{index}"
            entries.append({"index": index, "id": call_id, "function": {"name": name, "arguments": ""}})
            half = len(encoded) // 2
            entries += [
                {"index": index, "function": {"arguments": part}} for part in (encoded[:half], encoded[half:]) if part
            ]
        return entries


def _words(answer: str) -> list[str]:
    return [f"{word} " for word in answer.split(" ")]
