"""Read the text and the tool calls of chat messages, in every form of the chat API."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

REMINDER = "swarmchat_reminder"
"""The name of a system message that is sent with the newest question."""
_LONGEST_URL = 200
"""The characters of an image's address that are shown."""


_TEXTS = tuple(b'{"role":"%s","content":"' % role for role in (b"user", b"assistant", b"system"))
"""How messages begin that hold a text."""


class MessageCall(NamedTuple):
    """A tool call of an assistant's message. ``arguments`` is JSON, as the model wrote it."""

    id: str
    name: str
    arguments: str


def text_of(message: Mapping[str, Any]) -> str:
    """Return a message as readable text: one line per part, other parts described in brackets, or the refusal."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        refusal = message.get("refusal")
        return refusal if isinstance(refusal, str) else ""
    texts = []
    for part in content:
        text = part.get("text") if isinstance(part, Mapping) else part
        texts.append(text if isinstance(text, str) else describe_part(part))
    return "\n".join(texts)


def describe_part(part: object) -> str:
    """Describe a content part other than text: ``[image: cat.png, 640 × 480 PNG, 12 KB]``."""
    if not isinstance(part, Mapping):
        return "[part]"
    facts, image = part.get("image"), part.get("image_url")
    if isinstance(facts, Mapping):
        kind = str(facts.get("type", "")).removeprefix("image/").upper()
        size = facts.get("bytes")
        about = [str(facts.get("name") or ""), f"{facts.get('width')} × {facts.get('height')} {kind}"]
        about.append(_readable_size(size) if isinstance(size, int) else "")
        return f"[image: {', '.join(filter(None, about))}]"
    url = image.get("url") if isinstance(image, Mapping) else image
    if isinstance(url, str):
        return f"[image: {url[:_LONGEST_URL]}]" if url.startswith(("http:", "https:")) else "[image]"
    return f"[{part.get('type', 'part')}]"


def part_in_words(part: object) -> str:
    """Return the description of a part as a sentence, because models copy the brackets of ``describe_part``."""
    return f"There was an attachment here ({describe_part(part)[1:-1]})."


def in_words(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return ``message`` with the content parts other than texts in words."""
    content = message.get("content")
    if not isinstance(content, list):
        return message
    texts = [part.get("text") if isinstance(part, Mapping) else part for part in content]
    parts = [text if isinstance(text, str) else part_in_words(part) for text, part in zip(texts, content, strict=True)]
    return {**message, "content": "\n".join(parts)}


def _readable_size(size: int) -> str:
    for unit in ("bytes", "KB"):
        if size < 1000:
            return f"{size} {unit}"
        size = (size + 500) // 1000
    return f"{size} MB"


def texts_of(message: Mapping[str, Any]) -> Iterator[str]:
    """Yield the texts that a model reads in a message's content: the whole string, or each part that has text."""
    content = message.get("content")
    if isinstance(content, str):
        yield content
    elif isinstance(content, list):
        for part in content:
            if isinstance(part, Mapping) and isinstance(part.get("text"), str):
                yield part["text"]


def others_of(message: Mapping[str, Any]) -> list[Any]:
    """Return the content parts of a message that are no texts: images, files, sounds."""
    content = message.get("content")
    parts = content if isinstance(content, list) else []
    return [part for part in parts if isinstance(part, Mapping) and not isinstance(part.get("text"), str)]


def has_parts_encoded(encoded: bytes) -> bool:
    """Whether the content of a message, as JSON, is a list of parts. Texts, which are most, cost next to nothing."""
    return not encoded.startswith(_TEXTS) and b'"content":[' in encoded


def images_in(encoded: bytes) -> int:
    """Return the number of images in a message, as JSON."""
    return encoded.count(b'"type":"image_url"') if has_parts_encoded(encoded) else 0


def calls_of(message: Mapping[str, Any]) -> Iterator[MessageCall]:
    """Yield the tool calls of a message. A legacy ``function_call`` has no id: its name stands for one."""
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        function = call.get("function") if isinstance(call, Mapping) else None
        if isinstance(function, Mapping):
            yield MessageCall(str(call.get("id") or ""), *_name_and_arguments(function))
    legacy = message.get("function_call")
    if isinstance(legacy, Mapping):
        name, arguments = _name_and_arguments(legacy)
        yield MessageCall(name, name, arguments)


def _name_and_arguments(function: Mapping[str, Any]) -> tuple[str, str]:
    arguments = function.get("arguments")
    if not isinstance(arguments, str):
        arguments = json.dumps(arguments or {}, ensure_ascii=False, default=str)
    return str(function.get("name") or ""), arguments
