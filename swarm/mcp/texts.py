"""Sanitize the texts of an MCP server, which may be anybody's program."""

import base64
import json
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from swarmchat.swarm.common.encoding import check_nesting
from swarmchat.swarm.errors import ImageError

MAX_DESCRIPTION = 4000
"""The largest description of a tool, in characters."""
MAX_SCHEMA = 64_000
"""The largest schema of a tool's arguments, in characters of JSON."""
MAX_IMAGES = 10
"""How many blocks of a result may be images."""
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_HIDDEN = ("Cc", "Cf", "Cs", "Co")
"""Unicode categories of characters that nothing shows."""
_NAME = re.compile(r"[A-Za-z0-9_./-]{1,128}")

_OF_SDK = re.compile(r"(Failed to parse JSON response|SSE stream failed): ")
_OF_PYDANTIC = re.compile(r"\d+ validation errors? for .*", re.DOTALL)
"""What the SDK copies of an error of pydantic: many lines about its own classes."""


def is_tool_name(name: str) -> bool:
    """Whether the protocol allows the name (https://modelcontextprotocol.io/specification/2025-11-25/server/tools)."""
    return _NAME.fullmatch(name) is not None


def visible(text: str, limit: int = MAX_DESCRIPTION) -> str:
    """Return ``text`` without what only a model can see: control and format characters, and tags; cut to ``limit``.

    Instructions in such characters are a known attack on the users of MCP servers.
    """
    shown = _CONTROLS.sub("", text[: limit * 2])
    if not shown.isascii():
        shown = "".join(char for char in shown if char in "\n\t" or unicodedata.category(char) not in _HIDDEN)
    return shown if len(shown) <= limit and len(text) <= limit * 2 else shown[: limit - 1] + "…"


def safe_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``schema`` with its texts made visible. Raises ValueError if it is too large or nested too deep."""
    check_nesting(schema)
    if (size := len(json.dumps(schema))) > MAX_SCHEMA:
        raise ValueError(f"its schema has {size:,} characters, more than {MAX_SCHEMA:,}")
    result: dict[str, Any] = _visible_texts(schema)
    return result


def _visible_texts(value: Any) -> Any:
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, Mapping):
        return {visible(str(key)): _visible_texts(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_visible_texts(each) for each in value]
    return value


def result_images(result: Any, name: str) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Yield the blocks of an mcp_types.CallToolResult that hold images that can be sent, each with its content part.

    ``name`` is that of the tool.
    """
    # Loaded with the first result that holds an image.
    from swarmchat.swarm.images.files import image_part

    for block in result.content[:MAX_IMAGES]:
        source = block.resource if block.type == "resource" else block
        encoded = getattr(source, "data", None) or getattr(source, "blob", None)
        if str(getattr(source, "mime_type", "")).startswith("image/") and isinstance(encoded, str):
            with suppress(ImageError, ValueError):
                yield block, image_part(base64.b64decode(encoded, validate=True), visible(name, 60))


def result_text(result: Any, without: Sequence[Any] = ()) -> str:
    """Return what an mcp_types.CallToolResult says, as text for the model, ``without`` some blocks.

    Other media are named, not included.
    """
    parts = [block_text(block) for block in result.content if not any(block is each for each in without)]
    if not any(parts) and not without and result.structured_content is not None:
        parts = [json.dumps(result.structured_content, ensure_ascii=False)]
    return "\n".join(filter(None, parts))


def block_text(block: Any) -> str:
    """Return a content block of a result, a prompt or a message as text."""
    match block.type:
        case "text":
            return str(block.text)
        case "image" | "audio":
            return f"This is not shown: {block.type}, {block.mime_type}, {len(block.data) * 3 // 4:,} bytes."
        case "resource_link":
            return f"The resource {block.uri}: {block.description or block.name}"
        case "resource":
            text, name = getattr(block.resource, "text", None), f"The resource {block.resource.uri}"
            return f"{name}:\n{text}" if text else f"{name} is not shown."
    return f"This is not shown: {block.type}."


def described(error: object) -> str:
    """Return what an error of the SDK or of the server says, as one line."""
    from pydantic import ValidationError

    if isinstance(error, ValidationError):
        # The first of maybe thousands. The place in an entry of a list begins with the list and the position in it.
        problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = problem["loc"]
        place = place[2:] if len(place) > 1 and isinstance(place[1], int) else place
        error = f"{'.'.join(map(str, place)) or 'it'} is invalid ({problem['msg']})"
    text = _OF_SDK.sub("", _OF_PYDANTIC.sub("it is not a valid message", str(error)))
    return visible(" ".join(text.split()) or type(error).__name__, 300)
