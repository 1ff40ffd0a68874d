"""Sessions of the Codex CLI: its rollout files, ``~/.codex/sessions/YYYY/MM/DD/rollout-….jsonl``, one session each.

Each line is ``{"timestamp", "type", "payload"}``. The conversation is in the lines of type ``response_item``, which
hold items of OpenAI's Responses API; a file from before September 2025 holds the bare items.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from swarmchat.swarm.archive.writer import SessionSnapshot
from swarmchat.swarm.importers.lines import Line, at_line, parse_json, read_lines
from swarmchat.swarm.importers.record_builder import (
    RecordMaker,
    as_json_text,
    clean_name,
    made_session,
    moment_of,
    tool_call,
)

_ROLES = {"user": "user", "assistant": "assistant", "system": "system", "developer": "system"}
_CALLS = ("function_call", "custom_tool_call", "local_shell_call")
_RESULTS = ("function_call_output", "custom_tool_call_output", "local_shell_call_output")
_FRAME = ("<environment_context>", "<user_instructions>", "<permissions instructions>", "# AGENTS.md instructions")
"""Beginnings of messages that the program wrote in the user's name."""


@dataclass(frozen=True)
class _Item:
    """The contents of one line."""

    moment: str | None
    kind: str
    payload: Mapping[str, Any]


def find_rollout(file: BinaryIO, name: str, fallback: str, client: str, moment: str) -> list[SessionSnapshot]:
    """Return the session in ``file``, of ``client``. Raises TranscriptError."""
    digest = hashlib.sha256()
    model = ""
    chosen, start, messages = fallback, moment, 0
    for line in read_lines(file, name):
        item = _read(line, name)
        digest.update(line.data)
        if item.kind == "session_meta":
            chosen = clean_name(item.payload.get("id"), fallback)
            start = moment_of(item.payload.get("timestamp")) or item.moment or start
        elif item.kind == "turn_context" and isinstance(item.payload.get("model"), str):
            model = model or item.payload["model"]
        elif item.kind == "response_item":
            messages += 1
            if problem := _problem(item.payload):
                raise at_line(name, line.number, problem)
    if not messages:
        raise at_line(name, 1, "the file has no 'response_item', expected a conversation of the Codex CLI")

    def fill(maker: RecordMaker) -> Iterator[bytes]:
        items = (_read(line, name) for line in read_lines(file, name))
        yield from _Conversation(maker).records(items)

    return [made_session(chosen, "codex", [digest.digest()], client, start, fill, model=model)]


class _Conversation:
    """Turns items into messages: the calls of one answer, and its text, are one message."""

    def __init__(self, maker: RecordMaker) -> None:
        self._maker = maker
        self._answer: dict[str, Any] | None = None
        self._moment: str | None = None
        self._reasoning: list[str] = []

    def records(self, items: Iterator[_Item]) -> Iterator[bytes]:
        for item in items:
            if item.kind == "response_item":
                yield from self._take(item.payload, item.moment)
        yield from self._flush()

    def _take(self, item: Mapping[str, Any], moment: str | None) -> Iterator[bytes]:
        kind = item.get("type")
        if kind == "reasoning":
            yield from self._flush()
            summary = item.get("summary")
            self._reasoning += [text for text in map(_text_of, summary if isinstance(summary, list) else ()) if text]
        elif kind in _CALLS:
            answer = self._answer or {"role": "assistant", "content": None}
            self._answer, self._moment = answer, moment
            answer.setdefault("tool_calls", []).append(_call(item))
        elif kind in _RESULTS:
            yield from self._flush()
            content = _output(item.get("output"))
            call_id = str(item.get("call_id") or item.get("id") or "")
            yield self._maker.message({"role": "tool", "tool_call_id": call_id, "content": content}, moment)
        elif kind == "message":
            yield from self._flush()
            role = _ROLES[str(item.get("role"))]
            content = _content(item.get("content"))
            if role == "assistant":
                self._answer, self._moment = {"role": role, "content": content}, moment
            else:
                is_frame = role == "user" and isinstance(content, str) and content.lstrip().startswith(_FRAME)
                yield self._maker.message({"role": "system" if is_frame else role, "content": content}, moment)

    def _flush(self) -> Iterator[bytes]:
        if self._answer is not None:
            reasoning = "\n".join(self._reasoning) or None
            yield self._maker.message(self._answer, self._moment, reasoning=reasoning)
            self._answer, self._reasoning = None, []


def _read(line: Line, name: str) -> _Item:
    value = parse_json(line, name)
    if not isinstance(value, dict):
        raise at_line(name, line.number, f"it is not an object, expected {{{_EXPECTED}}}")
    if "payload" in value or ("timestamp" in value and value.get("type") in ("session_meta", "response_item")):
        if not isinstance(value.get("payload"), dict) or not isinstance(value.get("type"), str):
            problem = f"'type' or 'payload' is missing or of the wrong type, expected {{{_EXPECTED}}}"
            raise at_line(name, line.number, problem)
        return _Item(moment_of(value.get("timestamp")), value["type"], value["payload"])
    if "record_type" in value:
        return _Item(None, "state", value)
    if "id" in value and "timestamp" in value and "type" not in value:
        return _Item(moment_of(value["timestamp"]), "session_meta", value)
    if not isinstance(value.get("type"), str):
        raise at_line(name, line.number, f"'type' is missing, expected {{{_EXPECTED}}}")
    return _Item(None, "response_item", value)


_EXPECTED = '"timestamp", "type", "payload"'


def _problem(item: Mapping[str, Any]) -> str | None:
    kind = item.get("type")
    if not isinstance(kind, str):
        return "'type' of the payload is missing, expected the type of an item"
    if kind == "message" and (item.get("role") not in tuple(_ROLES) or not isinstance(item.get("content"), list | str)):
        return f"a message has the role {item.get('role')!r}, expected one of {', '.join(_ROLES)}, and a 'content'"
    if kind in ("function_call", "custom_tool_call") and not isinstance(item.get("name"), str):
        return f"a {kind} has no 'name', expected the name of a tool"
    if kind in (*_CALLS, *_RESULTS) and not isinstance(item.get("call_id") or item.get("id"), str):
        return f"a {kind} has no 'call_id', expected the id of a call"
    return None


def _call(item: Mapping[str, Any]) -> dict[str, Any]:
    name = "local_shell" if item["type"] == "local_shell_call" else item["name"]
    arguments: object = item.get("arguments") or "{}"
    if item["type"] == "custom_tool_call":
        arguments = {"input": item.get("input")}
    elif item["type"] == "local_shell_call":
        arguments = item.get("action") or {}
    return tool_call(item.get("call_id") or item.get("id"), name, arguments)


def _content(content: object) -> Any:
    """Return content as the chat API has it: text, or parts where there is an image."""
    if isinstance(content, str):
        return content
    parts: list[dict[str, Any]] = []
    for part in content if isinstance(content, list) else []:
        if isinstance(part, dict) and isinstance(part.get("image_url"), str):
            parts.append({"type": "image_url", "image_url": {"url": part["image_url"]}})
        elif (text := _text_of(part)) is not None:
            parts.append({"type": "text", "text": text})
    if all(part["type"] == "text" for part in parts):
        return "\n".join(part["text"] for part in parts)
    return parts


def _output(output: object) -> str:
    if isinstance(output, dict) and isinstance(output.get("content"), str):
        return str(output["content"])
    if isinstance(output, list) and None not in (texts := [_text_of(part) for part in output]):
        return "\n".join(map(str, texts))
    return "" if output is None else as_json_text(output)


def _text_of(part: object) -> str | None:
    text = part.get("text") if isinstance(part, dict) else None
    return text if isinstance(text, str) else None
