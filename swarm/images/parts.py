"""Content parts with data: a data URL in requests, a reference to a blob in the log.

``data:image/png;base64,…`` and ``blob:image/png;sha256,…`` can replace each other, whatever else a part holds. So a
line of a log can be made self-contained and converted back, byte for byte.
"""

import base64
import binascii
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from swarmchat.swarm.common.messages import has_parts_encoded, part_in_words
from swarmchat.swarm.common.patterns import lazy_pattern
from swarmchat.swarm.images.header import is_image
from swarmchat.swarm.persistence.blobs import digest_of
from swarmchat.swarm.persistence.records import MESSAGE_TYPES, parse_record

_PLACES = {"image_url": "url", "file": "file_data"}
"""Where a part of each type has its data: the field of the object that is called as the type."""
_FACTS = "image"
"""The field of a part that is only for the log."""
_DATA = lazy_pattern(r"data:([\w.+-]+/[\w.+-]+);base64,([A-Za-z0-9+/]+={0,2})")
_TYPE = lazy_pattern("data:(image/[a-z]+);")
_BLOB = lazy_pattern(r"blob:([\w.+-]+/[\w.+-]+);sha256,([0-9a-f]{64})")
_BLOB_IN_JSON = lazy_pattern(rb'"blob:[\w.+-]+/[\w.+-]+;sha256,([0-9a-f]{64})"')
Get = Callable[[str], bytes | None]
"""Returns the blob with a digest."""


def data_of(part: object) -> bytes | None:
    """Return the data in a content part; ``None`` if it holds none, or none that can be decoded."""
    match = _DATA.fullmatch(url_of(part))
    try:
        return None if match is None else base64.b64decode(match[2], validate=True)
    except binascii.Error:
        return None


def as_data_url(part: object) -> str | None:
    """Return the image in a content part as a data URL that holds nothing else; ``None`` if it holds none."""
    data, match = data_of(part), _TYPE.match(url_of(part))
    return _data_url(match[1], data) if data is not None and match is not None and is_image(data) else None


def to_blobs(message: Mapping[str, Any]) -> tuple[Mapping[str, Any], dict[str, bytes]]:
    """Return ``message`` with references in place of data, and the blobs by their digests."""
    blobs: dict[str, bytes] = {}

    def stored(part: Mapping[str, Any]) -> Mapping[str, Any]:
        data = data_of(part)
        if data is None:
            return part
        blobs[digest_of(data)] = data
        kind = url_of(part).removeprefix("data:").partition(";")[0]
        return _with_url(part, f"blob:{kind};sha256,{digest_of(data)}")

    return _mapped(message, stored), blobs


def to_send(message: Mapping[str, Any], get: Get) -> Mapping[str, Any]:
    """Return ``message`` as the chat API takes it; a text replaces data that is missing or damaged."""

    def sent(part: Mapping[str, Any]) -> Mapping[str, Any]:
        reference = _BLOB.fullmatch(url_of(part))
        content = data_of(part) if reference is None else get(reference[2])
        if content is None and reference is not None:
            return {"type": "text", "text": f"{part_in_words(part)} It is no longer stored."}
        if content is not None and part["type"] == "image_url" and not is_image(content):
            # A log of another program may hold anything, and one bad image would have each request refused.
            return {"type": "text", "text": f"{part_in_words(part)} It is damaged."}
        if content is not None and reference is not None:
            part = _with_url(part, _data_url(reference[1], content))
        return {name: value for name, value in part.items() if name != _FACTS}

    return _mapped(message, sent)


def digests_in(encoded: bytes) -> list[str]:
    """Return the digests of the blobs that a message, as JSON, names."""
    references = _BLOB_IN_JSON.finditer(encoded) if has_parts_encoded(encoded) else ()
    return [match[1].decode() for match in references]


def digests_in_line(line: bytes) -> list[str]:
    """Return the digests of the blobs that a line of a log names."""
    return [match[1].decode() for match in _BLOB_IN_JSON.finditer(line)]


def line_to_blobs(line: bytes) -> tuple[bytes, dict[str, bytes]]:
    """Return a line of a log with references in place of data, and the blobs."""
    blobs: dict[str, bytes] = {}
    for url, part in _urls_in(line):
        if (data := data_of(part)) is not None:
            kind = url.removeprefix("data:").partition(";")[0]
            blobs[digest_of(data)] = data
            line = line.replace(f'"{url}"'.encode(), f'"blob:{kind};sha256,{digest_of(data)}"'.encode())
    return line, blobs


def line_to_data(line: bytes, blobs: Mapping[str, bytes]) -> bytes:
    """Return a line of a log with the data of ``blobs`` in place of references to them."""
    for url, _ in _urls_in(line):
        reference = _BLOB.fullmatch(url)
        if reference is not None and (content := blobs.get(reference[2])) is not None:
            line = line.replace(f'"{url}"'.encode(), f'"{_data_url(reference[1], content)}"'.encode())
    return line


def _urls_in(line: bytes) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the URLs in the parts of the messages of a record."""
    record = parse_record(line)
    messages = [record.message] if record.type in MESSAGE_TYPES else []
    if record.type == "ask_model" and isinstance(asked := record.data.get("messages"), list):
        messages = [message for message in asked if isinstance(message, dict)]
    for message in messages:
        for part in _parts(message):
            if url := url_of(part):
                yield url, part


def _data_url(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def url_of(part: object) -> str:
    """Return the URL of a part; empty if it has none."""
    kind = part.get("type") if isinstance(part, Mapping) else None
    inner = part.get(kind) if isinstance(part, Mapping) and isinstance(kind, str) and kind in _PLACES else None
    url = inner.get(_PLACES[kind]) if isinstance(inner, Mapping) and isinstance(kind, str) else None
    return url if isinstance(url, str) else ""


def _with_url(part: Mapping[str, Any], url: str) -> dict[str, Any]:
    kind = str(part["type"])
    return {**part, kind: {**part[kind], _PLACES[kind]: url}}


def _parts(message: Mapping[str, Any]) -> list[Any]:
    content = message.get("content")
    return content if isinstance(content, list) else []


def _mapped(message: Mapping[str, Any], change: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return ``message`` with its parts changed; itself if its content is no list."""
    if not isinstance(message.get("content"), list):
        return message
    return {**message, "content": [change(part) if isinstance(part, Mapping) else part for part in _parts(message)]}
