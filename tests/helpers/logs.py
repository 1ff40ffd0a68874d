"""Logs for the tests of what is done with whole sessions: short ones by hand, and any that Hypothesis thinks of."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from swarmchat.backends import Append, Backend
from swarmchat.swarm.archive.log_summary import LogSummary
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.log import read_lines
from swarmchat.swarm.persistence.records import Record, parse_record
from swarmchat.swarm.persistence.session_index import SessionInfo

TIME = "2026-01-02T03:04:05.000Z"

Said = tuple[str, str | None, Mapping[str, Any]]
"""The type of a record, its agent, and its fields."""


def call(call_id: str, name: str = "find", arguments: Any = "{}") -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def asked(text: Any) -> Said:
    return (
        "user",
        "desk",
        {"message": {"role": "user", "content": text}, "tokens": {"count": 3, "encoding": "o200k_base"}},
    )


def answered(text: str | None, *calls: Mapping[str, Any], agent: str = "desk") -> Said:
    message: dict[str, Any] = {"role": "assistant", "content": text}
    return "assistant", agent, {"message": message | ({"tool_calls": list(calls)} if calls else {}), "finish": "stop"}


def resulted(call_id: str, text: str, name: str = "find") -> Said:
    message = {"role": "tool", "tool_call_id": call_id, "content": text}
    return "tool", "desk", {"message": message, "name": name, "status": "ok"}


def lines_of(entries: Iterable[Said], name: str = "tea") -> list[bytes]:
    """Return the lines of a session's log."""
    about = {"id": name, "name": name, "client": "ann", "swarm": "shop", "model": "m", "program": "0.1.0"}
    lines, turn = [Record("session", 0, 0, TIME, None, about).line], 0
    for kind, agent, data in entries:
        turn += kind == "user"
        if kind in ("undo", "redo"):
            data = {**data, "from": min(turn, data["from"]), "to": min(turn, data["to"])}
        lines.append(Record(kind, len(lines), turn, TIME, agent, data).line)
    return lines


TEA = lines_of(
    [
        asked("A tea, please"),
        ("request", "desk", {"model": "gpt", "key": "k", "tokens": 9}),
        answered(None, call("c1", "order", '{"item":"tea"}'), call("c2", "transfer_to_till")),
        resulted("c1", "one tea", "order"),
        resulted("c2", "{}", "transfer_to_till"),
        ("handoff", "desk", {"from": "desk", "to": "till", "stack": ["desk"], "via": "c2"}),
        ("state", None, {"name": "order", "value": ["tea"]}),
        answered("That is 3.50.", agent="till"),
        asked("And a cake"),
        answered("No cake today.", agent="till"),
        ("state", None, {"name": "order", "value": None}),
    ]
)
"""Two turns, a handoff, and a state that is set in the first and cleared in the second."""


def write_file(path: Path, lines: Iterable[bytes]) -> Path:
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


async def put_session(backend: Backend, lines: list[bytes], client: str = "ann") -> SessionInfo:
    """Store a log as the session that it says it is."""
    summary = LogSummary()
    for line in lines:
        summary.take(parse_record(line))
    info = replace(summary.info, client=client, id=summary.info.id or "s", name=summary.info.name or "s")
    log = Append(keys.session_log(client, info.id), tuple(lines))
    await backend.commit(log, info.put(None), *summary.stored_state.writes(info, None))
    return info


async def stored_lines(backend: Backend, info: SessionInfo) -> list[bytes]:
    return [line async for line in read_lines(backend, info)]


TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=12) | st.sampled_from(
    ["\x1b[2J", "a\nb", "`", "```", "<script>", "]]>", "\u202e", "secret", '{"a": "secret"}', "{}", "[", "\x00"]
)
_IDS = st.sampled_from(["a", "b", "c"])
_JSON = st.recursive(st.none() | st.booleans() | st.integers(-9, 9) | TEXTS, lambda inner: st.lists(inner, max_size=2))
_CALLS = st.builds(
    call, _IDS, st.sampled_from(["find", "order"]), st.sampled_from(["{}", '{"q":"secret"}', "{", '{"n":1}'])
)

SAID = st.one_of(
    st.builds(asked, TEXTS),
    st.builds(lambda text, calls: answered(text, *calls), st.none() | TEXTS, st.lists(_CALLS, max_size=3)),
    st.builds(resulted, _IDS, TEXTS),
    st.builds(lambda to: ("handoff", "desk", {"from": "desk", "to": to, "stack": ["desk"]}), TEXTS),
    st.builds(lambda name, value: ("state", None, {"name": name, "value": value}), TEXTS, _JSON),
    st.builds(lambda value: ("memory", None, {"value": value}), _JSON),
    st.builds(lambda name: ("rename", None, {"name": name}), TEXTS),
    st.builds(lambda text: ("a-later-type", "desk", {"text": text}), TEXTS),
    st.builds(
        lambda kind, turn, to, states: (
            kind,
            None,
            {"from": turn, "to": turn + 1, "active": to, "stack": [], "states": states},
        ),
        st.sampled_from(["undo", "redo"]),
        st.integers(1, 4),
        TEXTS,
        st.dictionaries(TEXTS, _JSON, max_size=2),
    ),
    st.just(("reset", None, {})),
    st.just(("reset", "desk", {"keep": [1]})),
    st.just(("request", "desk", {"model": "gpt", "key": "k", "tokens": 9})),
    st.just(("error", "desk", {"error": {"kind": "ModelError", "message": "no"}})),
)
"""Anything that a log may hold, whether or not it makes sense where it stands."""

LOGS = st.lists(SAID, max_size=25).map(lines_of)


def strings_in(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield key
            yield from strings_in(each)
    elif isinstance(value, list):
        for each in value:
            yield from strings_in(each)


def fields(line: bytes) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(line)
    return read
