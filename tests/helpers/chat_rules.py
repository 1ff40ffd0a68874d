"""The chat API's rules for a list of messages, as OpenAI enforces them, with its wordings."""

import base64
import json
import re
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

import PIL.Image

ROLES = ("system", "developer", "user", "assistant", "tool", "function")


def check_messages(messages: object, *, shared_ids: bool = False) -> str | None:
    """Return the complaint that OpenAI would answer ``messages`` with, ``None`` if it would take them.

    Stricter than OpenAI in two points, because other servers are: arguments must hold a JSON object, and no id may
    be used twice in the whole list.
    """
    if not isinstance(messages, list):
        return f"Invalid type for 'messages': expected an array of objects, but got {_kind(messages)} instead."
    if not messages:
        return _too_short("messages")
    for position, message in enumerate(messages):
        if complaint := _check_message(message, f"messages[{position}]"):
            return complaint
    return _check_pairs(messages, shared_ids)


def _check_message(message: object, path: str) -> str | None:
    if not isinstance(message, dict):
        return f"Invalid type for '{path}': expected an object, but got {_kind(message)} instead."
    role = message.get("role")
    if role is None:
        return f"Missing required parameter: '{path}.role'."
    if role not in ROLES:
        supported = ", ".join(repr(known) for known in ROLES)
        return f"Invalid value: '{role}'. Supported values are: {supported}."
    calls = message.get("tool_calls")
    if calls is not None:
        if role != "assistant":
            return f"Unrecognized request argument supplied: '{path}.tool_calls'."
        if complaint := _check_calls(calls, f"{path}.tool_calls"):
            return complaint
    if role == "tool" and not isinstance(message.get("tool_call_id"), str):
        return f"Missing required parameter: '{path}.tool_call_id'."
    name = message.get("name")
    if name is not None and not (isinstance(name, str) and re.fullmatch(r"[^\s<|\\/>]{1,64}", name)):
        return f"Invalid '{path}.name': string does not match pattern '^[^\\s<|\\\\/>]+$'."
    return _check_content(message, path, may_be_null=bool(calls))


def _check_content(message: Mapping[str, Any], path: str, *, may_be_null: bool) -> str | None:
    content = message.get("content")
    if isinstance(content, str) or (content is None and may_be_null):
        return None
    if content is None:
        return f"Invalid value for 'content': expected a string, got null. ({path})"
    if not isinstance(content, list):
        kind = _kind(content)
        return (
            f"Invalid type for '{path}.content': expected one of a string or array of objects, but got {kind} instead."
        )
    if not content:
        return _too_short(f"{path}.content")
    for position, part in enumerate(content):
        if not isinstance(part, dict) or not isinstance(part.get("type"), str):
            return f"Missing required parameter: '{path}.content[{position}].type'."
        if part["type"] == "text" and not isinstance(part.get("text"), str):
            return f"Missing required parameter: '{path}.content[{position}].text'."
        if part["type"] == "image_url":
            if message["role"] != "user":
                return (
                    f"Invalid '{path}'. Image URLs are only allowed for messages with role 'user', but this message "
                    f"with role '{message['role']}' contains an image URL."
                )
            if complaint := _check_image(part, f"{path}.content[{position}]"):
                return complaint
    return None


def _check_image(part: Mapping[str, Any], path: str) -> str | None:
    if extra := sorted(part.keys() - {"type", "image_url"}):
        return f"Unknown parameter: '{path}.{extra[0]}'."
    image = part.get("image_url")
    url = image.get("url") if isinstance(image, dict) else None
    if not isinstance(url, str):
        return f"Missing required parameter: '{path}.image_url.url'."
    if isinstance(image, dict) and image.get("detail", "auto") not in ("low", "high", "auto"):
        return f"Invalid value: '{image['detail']}'. Supported values are: 'low', 'high', and 'auto'."
    if url.startswith(("http://", "https://")):
        return None
    match = re.fullmatch(r"data:image/(png|jpeg|gif|webp);base64,([A-Za-z0-9+/]+={0,2})", url)
    if match is None:
        return f"Invalid '{path}.image_url.url'. Expected a base64-encoded data URL with an image MIME type."
    try:
        with PIL.Image.open(BytesIO(base64.b64decode(match[2]))) as picture:
            picture.load()
            is_good = (picture.format or "").lower() == match[1] and not getattr(picture, "is_animated", False)
    except (OSError, ValueError, SyntaxError):
        is_good = False
    supported = "['png', 'jpeg', 'gif', 'webp']"
    return None if is_good else f"You uploaded an unsupported image. Please make sure your image is one of {supported}."


def _check_calls(calls: object, path: str) -> str | None:
    if not isinstance(calls, list):
        return f"Invalid type for '{path}': expected an array of objects, but got {_kind(calls)} instead."
    if not calls:
        return _too_short(path)
    for position, call in enumerate(calls):
        if complaint := _check_call(call, f"{path}[{position}]"):
            return complaint
    return None


def _check_call(call: object, path: str) -> str | None:
    if not isinstance(call, dict):
        return f"Invalid type for '{path}': expected an object, but got {_kind(call)} instead."
    identity, function = call.get("id"), call.get("function")
    if not isinstance(identity, str) or not identity:
        return f"Missing required parameter: '{path}.id'."
    if len(identity) > 40:
        return (
            f"Invalid '{path}.id': string too long. Expected a string with maximum length 40, "
            f"but got a string with length {len(identity)} instead."
        )
    if call.get("type") != "function":
        return f"Missing required parameter: '{path}.type'."
    if not isinstance(function, dict):
        return f"Missing required parameter: '{path}.function'."
    name, arguments = function.get("name"), function.get("arguments")
    if not isinstance(name, str) or not re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", name):
        return (
            f"Invalid '{path}.function.name': string does not match pattern. "
            "Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'."
        )
    if not isinstance(arguments, str):
        kind = _kind(arguments)
        return f"Invalid type for '{path}.function.arguments': expected a string, but got {kind} instead."
    try:
        decoded = json.loads(arguments)
    except ValueError:
        decoded = None
    if not isinstance(decoded, dict):
        return f"Invalid '{path}.function.arguments': expected a string that holds a JSON object, got {arguments!r}."
    return None


def _check_pairs(messages: Sequence[Mapping[str, Any]], shared_ids: bool) -> str | None:
    """Each call answered once, directly after its message; no answer without its call; no id twice.

    With ``shared_ids``, messages may have the same ones: pairs are told by where they stand.
    """
    used: set[str] = set()
    waiting: set[str] = set()
    answered: set[str] = set()
    for position, message in enumerate(messages):
        if message["role"] == "tool":
            identity = message["tool_call_id"]
            if identity in answered:
                return f"Duplicate value for 'tool_call_id' of '{identity}' in message[{position}]"
            if identity not in waiting:
                return (
                    "Invalid parameter: messages with role 'tool' must be a response to a preceeding message "
                    f"with 'tool_calls'. (messages[{position}].tool_call_id)"
                )
            waiting.remove(identity)
            answered.add(identity)
            continue
        if waiting:
            return _unanswered(waiting)
        answered = set()
        if shared_ids:
            used = set()
        for call in message.get("tool_calls") or ():
            if call["id"] in used:
                return f"Duplicate value for 'tool_calls[].id' of '{call['id']}' in message[{position}]"
            used.add(call["id"])
            waiting.add(call["id"])
    return _unanswered(waiting) if waiting else None


def _unanswered(waiting: set[str]) -> str:
    return (
        "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. "
        f"The following tool_call_ids did not have response messages: {', '.join(sorted(waiting))}"
    )


def _too_short(path: str) -> str:
    return f"Invalid '{path}': empty array. Expected an array with minimum length 1, but got an empty array instead."


def _kind(value: object) -> str:
    kinds = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return kinds.get(type(value), "a number")
