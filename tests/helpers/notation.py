"""A short notation for conversations, so that a test of rotation reads like its specification.

``S U1 A1 A{a,b} T:a T:b[50] U2``: S system, D developer, U user, A assistant text, ``A{a,b}`` an assistant message
with the calls a and b, ``T:a`` the result of call a, ``[50]`` a cost other than 1. Anything after the letter is a
label. In what is sent, ``T:a!`` is a result that stands in for a missing one, ``T:a~`` a shortened one.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from swarmchat.swarm.context.builder import Budget, RequestContext, build_context
from swarmchat.swarm.context.groups import GroupBuilder
from swarmchat.swarm.context.normalize import NO_RESULT
from swarmchat.swarm.context.tokens import TokenCounter
from swarmchat.swarm.persistence.records import Record

TIME = "2026-01-02T03:04:05.000Z"
_ROLES = {"S": "system", "D": "developer", "U": "user", "A": "assistant", "T": "tool"}
_WORD = re.compile(r"(?P<label>(?P<letter>[SDUAT])[\w':]*)(?:\{(?P<calls>[^}]*)\})?(?:\[(?P<cost>\d+)\])?$")


class WordCounter(TokenCounter):
    """Counts one token a word of content one at least a message, one for a result that stands in, and nothing else."""

    def __init__(self) -> None:
        super().__init__("words", lambda text: len(text.split()))

    def message(self, message: Mapping[str, Any], *, parallel: bool = False) -> int:
        content = message.get("content")
        if content == NO_RESULT:
            return 1
        return max(1, self.text(content if isinstance(content, str) else json.dumps(content)))

    def fixed(self, system: Sequence[bytes], tools: Sequence[Mapping[str, Any]] = ()) -> int:
        return sum(self.message(json.loads(message)) for message in system) + len(tools)


def message_of(word: str) -> dict[str, Any]:
    match = _WORD.match(word)
    assert match, word
    role = _ROLES[match["letter"]]
    content: str | None = " ".join([match["label"], *["x"] * (int(match["cost"] or 1) - 1)])
    message: dict[str, Any] = {"role": role, "content": content}
    if match["calls"] is not None:
        message["tool_calls"] = [
            {"id": call, "type": "function", "function": {"name": "f", "arguments": "{}"}}
            for call in match["calls"].split(",")
            if call
        ]
    if role == "tool":
        message["tool_call_id"] = match["label"][2:].rstrip("'")
    return message


def records_of(log: str | Iterable[Mapping[str, Any]], start: int = 0) -> list[Record]:
    """Return the records of a conversation in the notation, or of chat messages."""
    messages = [message_of(word) for word in log.split()] if isinstance(log, str) else log
    records, turn = [], 0
    for seq, message in enumerate(messages, start):
        turn += message["role"] == "user"
        kind = {"developer": "system", "function": "tool"}.get(message["role"], message["role"])
        records.append(Record(kind, seq, turn, TIME, None, {"message": message}))
    return records


def context_of(
    log: str | Sequence[Record], budget: int, *, high: float = 1, low: float = 1, **options: Any
) -> RequestContext:
    """Return the context for a budget that counts everything; without marks, unless given."""
    records = records_of(log) if isinstance(log, str) else log
    builder = GroupBuilder(records=records)
    return build_context(builder.groups, counter=WordCounter(), budget=Budget(budget, high=high, low=low), **options)


def sent(context: RequestContext) -> str:
    """Return what is sent, in the notation."""
    return " ".join(_word(json.loads(message)) for message in context.messages)


def _word(message: Mapping[str, Any]) -> str:
    content = message.get("content") or "A"
    if message["role"] == "tool":
        mark = "!" if content == NO_RESULT else "~" if "left out" in content else ""
        return f"T:{message['tool_call_id']}!" if mark == "!" else content.split()[0] + mark
    calls = [call["id"] for call in message.get("tool_calls", ())]
    return content.split()[0] + (f"{{{','.join(calls)}}}" if calls else "")
