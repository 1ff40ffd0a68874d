"""A session for others to read: its log as it is, or with things taken out, and as a request of the chat API."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from swarmchat.swarm.common.encoding import encode_json
from swarmchat.swarm.context.groups import GroupBuilder, Part
from swarmchat.swarm.persistence.log_reader import hidden_turns
from swarmchat.swarm.persistence.records import Record


def as_messages(records: Iterable[Record]) -> list[Mapping[str, Any]]:
    """Return the conversation as the chat API takes it: every call with its results right behind it.

    Ids are as they were said, though two messages may share one: pairs stand together. Only within a message no id is
    there twice.
    What was undone, and what is before a reset, is left out; what merely does not fit into a context is there. Whoever
    of the agents said something, it is the assistant that did.
    """
    records = list(records)
    hidden = hidden_turns(records)
    builder = GroupBuilder()
    for record in records:
        # A reset that one agent was given in need hides the conversation from that agent only.
        if record.turn not in hidden and not (record.type == "reset" and record.agent is not None):
            builder.feed(record)
    return [_with_name(part) for group in builder.groups for part in group.with_ids(set()).parts()]


def _with_name(part: Part) -> Mapping[str, Any]:
    """Return the message with the name of the tool in a result, if it came with one: the API allows it."""
    if part.record is None or part.message["role"] != "tool":
        return part.message
    name = part.record.message.get("name")
    return {**part.message, "name": name} if isinstance(name, str) and name else part.message


def as_openai(records: Iterable[Record]) -> bytes:
    """Return ``{"messages": […]}`` as one line of JSON."""
    return encode_json({"messages": as_messages(records)}) + b"\n"


def as_jsonl(records: Iterable[Record]) -> Iterator[bytes]:
    """Yield the lines of ``records``, each with its end."""
    for record in records:
        yield record.line + b"\n"


def pretty(value: str) -> str:
    """Return JSON with line breaks, for reading; what is no JSON object or list as it is."""
    if value[:1] not in ("{", "["):
        return value
    try:
        return json.dumps(json.loads(value), ensure_ascii=False, indent=2)
    except (ValueError, RecursionError):
        return value
