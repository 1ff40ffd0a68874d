"""Convert any chat message to a form that the API accepts, or report that it cannot be sent.

A message that is already valid is returned unchanged, as the same object, so that its stored bytes can be sent. Each
message is converted on its own: ``groups`` decides which messages belong together.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from swarmchat.swarm.common.encoding import decode_json
from swarmchat.swarm.common.names import portable_name
from swarmchat.swarm.common.patterns import lazy_pattern

NO_RESULT = "There is no result: the call was interrupted, and may or may not have taken effect."
"""Sent as the result of a call that was never answered: the API takes no call without one."""

_FIELDS = {
    "system": {"role", "content", "name"},
    "developer": {"role", "content", "name"},
    "user": {"role", "content", "name"},
    "assistant": {"role", "content", "name", "tool_calls"},
    "tool": {"role", "content", "tool_call_id"},
}
# Other people's logs carry more (annotations, audio, reasoning_content …), which strict servers answer with a 400.

_OF_ASSISTANTS = ("text", "refusal")
"""Content parts of assistants: https://platform.openai.com/docs/api-reference/chat/create"""
_LONGEST_ID = 40
"""OpenAI's own limit for the id of a call."""

_IMAGE = lazy_pattern(r"(?:https?|blob):|data:image/[\w.+-]{1,50};base64,", re.IGNORECASE)
"""The beginning of an image's address that a server can take; ``blob:`` becomes ``data:`` on the way there."""
_NAME = lazy_pattern(r"[^\s<|\\/>]{1,64}")
"""The name of an author. OpenAI's API gives this pattern in its error message."""


def sendable(message: Mapping[str, Any], seq: int, *, own: bool = True) -> Mapping[str, Any] | None:
    """Return ``message`` in a form that the API takes, or ``None`` if nothing of it can be sent.

    ``seq`` makes ids for calls that have none. ``own`` is false for a message of another agent, whose text is
    shared and whose calls are not.
    """
    role = message.get("role")
    if role == "assistant":
        return _assistant(message, seq, own)
    if role == "function":
        return _legacy_result(message) if own else None
    if role == "tool":
        return _tool(message) if own else None
    if not isinstance(role, str) or role not in _FIELDS:
        return None
    message = _with_good_content(message)
    return None if message["content"] is None else _only_known_fields(message, role)


def call_ids(message: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the ids of the calls in a sendable assistant message, in order."""
    return tuple(call["id"] for call in message.get("tool_calls", ()))


def no_result(call_id: str) -> dict[str, Any]:
    """Return the message that replaces a missing result."""
    return {"role": "tool", "tool_call_id": call_id, "content": NO_RESULT}


def renamed_id(call_id: str, seq: int) -> str:
    """Return an id for a call whose own is taken by an earlier one; the same for the same call, always."""
    suffix = f"-{seq}"
    return call_id[: _LONGEST_ID - len(suffix)] + suffix


def legacy_id(name: str) -> str:
    """Return the id that ties a legacy ``function_call`` to its ``role: function`` result, which have only a name."""
    return f"function_{name}"[:_LONGEST_ID]


def _assistant(message: Mapping[str, Any], seq: int, own: bool) -> Mapping[str, Any] | None:
    calls = message.get("tool_calls")
    legacy = message.get("function_call")
    good = message
    if isinstance(calls, list) and calls and own:
        fixed = [fixed for index, call in enumerate(calls) if (fixed := _call(call, seq, index))]
        if len(fixed) != len(calls) or any(new is not old for new, old in zip(fixed, calls, strict=True)):
            good = {**message, "tool_calls": fixed}
        calls = fixed
    elif isinstance(legacy, Mapping) and own and legacy.get("name"):
        name = str(legacy["name"])
        calls = [_call({"id": legacy_id(name), "type": "function", "function": {**legacy, "name": name}}, seq, 0)]
        good = {**message, "tool_calls": calls}
    else:
        calls = []
    if not calls and "tool_calls" in good:
        # An empty list is a 400: https://github.com/openai/openai-python/issues/2061
        good = {name: value for name, value in good.items() if name != "tool_calls"}
    good = _without_images(_with_good_content(good))
    if not good["content"] and not calls:
        if not isinstance(good.get("refusal"), str) or not good["refusal"]:
            return None
        good = {**good, "content": good["refusal"]}
    return _only_known_fields(good, "assistant")


def _call(call: object, seq: int, index: int) -> dict[str, Any] | None:
    """Return a call with an id, a name and a JSON object as arguments; None if it has no name."""
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(call, dict) or not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        return None
    name, arguments, call_id = function["name"], function.get("arguments"), call.get("id")
    good_arguments = _arguments(arguments)
    good_name = portable_name(name)
    good_id = _short_id(call_id) if call_id and isinstance(call_id, str) else f"call_{seq}_{index}"
    same = good_id == call_id and good_name == name and good_arguments is arguments
    if same and call.keys() == {"id", "type", "function"} and call["type"] == "function":
        return call
    return {"id": good_id, "type": "function", "function": {"name": good_name, "arguments": good_arguments}}


def _arguments(arguments: object) -> str:
    """Return arguments as the text of a JSON object: servers with a chat template parse them, and fail if they can't.

    Text that is no JSON object, such as one cut off in mid-stream, is kept inside one.
    """
    if isinstance(arguments, str):
        try:
            if isinstance(decode_json(arguments), dict):
                return arguments
        except ValueError:
            pass
        return json.dumps({"invalid_json": arguments}, ensure_ascii=False) if arguments.strip() else "{}"
    if isinstance(arguments, Mapping):
        return json.dumps(arguments, ensure_ascii=False)
    return "{}"


def _tool(message: Mapping[str, Any]) -> Mapping[str, Any] | None:
    call_id = message.get("tool_call_id")
    if not call_id or not isinstance(call_id, str):
        return None
    if len(call_id) > _LONGEST_ID:
        message = {**message, "tool_call_id": _short_id(call_id)}
    return _only_known_fields(_with_text(message), "tool")


def _legacy_result(message: Mapping[str, Any]) -> Mapping[str, Any] | None:
    name = message.get("name")
    if not name:
        return None
    return {"role": "tool", "tool_call_id": legacy_id(str(name)), "content": _with_text(message)["content"]}


def _with_text(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a result with content: what is no text is shown as JSON, as it would have been by a program."""
    content = message.get("content")
    good = _with_good_content(message)
    if good["content"] is None:
        text = "" if content is None or content == [] else json.dumps(content, ensure_ascii=False, default=str)
        return {**message, "content": text}
    return good


def _with_good_content(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return ``message`` with content that is text, a list of parts that the API knows the form of, or ``None``."""
    content = message.get("content")
    if isinstance(content, str) or (content is None and "content" in message):
        return message
    if isinstance(content, list):
        parts = [part for part in content if _is_part(part)]
        if parts and len(parts) == len(content):
            return message
        return {**message, "content": parts or None}
    return {**message, "content": None}


def _without_images(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a message of an assistant without what only users may send; a description would be imitated."""
    content = message["content"]
    if not isinstance(content, list) or all(part["type"] in _OF_ASSISTANTS for part in content):
        return message
    return {**message, "content": [part for part in content if part["type"] in _OF_ASSISTANTS] or None}


def _is_part(part: object) -> bool:
    if not isinstance(part, dict) or not isinstance(part.get("type"), str):
        return False
    if part["type"] == "image_url":
        image = part.get("image_url")
        url = image.get("url") if isinstance(image, Mapping) else None
        return isinstance(url, str) and _IMAGE.match(url) is not None
    return part["type"] != "text" or isinstance(part.get("text"), str)


def _short_id(call_id: str) -> str:
    if len(call_id) <= _LONGEST_ID:
        return call_id
    return call_id[:20] + "-" + hashlib.sha256(call_id.encode("utf-8", "replace")).hexdigest()[:16]


def _only_known_fields(message: Mapping[str, Any], role: str) -> Mapping[str, Any]:
    known = _FIELDS[role]
    bad_name = "name" in message and not (isinstance(message["name"], str) and _NAME.fullmatch(message["name"]))
    if message.keys() <= known and not bad_name:
        return message
    return {name: value for name, value in message.items() if name in known and not (bad_name and name == "name")}
