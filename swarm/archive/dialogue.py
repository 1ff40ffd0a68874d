"""A log as a dialogue: messages, tool calls with their results, and notes on other events."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from swarmchat.swarm.archive.task_summaries import TaskSummary, tasks_of
from swarmchat.swarm.common.messages import calls_of, others_of, text_of
from swarmchat.swarm.persistence.log import hidden_turns
from swarmchat.swarm.persistence.records import OUTSIDE_TURNS, Record

NO_ANSWER = "no result"

_NEVER_HIDDEN = ("undo", "redo", *OUTSIDE_TURNS)
"""Record types that stay visible when their turn is undone."""


@dataclass(frozen=True)
class DialogueEntry:
    """One message, tool call or event.

    ``kind`` is ``user``, ``assistant``, ``system``, ``call`` (of the tool ``name`` with ``arguments``; ``text`` is its
    result), ``note`` or ``error``. ``who`` is the agent where one is known, else the role.
    """

    kind: str
    who: str
    text: str
    turn: int
    ts: str
    name: str = ""
    arguments: str = ""
    status: str = ""
    undone: bool = False
    task: str = ""
    """The task that it belongs to, if an agent worked on one."""
    others: tuple[Any, ...] = ()
    """The content parts of the message or result that are no texts; ``text`` describes them."""


def dialogue(records: Iterable[Record], *, undone: bool = False, tasks: bool = False) -> Iterator[DialogueEntry]:
    """Yield the entries of a whole log. With ``undone``, undone turns are included and marked.

    Each task of an agent that is used as a tool is one note, where it began; with ``tasks``, its entries follow it.
    """
    records = list(records)
    hidden = hidden_turns(records)
    delegated = tasks_of(records)
    waiting: dict[str, DialogueEntry] = {}
    for record in records:
        is_hidden = record.turn in hidden and record.type not in _NEVER_HIDDEN and record.type != "task_start"
        if is_hidden and not undone:
            continue
        if record.type in ("task", "task_start"):
            if (task := delegated.pop(record.task, None)) is not None:
                yield from _task_entries(task, record, is_hidden, tasks)
            continue
        if record.type in ("user", "steer", "system", "assistant"):
            yield from _calls_without_result(waiting)
        yield from _entries(record, waiting, is_hidden)
    yield from _calls_without_result(waiting)


def _task_entries(task: TaskSummary, first: Record, undone: bool, unfolded: bool) -> Iterator[DialogueEntry]:
    """Yield the note of a task that begins with the record ``first``; if ``unfolded``, also its own entries."""
    yield DialogueEntry("note", task.agent, task.line, first.turn, first.ts, undone=undone, task=task.id)
    for entry in dialogue(task.records) if unfolded else ():
        yield replace(entry, undone=undone, task=task.id)


def _entries(record: Record, waiting: dict[str, DialogueEntry], undone: bool) -> Iterator[DialogueEntry]:
    data = record.data
    base = DialogueEntry("note", record.agent or record.type, "", record.turn, record.ts, undone=undone)
    if record.type == "mail" and data.get("act") == "said":
        yield replace(base, kind="assistant", who=f"{record.text('sender')} (a person)", text=record.text("text"))
    elif record.type in ("user", "steer", "system"):
        role = str(record.message.get("role", "user"))
        others = tuple(others_of(record.message))
        yield replace(base, kind=role, who=role, text=text_of(record.message), others=others)
    elif record.type == "assistant":
        text = text_of(record.message)
        if text.strip():
            yield replace(base, kind="assistant", text=text)
        for call_id, name, arguments in calls_of(record.message):
            waiting[call_id] = replace(base, kind="call", name=name, arguments=arguments)
        if data.get("finish") not in (None, "stop", "tool_calls"):
            yield replace(base, text=f"the answer ended: {data['finish']}")
    elif record.type == "tool":
        call_id = str(record.message.get("tool_call_id") or record.message.get("name") or "")
        call = waiting.pop(call_id, replace(base, kind="call", name=str(data.get("name", "?")), arguments=""))
        text, others = text_of(record.message), tuple(others_of(record.message))
        yield replace(call, text=text, others=others, status=str(data.get("status", "")))
    elif record.type == "error":
        error = data.get("error")
        text = f"{error.get('kind')}: {error.get('message')}" if isinstance(error, dict) else str(error)
        yield replace(base, kind="error", who="error", text=text)
    elif note := _note(record):
        yield replace(base, text=note)


def _note(record: Record) -> str | None:
    data = record.data
    match record.type:
        case "mail" if data.get("act"):
            return f"{data.get('sender')} ({data['act']}): {data.get('text', '')}".rstrip(": ")
        case "mail":
            return f"message from {data.get('sender') or 'outside'}: {data.get('text')}"
        case "handoff":
            return f"{data.get('from')} → {data.get('to')}"
        case "rotate":
            dropped = data.get("dropped")
            groups = f"{dropped['groups']} " if isinstance(dropped, dict) and "groups" in dropped else ""
            return f"the {groups}oldest messages are no longer sent"
        case "reset":
            return "nothing before this is sent" + (f" to {record.agent}" if record.agent else "")
        case "compact":
            return f"messages before record {data.get('first_kept')} are summarized: {data.get('summary')}"
        case "pin" | "unpin":
            return f"turn {data.get('target')} is {'pinned' if record.type == 'pin' else 'no longer pinned'}"
        case "set":
            return f"settings: {_as_json(data.get('settings') or {})}"
        case "rescue":
            return ": ".join(["rescue", *(str(data[name]) for name in ("cause", "step", "detail") if data.get(name))])
        case "policy":
            what = "the question" if data.get("direction") == "input" else "the answer"
            return f"policy {data.get('policy')} refused {what}: {data.get('text')}"
        case "ask_model" | "ask_user":
            messages = data.get("messages")
            texts = [text_of(each) for each in messages if isinstance(each, dict)] if isinstance(messages, list) else []
            asked = data.get("question") or "; ".join(texts)
            whom = data.get("model") if record.type == "ask_model" else "the user"
            return f"a tool asked {whom}: {asked} → {_as_json(data.get('answer'))}"
        case "unsent":
            return f"not sent: {data.get('text')}"
        case "state" | "memory":
            return f"{record.type} {data.get('name', '')} = {_as_json(data.get('value'))}".replace("  ", " ")
        case "rename":
            return f"renamed to {data.get('name')}"
        case "undo" | "redo":
            done = "undone" if record.type == "undo" else "restored"
            first, last = data.get("from"), data.get("to")
            return f"turn {first} is {done}" if first == last else f"turns {first} to {last} are {done}"
    return None


def _calls_without_result(waiting: dict[str, DialogueEntry]) -> Iterator[DialogueEntry]:
    for call in waiting.values():
        yield replace(call, status=NO_ANSWER)
    waiting.clear()


def _as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
