"""What the ``llm`` tool logs since version 0.32: threads that point to the last message of a chain."""

import json
import sqlite3
from collections.abc import Iterator
from typing import Any

from swarmchat.swarm.importers.record_builder import Said, as_json_text, moment_of


def thread_ids(database: sqlite3.Connection) -> list[str]:
    """Return the threads in which something was said."""
    return [
        str(row[0]) for row in database.execute("select id from threads where tip_message_hash is not null order by id")
    ]


def load_thread(database: sqlite3.Connection, thread: str) -> tuple[list[Said], str]:
    """Return what was said in ``thread``, and its model."""
    tip = database.execute("select tip_message_hash from threads where id = ?", (thread,)).fetchone()[0]
    turns = {row["tip_message_hash"]: row for row in _turns(database, thread)}
    model = next((str(row["model"]) for row in turns.values() if row["model"]), "")
    said: list[Said] = []
    for row in _chain(database, tip):
        parts = list(_parts(database, row["hash"]))
        turn = turns.get(row["hash"])
        moment = moment_of(turn["datetime_utc"]) if turn is not None else None
        about: dict[str, Any] = {}
        if turn is not None and turn["input_tokens"] is not None:
            about["usage"] = {"prompt_tokens": turn["input_tokens"], "completion_tokens": turn["output_tokens"] or 0}
        if turn is not None:
            about["ms"] = turn["duration_ms"]
        if row["role"] == "assistant" and (reasoning := _text(parts, "reasoning")):
            about["reasoning"] = reasoning
        said += [(message, moment, about) for message in _messages(row["role"], parts)]
    return said, model


def count_attachments(database: sqlite3.Connection, tables: set[str]) -> int:
    """Return how many attachments there are, in either form."""
    queries = {
        "prompt_attachments": "select count(*) from prompt_attachments",
        "parts": "select count(*) from parts where type = 'attachment'",
    }
    return sum(int(database.execute(query).fetchone()[0]) for table, query in queries.items() if table in tables)


def _messages(role: str, parts: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    results = [part for part in parts if part["type"] == "tool_result"]
    for result in results:
        call_id = result.get("tool_call_id") or str(result.get("name"))
        yield {"role": "tool", "tool_call_id": call_id, "content": as_json_text(result.get("output") or "")}
    text = _text(parts, "text")
    if role == "tool" or (results and not text):
        return
    message: dict[str, Any] = {"role": role, "content": text}
    if calls := [_call(part) for part in parts if part["type"] == "tool_call"]:
        message |= {"content": text or None, "tool_calls": calls}
    yield message


def _call(part: dict[str, Any]) -> dict[str, Any]:
    function = {"name": part["name"], "arguments": as_json_text(part.get("arguments") or {})}
    return {"id": part.get("tool_call_id") or part["name"], "type": "function", "function": function}


def _text(parts: list[dict[str, Any]], kind: str) -> str:
    return "".join(str(part.get("text") or "") for part in parts if part["type"] == kind)


def _chain(database: sqlite3.Connection, tip: str | None) -> list[sqlite3.Row]:
    """Return the messages from the first to ``tip``."""
    rows: list[sqlite3.Row] = []
    seen: set[str] = set()
    while tip is not None and tip not in seen:
        seen.add(tip)
        row = database.execute("select * from messages where hash = ?", (tip,)).fetchone()
        if row is None:
            break
        rows.append(row)
        tip = row["parent_hash"]
    return rows[::-1]


def _turns(database: sqlite3.Connection, thread: str) -> list[sqlite3.Row]:
    return database.execute("select * from turns where thread_id = ? order by id", (thread,)).fetchall()


def _parts(database: sqlite3.Connection, message: str) -> Iterator[dict[str, Any]]:
    for row in database.execute("select * from parts where message_hash = ? order by position", (message,)):
        part = json.loads(row["payload"]) if row["payload"] else {}
        part["type"] = row["type"]
        if row["text"] is not None:
            part["text"] = row["text"]
        elif pieces := part.get("text_ref"):
            part["text"] = "".join(_piece(database, piece) for piece in pieces)
        yield part


def _piece(database: sqlite3.Connection, piece: dict[str, Any]) -> str:
    if "literal" in piece:
        return str(piece["literal"])
    row = database.execute("select content from fragments where id = ?", (piece.get("fragment"),)).fetchone()
    return str(row[0]) if row else ""
