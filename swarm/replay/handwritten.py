"""Read hand-written transcripts: conversations in their smallest form, with expectations."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from swarmchat.swarm.agents.rescue_steps import STEPS
from swarmchat.swarm.common.names import nearest
from swarmchat.swarm.errors import TranscriptError
from swarmchat.swarm.importers.lines import Line
from swarmchat.swarm.importers.record_builder import tool_call
from swarmchat.swarm.persistence.records import FORMAT_VERSION, Record, RecordType
from swarmchat.swarm.replay.assertions import check_fields
from swarmchat.swarm.replay.expectations import Expectation
from swarmchat.swarm.replay.places import LocatedObject, Place
from swarmchat.swarm.replay.script import IN_TEXT, is_handoff
from swarmchat.swarm.replay.written_images import with_images

MOMENT = "2026-01-01T00:00:00.000Z"
"""The time of the records, unless the file has one."""

TYPES: Mapping[str, Sequence[str]] = {
    "session": (
        "name",
        "swarm",
        "model",
        "client",
        "id",
        "settings",
        "memory",
        "tags",
        "parameters",
        "ignore",
        "normalize",
    ),
    "user": ("text", "images", "message"),
    "assistant": ("text", "calls", "message", "finish", "usage", "reasoning", "judged", "converted"),
    "tool": ("result", "text", "name", "status", "message", "states", "memory", "handoff", "drawn"),
    "go": (),
    "expect": (),
}
"""The types of lines, and the fields of each besides the common ones."""

_OF_TASKS = ("task_requests", "task_tokens", "task_depth")
SETTINGS = ("reserve", "high", "low", "max_requests", "max_repeats", "placeholder", "rescue", "parameters", *_OF_TASKS)
"""The settings that a session record holds, if they differ from the defaults."""
WINDOWS = ("context_window",)
"""Settings that only a hand-written session line has: in a log, each request records them."""

_KINDS: Mapping[str, tuple[type, ...]] = {
    "high": (int, float),
    "low": (int, float),
    "max_requests": (int,),
    "max_repeats": (int,),
    **dict.fromkeys(_OF_TASKS, (int,)),
    "placeholder": (str,),
    "rescue": (list,),
    "parameters": (dict,),
    "context_window": (int,),
    "reserve": (int,),
}
_COMMON = ("type", "v", "ts", "turn", "agent", "comment")
_FIELD_KINDS = {
    "model": str, "client": str, "id": str, "turn": int,
    "usage": dict, "reasoning": str, "finish": str, "memory": dict, "swarm": str, "name": str, "ts": str,
    "states": dict, "judged": list, "converted": bool, "handoff": str, "tags": list, "drawn": dict,
}  # fmt: skip
_KIND_NAMES = {
    str: "a text", int: "a whole number", float: "a number", bool: "true or false", list: "a list", dict: "an object",
}  # fmt: skip
_STATUSES = ("ok", "error", "denied", "interrupted")

Part = list[tuple[Line, dict[str, Any]]]
"""The lines of one conversation, with their JSON objects."""


def read_by_hand(part: Part, name: str) -> tuple[list[Record], list[Expectation]]:
    """Return the records and expectations in hand-written lines. Raises TranscriptError."""
    records: list[Record] = []
    expectations: list[Expectation] = []
    waiting: dict[str, str] = {}
    turn = 0
    for line, value in part:
        where = Place(name, line.number)
        kind = value["type"]
        _check_fields_of(kind, value, where)
        if kind == "expect":
            if not turn:
                raise TranscriptError(f"{where}: no question comes before it, expected a 'user' line first")
            expectations.append(check_expected(value, line.data, turn, where))
            continue
        if kind in ("assistant", "tool") and not turn:
            raise TranscriptError(f"{where}: no question comes before it, expected a 'user' line first")
        turn += kind == "user"
        data = {field: each for field, each in value.items() if field not in _COMMON}
        if kind == "session":
            check_settings(data.get("settings", {}), where)
        elif kind == "go":
            data = {"to": str(value.get("agent", ""))}
        else:
            data = {"message": _message(kind, data, where, len(records), waiting), **_about(kind, data)}
        moment = str(value.get("ts", MOMENT))
        records.append(Record("handoff" if kind == "go" else kind, len(records), turn, moment, None, data))
        for change, data in _changes(value, records[-1]) if kind == "tool" else ():
            records.append(Record(change, len(records), turn, moment, None, data))
    if not turn:
        raise TranscriptError(f"{name}: it has no question, expected a line of type 'user'")
    return records, expectations


def _changes(value: Mapping[str, Any], result: Record) -> Iterator[tuple[RecordType, dict[str, Any]]]:
    """Yield a tool's changes in a line with its ``result``: types and fields of records."""
    if "handoff" in value:
        yield "handoff", {"to": value["handoff"], "via": result.message["tool_call_id"] or IN_TEXT}
    for name, state in value.get("states", {}).items():
        yield "state", {"name": name, "value": state}
    if "memory" in value:
        yield "memory", {"value": value["memory"]}


def check_expected(value: Mapping[str, Any], line: bytes, turn: int, where: Place) -> Expectation:
    """Return the expectation of ``turn`` in a line of the type ``expect``. Raises TranscriptError."""
    if value.get("turn", turn) != turn:
        problem = f"'turn' is {value['turn']!r}, but the line is about turn {turn}, the one before it: move it there"
        raise TranscriptError(f"{where.of(value, 'turn')}: {problem}")
    expected = LocatedObject.of({k: v for k, v in value.items() if k not in (*_COMMON, "seq") or k == "agent"}, value)
    if not expected:
        raise TranscriptError(f"{where}: it expects nothing: add a field such as 'contains'")
    check_fields(expected, where)
    return Expectation(turn, expected, line, where)


def check_settings(settings: Any, where: Place) -> None:
    """Raise TranscriptError for unknown settings and invalid values."""
    if not isinstance(settings, dict):
        raise TranscriptError(f"{where}: 'settings' is {settings!r}, expected an object")
    for name, value in settings.items():
        if name not in _KINDS:
            raise TranscriptError(f"{where}: unknown setting {name!r}; {nearest(name, _KINDS)}")
        if not isinstance(value, _KINDS[name]) or isinstance(value, bool):
            expected = _KIND_NAMES[_KINDS[name][-1]]
            raise TranscriptError(f"{where}: the setting {name!r} is {value!r}, expected {expected}")
    for step in settings.get("rescue", ()):
        if step not in STEPS:
            raise TranscriptError(f"{where}: {step!r} is not a rescue step; {nearest(str(step), STEPS)}")
    high = settings.get("high", 1)
    low: Any = settings.get("low", high)
    if not 0 < low <= high <= 1:
        raise TranscriptError(f"{where}: the marks are {low} and {high}, expected 0 < low <= high <= 1")
    for name in ("context_window", "max_requests", "max_repeats"):
        if settings.get(name, 1) < 1:
            raise TranscriptError(f"{where}: the setting {name!r} is {settings[name]}, expected 1 or more")
    window = settings.get("context_window")
    if not 0 <= settings.get("reserve", 0) < (window or float("inf")):
        raise TranscriptError(f"{where}: the setting 'reserve' is {settings['reserve']}, expected less than the window")


def _check_fields_of(kind: str, value: Mapping[str, Any], where: Place) -> None:
    if kind not in TYPES:
        raise TranscriptError(f"{where}: the type is {kind!r}, expected one of {', '.join(TYPES)}")
    version = value.get("v", FORMAT_VERSION)
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise TranscriptError(
            f"{where}: it has format version {version!r}, this program reads up to {FORMAT_VERSION}: update swarmchat"
        )
    known = (*TYPES[kind], *_COMMON)
    for name in value if kind != "expect" else ():
        if name not in known:
            place = where.of(value, name)
            raise TranscriptError(f"{place}: unknown field {name!r} in a {kind!r} line; {nearest(name, known)}")
    for name, of_kind in _FIELD_KINDS.items():
        if name in value and not isinstance(value[name], of_kind) and kind != "expect":
            raise TranscriptError(f"{where}: {name!r} is {value[name]!r}, expected {_KIND_NAMES[of_kind]}")
    if "ts" in value and kind != "expect" and not _is_moment(value["ts"]):
        raise TranscriptError(f"{where}: 'ts' is {value['ts']!r}, expected a time such as {MOMENT}")
    for tag in value.get("tags", ()) if kind == "session" else ():
        if not isinstance(tag, str) or not tag or not all(char.isalnum() or char in "_-." for char in tag):
            raise TranscriptError(f"{where}: the tag {tag!r} is not a word, expected letters, digits, '_', '-' and '.'")
    if kind == "go" and not isinstance(value.get("agent"), str):
        raise TranscriptError(f"{where}: a 'go' line has no 'agent', expected the name of the agent to continue with")
    if kind == "tool" and value.get("status", "ok") not in _STATUSES:
        raise TranscriptError(f"{where}: 'status' is {value['status']!r}, expected one of {', '.join(_STATUSES)}")


def _is_moment(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _message(kind: str, data: dict[str, Any], where: Place, position: int, waiting: dict[str, str]) -> dict[str, Any]:
    """Return the message of a line: as it is, or made of ``text``, ``calls`` and ``result``."""
    message = data.get("message")
    if message is None:
        message = {"content": data.get("result", data.get("text")) if kind == "tool" else data.get("text")}
        calls = data.get("calls")
        if calls is not None and not isinstance(calls, list):
            raise TranscriptError(f"{where}: 'calls' is {calls!r}, expected a list")
        if calls:
            message["tool_calls"] = [_call(call, f"call_{position}_{n}", where) for n, call in enumerate(calls)]
    if not isinstance(message, dict):
        raise TranscriptError(f"{where}: 'message' is {message!r}, expected an object")
    message = {"role": kind, **message}
    if message["role"] != kind:
        raise TranscriptError(f"{where}: the message has the role {message['role']!r}, expected {kind!r}")
    content = message.get("content")
    if kind == "tool" and content is not None and not isinstance(content, str):
        message["content"] = content = json.dumps(content, ensure_ascii=False)
    if kind == "user" and isinstance(content, str) and not content.strip():
        raise TranscriptError(f"{where}: the text is empty, expected what the user says")
    if kind == "user" and "images" in data:
        message["content"] = with_images(content, data["images"], where)
    elif not isinstance(content, str) and not (kind == "assistant" and message.get("tool_calls")):
        expected = "a 'result'" if kind == "tool" else "a 'text'"
        raise TranscriptError(f"{where}: it has no text, expected {expected}, or a 'message' with 'content'")
    if kind == "assistant":
        waiting.clear()
        waiting.update(_names_of(message.get("tool_calls"), where))
    if kind == "tool":
        message.setdefault("tool_call_id", _answered(str(data.get("name", "")), waiting))
        waiting.pop(str(message["tool_call_id"]), None)
    return message


def _answered(name: str, waiting: Mapping[str, str]) -> str:
    """Return the id of the call that a result belongs to: one of its name, else the first. A handoff needs none.

    Empty: none waits, as that of a call which stands in the text.
    """
    fitting = (call_id for call_id, called in waiting.items() if called == name)
    needing = (call_id for call_id, called in waiting.items() if not name and not is_handoff(called))
    return next(fitting, "") or next(needing, "")


def _names_of(calls: Any, where: Place) -> dict[str, str]:
    if calls is not None and not isinstance(calls, list):
        raise TranscriptError(f"{where}: 'tool_calls' is {calls!r}, expected a list")
    names = {}
    for call in calls or ():
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise TranscriptError(f"{where}: a call is {call!r}, expected that of a chat message")
        names[str(call.get("id"))] = function["name"]
    return names


def _call(call: Any, call_id: str, where: Place) -> dict[str, Any]:
    if isinstance(call, str):
        call = {"name": call}
    if isinstance(call, dict) and len(call) == 1 and isinstance(next(iter(call.values())), dict):
        # As in an expectation: {"find": {"about": "tea"}}.
        ((name, arguments),) = call.items()
        call = {"name": name, "arguments": arguments}
    if not isinstance(call, dict) or not isinstance(call.get("name"), str):
        raise TranscriptError(f'{where}: a call is {call!r}, expected {{"name": "…", "arguments": {{…}}}}')
    if unknown := call.keys() - {"id", "name", "arguments"}:
        name = min(unknown)
        hint = nearest(name, ("id", "name", "arguments"))
        raise TranscriptError(f"{where}: unknown field {name!r} in a call; {hint}")
    arguments = call.get("arguments", {})
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return tool_call(str(call.get("id", call_id)), call["name"], text)


def _about(kind: str, data: Mapping[str, Any]) -> dict[str, Any]:
    if kind == "tool":
        text = data.get("result", data.get("text"))
        failed = isinstance(text, str) and text.startswith("Error: ")
        drawn = {"drawn": data["drawn"]} if "drawn" in data else {}
        status = str(data.get("status", "error" if failed else "ok"))
        return {"name": str(data.get("name", "")), "status": status, **drawn}
    if kind == "assistant":
        further = {name: data[name] for name in ("usage", "reasoning", "judged", "converted") if name in data}
        return {"finish": str(data.get("finish", "stop"))} | further
    return {}
