"""The log of the `llm` tool: its SQLite database `logs.db`, in both layouts: before version 0.32 and since."""

import hashlib
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from swarmchat.swarm.archive.writer import SessionSnapshot
from swarmchat.swarm.common.encoding import decode_json
from swarmchat.swarm.errors import TranscriptError
from swarmchat.swarm.importers.record_builder import (
    RecordMaker,
    TimedMessage,
    as_json_text,
    canonical,
    made_session,
    moment_of,
    token_usage,
    tool_call,
)


def load_thread(database: sqlite3.Connection, thread: str) -> tuple[list[TimedMessage], str]:
    """Return the messages of ``thread``, and its model."""
    tip = database.execute("select tip_message_hash from threads where id = ?", (thread,)).fetchone()[0]
    rows = database.execute("select * from turns where thread_id = ? order by id", (thread,))
    turns = {row["tip_message_hash"]: row for row in rows}
    model = next((str(row["model"]) for row in turns.values() if row["model"]), "")
    messages: list[TimedMessage] = []
    for row in _chain(database, tip):
        parts = list(_parts(database, row["hash"]))
        turn = turns.get(row["hash"])
        moment, about = None, dict[str, Any]()
        if turn is not None:
            moment = moment_of(turn["datetime_utc"])
            about = {"usage": token_usage(turn["input_tokens"], turn["output_tokens"]), "ms": turn["duration_ms"]}
        if row["role"] == "assistant" and (reasoning := _text(parts, "reasoning")):
            about["reasoning"] = reasoning
        messages += [(message, moment, about) for message in _thread_messages(row["role"], parts)]
    return messages, model


def count_attachments(database: sqlite3.Connection, tables: set[str]) -> int:
    """Return the number of attachments, in both layouts."""
    queries = {
        "prompt_attachments": "select count(*) from prompt_attachments",
        "parts": "select count(*) from parts where type = 'attachment'",
    }
    return sum(int(database.execute(query).fetchone()[0]) for table, query in queries.items() if table in tables)


def _thread_messages(role: str, parts: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    results = [part for part in parts if part["type"] == "tool_result"]
    for result in results:
        call_id = result.get("tool_call_id") or str(result.get("name"))
        yield {"role": "tool", "tool_call_id": call_id, "content": as_json_text(result.get("output") or "")}
    text = _text(parts, "text")
    if role == "tool" or (results and not text):
        return
    message: dict[str, Any] = {"role": role, "content": text}
    calls = [
        tool_call(part.get("tool_call_id") or part["name"], part["name"], part.get("arguments") or {})
        for part in parts
        if part["type"] == "tool_call"
    ]
    if calls:
        message |= {"content": text or None, "tool_calls": calls}
    yield message


def _text(parts: list[dict[str, Any]], kind: str) -> str:
    return "".join(str(part.get("text") or "") for part in parts if part["type"] == kind)


def _chain(database: sqlite3.Connection, tip: str | None) -> list[sqlite3.Row]:
    """Return the messages from the first to ``tip``."""
    rows: dict[str, sqlite3.Row] = {}
    while tip is not None and tip not in rows:
        row = database.execute("select * from messages where hash = ?", (tip,)).fetchone()
        if row is None:
            break
        rows[tip] = row
        tip = row["parent_hash"]
    return [*reversed(rows.values())]


def _parts(database: sqlite3.Connection, message: str) -> Iterator[dict[str, Any]]:
    for row in database.execute("select * from parts where message_hash = ? order by position", (message,)):
        part = decode_json(row["payload"]) if row["payload"] else {}
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


_EXPECTED = "expected the logs.db of llm"


def find_llm_log(path: Path, name: str, client: str, moment: str) -> tuple[list[SessionSnapshot], list[str]]:
    """Return the conversations in the database at ``path``, and remarks on them. Raises TranscriptError."""
    with _opened(path, name) as database:
        return _find(database, partial(_opened, path, name), name, client, moment)


Opened = Callable[[], AbstractContextManager[sqlite3.Connection]]


@contextmanager
def _opened(path: Path, name: str) -> Iterator[sqlite3.Connection]:
    """Open the database for reading. Raises TranscriptError for any error, also in the context."""
    try:
        database = sqlite3.connect(f"file:{quote(str(path.resolve()))}?mode=ro", uri=True)
        database.row_factory = sqlite3.Row
        try:
            yield database
        finally:
            database.close()
    except (sqlite3.Error, sqlite3.Warning) as error:
        raise TranscriptError(f"{name} cannot be read as a database: {error}; {_EXPECTED}") from error
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise TranscriptError(
            f"{name} has unexpected contents: {type(error).__name__}: {error}; {_EXPECTED}"
        ) from error


def _find(
    database: sqlite3.Connection, again: Opened, name: str, client: str, moment: str
) -> tuple[list[SessionSnapshot], list[str]]:
    tables = {row[0] for row in database.execute("select name from sqlite_master where type = 'table'")}
    if not {"responses", "threads"} & tables:
        raise TranscriptError(f"{name} has neither a table 'responses' nor 'threads', {_EXPECTED}")
    attachments = count_attachments(database, tables)
    threads: list[str] = []
    older: list[str] = []
    if "threads" in tables:
        ids = database.execute("select id from threads where tip_message_hash is not null order by id")
        threads = [str(row[0]) for row in ids]
    if "responses" in tables:
        ids = database.execute("select distinct coalesce(conversation_id, id) from responses order by 1")
        # A conversation that was continued in the new layout is a thread, with all its messages.
        older = [session for row in ids if (session := str(row[0])) not in threads]
    loads = {_load_responses: older, load_thread: threads}
    sessions = [_session(each, database, again, load, client, moment) for load, ids in loads.items() for each in ids]
    return sessions, [f"{name}: {attachments} attachments were skipped"] if attachments else []


def _session(
    name: str,
    database: sqlite3.Connection,
    again: Opened,
    load: Callable[[sqlite3.Connection, str], tuple[list[TimedMessage], str]],
    client: str,
    moment: str,
) -> SessionSnapshot:
    """Return a conversation as a session. Its messages are read again when needed, as there may be many."""
    messages, model = load(database, name)
    start = next((when for _, when, _ in messages if when), moment)

    def fill(maker: RecordMaker) -> Iterator[bytes]:
        with again() as opened:
            for message, when, about in load(opened, name)[0]:
                yield maker.message(message, when, **about)

    content = [name.encode(), hashlib.sha256(canonical([message for message, _, _ in messages])).digest()]
    return made_session(name, "llm", content, client, start, fill, model=model)


def _load_responses(database: sqlite3.Connection, conversation: str) -> tuple[list[TimedMessage], str]:
    tables = {row[0] for row in database.execute("select name from sqlite_master where type = 'table'")}
    query = "select * from responses where coalesce(conversation_id, id) = ? order by rowid"
    rows = _rows(database, query, conversation)
    return list(_messages(database, tables, rows)), str(rows[0].get("model") or "")


def _messages(database: sqlite3.Connection, tables: set[str], rows: list[dict[str, Any]]) -> Iterator[TimedMessage]:
    system = None
    for row in rows:
        moment = moment_of(row["datetime_utc"])
        instructions = _with_fragments(database, tables, "system_fragments", row["id"], row["system"])
        if instructions and instructions != system:
            system = instructions
            yield {"role": "system", "content": instructions}, moment, {}
        results = _of(database, tables, "tool_results", row["id"])
        for result in results:
            call_id = result["tool_call_id"] or f"{result['name']}-{row['id']}"
            yield {"role": "tool", "tool_call_id": call_id, "content": result["output"] or ""}, moment, {}
        prompt = _with_fragments(database, tables, "prompt_fragments", row["id"], row["prompt"])
        if prompt or not results:
            yield {"role": "user", "content": prompt}, moment, {}
        calls = [_call(call, row["id"]) for call in _of(database, tables, "tool_calls", row["id"])]
        answer: dict[str, Any] = {"role": "assistant", "content": row["response"] or (None if calls else "")}
        if calls:
            answer["tool_calls"] = calls
        usage = token_usage(row.get("input_tokens"), row.get("output_tokens"))
        yield answer, moment, {"usage": usage, "ms": row.get("duration_ms"), "reasoning": row.get("reasoning") or None}


def _call(call: dict[str, Any], response: str) -> dict[str, Any]:
    arguments = call["arguments"] or "{}"
    with suppress(ValueError):
        # llm escapes every character beyond ASCII.
        arguments = as_json_text(decode_json(arguments))
    return tool_call(call["tool_call_id"] or f"{call['name']}-{response}", call["name"], arguments)


def _with_fragments(database: sqlite3.Connection, tables: set[str], table: str, response: str, text: str | None) -> str:
    """Return a prompt after its fragments."""
    fragments: list[str] = []
    if table in tables:
        query = (
            f"select content from {table} join fragments on fragments.id = fragment_id "  # noqa: S608 - ours
            'where response_id = ? order by "order"'
        )
        fragments = [row[0] for row in database.execute(query, (response,))]
    return "\n".join([*fragments, *([text] if text else [])])


def _of(database: sqlite3.Connection, tables: set[str], table: str, response: str) -> list[dict[str, Any]]:
    if table not in tables:
        return []
    return _rows(database, f"select * from {table} where response_id = ? order by id", response)  # noqa: S608 - ours


def _rows(database: sqlite3.Connection, query: str, *values: object) -> list[dict[str, Any]]:
    return [dict(row) for row in database.execute(query, values)]
