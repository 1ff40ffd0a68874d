"""The texts of the requests in a log: prompts and tool definitions, each in the first request that sends it.

A request is recorded by digests of its parts. With the texts, a replay can show which words of a prompt changed.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from swarmchat.swarm.common.encoding import SHORT_DIGEST, encode_json
from swarmchat.swarm.common.messages import REMINDER
from swarmchat.swarm.models.base import ModelRequest
from swarmchat.swarm.persistence.records import Record

PARTS = ("instructions", "tools", "rules")
"""The parts of a request whose texts are kept. Rules are what no model is told of the tools, such as their timeouts."""
LONGEST = 64_000
"""The characters of the longest text that is kept, as JSON."""
LARGEST_SUM = 256_000
"""The characters that are kept in the part of a log that fits the context window. A prompt that is another one in each
request would otherwise fill the store."""


def rules_digest(rules: Sequence[Any]) -> str:
    """Return the digest of ``rules`` that a request holds."""
    return hashlib.sha256(encode_json(list(rules))).hexdigest()[:SHORT_DIGEST]


def new_texts(request: ModelRequest, rules: Sequence[Any], agent: str, records: Sequence[Record]) -> dict[str, Any]:
    """Return the texts of ``request`` and its ``rules`` that no request in ``records`` holds yet, by part.

    A text that is similar to the previous one of ``agent`` is returned as the place where it differs.
    """
    texts: dict[str, Any] = {}
    for part in PARTS:
        digest = rules_digest(rules) if part == "rules" else request.parts[part][:SHORT_DIGEST]
        # Mostly, the last request has sent the same.
        latest = (record for record in reversed(records) if record.type == "request")
        if digest == _EMPTY[part] or any(_digest_in(record, part) == digest for record in latest):
            continue
        requests = [record for record in records if record.type == "request"]
        value = list(rules) if part == "rules" else _value_of(request, part)
        text = _as_text(value)
        room = LARGEST_SUM - sum(len(_as_text(record.data["texts"])) for record in requests if "texts" in record.data)
        if len(text) <= min(LONGEST, room):
            texts[part] = _shortened(text, part, agent, requests) or value
    return texts


class RequestTexts:
    """The texts in some logs, by part and digest."""

    def __init__(self, *logs: Iterable[Record]) -> None:
        self._with_reminder: set[str] = set()
        """The digests of the prompts whose last text is a reminder."""
        self._texts: dict[tuple[str, str], Any] = {(part, digest): [] for part, digest in _EMPTY.items()}
        for records in logs:
            for record in records:
                texts = record.data.get("texts") if (record.inner_record or record).type == "request" else None
                for part, value in texts.items() if isinstance(texts, dict) else ():
                    self._take(part, _digest_in(record, part), value)

    def get(self, part: str, digest: Any) -> list[Any] | None:
        """Return the texts of the prompt, or the definitions of the tools; ``None`` if no log holds them."""
        texts = self._texts.get((part, str(digest)))
        # The same text has another place in the request as a reminder.
        return [*texts[:-1], f"(reminder) {texts[-1]}"] if texts and str(digest) in self._with_reminder else texts

    def _take(self, part: str, digest: str, value: Any) -> None:
        if isinstance(value, dict):
            value = self._restored(part, value)
        # A text that was redacted or damaged is none.
        if part not in PARTS or not isinstance(value, list):
            return
        if _digest_of(part, value, REMINDER) == digest and part == "instructions":
            self._with_reminder.add(digest)
        elif _digest_of(part, value) != digest:
            return
        self._texts[part, digest] = value

    def _restored(self, part: str, value: Mapping[str, Any]) -> Any:
        base = self._texts.get((part, str(value.get("like"))))
        with suppress(KeyError, TypeError, ValueError, RecursionError):
            text = "" if base is None else _as_text(base)
            return json.loads(text[: value["start"]] + value["text"] + text[len(text) - value["end"] :])
        return None


def _shortened(text: str, part: str, agent: str, requests: Sequence[Record]) -> dict[str, Any] | None:
    """Return how ``text`` differs from the last whole one of the agent; ``None`` if it is not similar enough."""
    for record in reversed(requests):
        texts = record.data.get("texts")
        base = texts.get(part) if isinstance(texts, dict) and record.agent == agent else None
        if isinstance(base, list):
            old = _as_text(base)
            shorter = min(len(old), len(text))
            start = next((i for i in range(shorter) if old[i] != text[i]), shorter)
            end = next((i for i in range(shorter - start) if old[-1 - i] != text[-1 - i]), shorter - start)
            middle = text[start : len(text) - end]
            if 2 * len(middle) > len(text):
                return None
            return {"like": _digest_in(record, part), "start": start, "end": end, "text": middle}
    return None


def _digest_in(record: Record, part: str) -> str:
    parts = record.data.get("parts")
    return str(parts.get(part)) if isinstance(parts, dict) else ""


def _value_of(request: ModelRequest, part: str) -> list[Any]:
    if part == "tools":
        return list(request.tools)
    return [json.loads(message)["content"] for message in request.messages[: request.instructions]]


def _digest_of(part: str, value: Sequence[Any], last: str = "") -> str:
    """Return the digest of a part of a request. ``last`` names the last message: a reminder has a name."""
    if part == "rules":
        return rules_digest(value)
    messages = [{"role": "system", "content": text} for text in value if part == "instructions"]
    if messages and last:
        messages[-1]["name"] = last
    tools = tuple(value) if part == "tools" else ()
    return ModelRequest("", tuple(map(encode_json, messages)), tools, {}, len(messages)).parts[part][:SHORT_DIGEST]


def _as_text(value: Any) -> str:
    return encode_json(value).decode()


_EMPTY = {part: _digest_of(part, ()) for part in PARTS}
