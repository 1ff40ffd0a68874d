"""Convert chat messages of other programs to records of a log."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from swarmchat.swarm.archive.log_summary import LogSummary
from swarmchat.swarm.archive.writer import SessionSnapshot, reader
from swarmchat.swarm.common.encoding import clean_text, encode_json
from swarmchat.swarm.importers.lines import short_repr
from swarmchat.swarm.persistence.records import Record, RecordType, parse_record, timestamp

TYPES: dict[str, RecordType] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}
"""The type of record for each role of a message."""

TimedMessage = tuple[dict[str, Any], str | None, dict[str, Any]]
"""A message, its time, and the other fields of its record."""


class RecordMaker:
    """Makes the records of one session from its messages, in their order."""

    def __init__(self, about: Mapping[str, Any], moment: str) -> None:
        self._seq = self._turn = 0
        self._moment = moment
        self._about = dict(about)
        self._names: dict[str, str] = {}
        """The tools of the calls, by id."""

    def begin(self) -> bytes:
        """Return the first record of the log."""
        return self._line("session", self._about)

    def message(self, message: Mapping[str, Any], moment: str | None = None, **about: Any) -> bytes:
        """Return the record of ``message``, sent at ``moment``; ``None``: at the time of the one before."""
        self._moment = moment or self._moment
        kind = TYPES[message["role"]]
        self._turn += kind == "user"
        if isinstance(content := message.get("content"), list):
            from swarmchat.swarm.images.files import with_facts

            parts = [with_facts(part) if isinstance(part, dict) else part for part in content]
            message = {**message, "content": parts}
        data: dict[str, Any] = {"message": message}
        if kind == "assistant":
            calls = message.get("tool_calls") or ()
            self._names.update((str(call.get("id")), str(call["function"]["name"])) for call in calls)
            data["finish"] = "tool_calls" if calls else "stop"
        elif kind == "tool":
            name = message.get("name") or self._names.get(str(message.get("tool_call_id")), "")
            data |= {"name": name, "status": "ok"}
        return self._line(kind, data | {name: value for name, value in about.items() if value is not None})

    def _line(self, kind: RecordType, data: Mapping[str, Any]) -> bytes:
        record = Record(kind, self._seq, self._turn, self._moment, None, data)
        self._seq += 1
        return record.line


def made_session(
    name: str,
    source: str,
    content: Iterable[bytes],
    client: str,
    moment: str,
    fill: Callable[[RecordMaker], Iterable[bytes]],
    model: str = "",
) -> SessionSnapshot:
    """Return the session whose records ``fill`` creates. Its digest is computed from ``content``.

    Makes all records once, so that any mistake is reported now.
    """
    digest = hashlib.sha256()
    for piece in content:
        digest.update(piece)
    about: dict[str, Any] = {"id": name, "name": name, "client": client, "swarm": "", "model": model}
    about["imported"] = {"from": source, "digest": digest.hexdigest()}

    def lines() -> Iterator[bytes]:
        maker = RecordMaker(about, moment)
        yield maker.begin()
        yield from fill(maker)

    summary = LogSummary()
    for line in lines():
        summary.take(parse_record(line))
    info = replace(summary.info, id=name, name=name, client=client)
    return SessionSnapshot(info, summary.stored_state, summary.count, digest.hexdigest(), reader(lines), converted=True)


def message_problem(message: object) -> str | None:
    """Return the fault of a chat message, and what was expected; ``None`` if it is valid or can be repaired."""
    if not isinstance(message, dict):
        return f"is {_described(message)}, expected an object"
    # Not in the dict itself: a role of others may be a list, which has no hash.
    if message.get("role") not in tuple(TYPES):
        return f".role is {_described(message.get('role'))}, expected one of {', '.join(TYPES)}"
    content = message.get("content")
    if content is not None and not isinstance(content, str):
        if not isinstance(content, list):
            return f".content is {_described(content)}, expected text, a list of parts, or null"
        for index, part in enumerate(content):
            if not isinstance(part, dict) or not isinstance(part.get("type"), str):
                return f".content[{index}] is {_described(part)}, expected an object with a 'type'"
    if message["role"] == "tool" and not isinstance(message.get("tool_call_id"), str):
        return f".tool_call_id is {_described(message.get('tool_call_id'))}, expected the id of a call"
    return _calls_problem(message.get("tool_calls"))


def _calls_problem(calls: object) -> str | None:
    if calls is None:
        return None
    if not isinstance(calls, list):
        return f".tool_calls is {_described(calls)}, expected a list"
    ids: set[str] = set()
    for index, call in enumerate(calls):
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            return f".tool_calls[{index}] is {_described(call)}, expected an object with a 'function' that has a 'name'"
        if not isinstance(function.get("arguments", ""), str | dict):
            arguments = _described(function["arguments"])
            return f".tool_calls[{index}].function.arguments is {arguments}, expected JSON as text"
        call_id = call.get("id")
        if call_id is not None and not isinstance(call_id, str):
            return f".tool_calls[{index}].id is {_described(call_id)}, expected text"
        if call_id in ids:
            return f".tool_calls[{index}].id is {call_id!r}, which an earlier call of the message has"
        ids.add(call_id or f"\n{index}")
    return None


def moment_of(value: object) -> str | None:
    """Return a time in the form of records; ``None`` if ``value`` is not a time."""
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return timestamp(datetime.fromtimestamp(value, UTC))
        if isinstance(value, str):
            moment = datetime.fromisoformat(value)
            return timestamp(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    except (ValueError, OverflowError, OSError):
        pass
    return None


def clean_name(value: object, fallback: str) -> str:
    """Return ``value`` as the name of a session, ``fallback`` if it cannot be one."""
    name = clean_text(value).strip() if isinstance(value, str) else ""
    return name or fallback


def canonical(value: object) -> bytes:
    """Return JSON as bytes that are the same for the same value, for digests."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def tool_call(call_id: object, name: str, arguments: object) -> dict[str, Any]:
    """Return a tool call in the form of the chat API."""
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": as_json_text(arguments)}}


def token_usage(prompt: int | None, completion: int | None) -> dict[str, int] | None:
    """Return the usage in the form of the chat API; ``None`` if the tokens of the prompt are unknown."""
    return None if prompt is None else {"prompt_tokens": prompt, "completion_tokens": completion or 0}


def as_json_text(value: object) -> str:
    """Return ``value`` itself if it is text, else its JSON."""
    return value if isinstance(value, str) else encode_json(value).decode()


def _described(value: object) -> str:
    return "missing" if value is None else short_repr(value)
