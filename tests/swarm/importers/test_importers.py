"""Files of conversations: read with suspicion, stored whole or not at all, and the same again when they are written."""

import asyncio
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import warm
from chat_rules import check_messages
from hypothesis import given
from hypothesis import strategies as st
from llm_logs import LLM_NEW, LLM_OLD
from logs import LOGS, TEA, asked, fields, lines_of, put_session, stored_lines, write_file
from swarmchat.backends import Append, BackendError, open_backend
from swarmchat.swarm.archive.export import as_messages
from swarmchat.swarm.archive.log_summary import read_stored_state
from swarmchat.swarm.archive.sessions import snapshot
from swarmchat.swarm.archive.writer import Pieces, SessionWriter
from swarmchat.swarm.errors import SessionBusy, TranscriptError
from swarmchat.swarm.importers.detect import open_transcript
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.lease import Holder, SessionLease
from swarmchat.swarm.persistence.records import parse_record
from swarmchat.swarm.persistence.session_index import find_session, list_sessions

IMPORTER = Path(__file__).parents[2] / "helpers" / "importer.py"
LONG = lines_of([asked(f"question {number}") for number in range(24)], "long")
OTHER = lines_of([asked(f"other {number}") for number in range(18)], "other")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A place for files that Hypothesis may write over."""
    return tmp_path_factory.mktemp("transcripts")


def put(path: Path, content: object) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path


async def take_in(backend, path: Path, client: str = "ann", **more: Any) -> list[Any]:
    """Import a file; return what became of each session, and its messages."""
    done = []
    with open_transcript(path, client) as transcript:
        for incoming in transcript.sessions:
            stored = await SessionWriter(backend, client, **more).store(incoming)
            lines = await stored_lines(backend, stored.info)
            done.append((stored, as_messages(map(parse_record, lines))))
    return done


def messages_of(path: Path) -> list[Any]:
    """Return the names and messages of the conversations in a file."""
    return [
        (stored.info.name, json.loads(json.dumps(messages)))
        for stored, messages in asyncio.run(take_in(open_backend("memory:"), path))
    ]


# The same bytes.


@given(LOGS)
def test_export_and_import_give_the_same_bytes_and_the_same_session(folder, lines):
    async def run() -> None:
        first, second = open_backend("memory:"), open_backend("memory:")
        info = await put_session(first, lines)
        path = write_file(folder / "x.jsonl", await stored_lines(first, info))
        [(stored, _)] = await take_in(second, path, pieces=Pieces(lines=4))
        assert await stored_lines(second, stored.info) == lines
        assert stored.info == info
        assert await read_stored_state(second, stored.info) == await read_stored_state(first, info)
        [(again, _)] = await take_in(second, path)
        assert (again.status, again.info) == ("there", info)
        assert len(await list_sessions(second, "ann")) == 1

    asyncio.run(run())


@given(LOGS, st.integers(0, 8))
def test_whatever_stops_an_import_the_next_one_continues(folder, lines, after):
    """Nothing is to be seen of a part of a session, nobody can begin a chat in it, and nothing is stored twice."""

    class Stop(Exception):
        pass

    async def run() -> None:
        backend = open_backend("memory:")
        left = after

        def stop(count: int) -> None:
            nonlocal left
            left -= 1
            if left <= 0:
                raise Stop

        path = write_file(folder / "y.jsonl", lines)
        try:
            await take_in(backend, path, progress=stop, pieces=Pieces(lines=2))
        except Stop:
            there = await backend.length(keys.session_log("ann", "tea"))
            if there < len(lines):
                assert await list_sessions(backend, "ann") == []
            if 0 < there < len(lines):
                with pytest.raises(SessionBusy, match="being written"):
                    await SessionLease(backend, keys.session_lease("ann", "tea"), 30).acquire("tea")
        [(stored, _)] = await take_in(backend, path)
        assert await stored_lines(backend, stored.info) == lines
        assert await backend.get(keys.session_lease("ann", "tea")) is None
        assert [info.id for info in await list_sessions(backend, "ann")] == ["tea"]

    asyncio.run(run())


@pytest.mark.parametrize("kind", ["disk", "redis"])
def test_killed_at_random_an_import_loses_and_doubles_nothing(kind, tmp_path, request):
    url = f"disk:{tmp_path / 'store'}" if kind == "disk" else request.getfixturevalue("redis_url")
    logs = {"long": LONG, "other": OTHER, "tea": TEA}
    path = write_file(tmp_path / "all.jsonl", [line for lines in logs.values() for line in lines])
    rng = random.Random(20260102)

    async def check(complete: bool) -> bool:
        backend = open_backend(url)
        infos = await list_sessions(backend, "ann")
        for info in infos:
            assert await stored_lines(backend, info) == logs[info.id]
        await backend.close()
        if complete:
            assert {info.id for info in infos} == set(logs)
        return len(infos) == len(logs)

    process = warm.start_python(IMPORTER, url, path, stdin=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        lives = 0
        while not asyncio.run(check(False)):
            lives += 1
            assert lives < 100
            process.stdin.write("b")
            process.stdin.flush()
            child = int(process.stdout.readline().split()[1])
            left = rng.randrange(1, 9)
            for _ in iter(process.stdout.readline, "ended\n"):
                left -= 1
                # The last permission is deadly: the importer dies somewhere on the way to the next dot.
                process.stdin.write("p")
                process.stdin.flush()
                if not left:
                    # It may have come to its end just now.
                    with suppress(ProcessLookupError):
                        os.kill(child, signal.SIGKILL)
    finally:
        _, error_output = process.communicate(timeout=60)
    assert (process.returncode, error_output) == (0, "")
    assert lives > 3
    asyncio.run(check(True))


# Names, and what is there already.


def test_a_name_that_is_taken_gets_a_number_and_what_went_on_is_completed(tmp_path):
    async def run() -> None:
        backend = open_backend("memory:")
        short = write_file(tmp_path / "short.jsonl", TEA[:9])
        whole = write_file(tmp_path / "whole.jsonl", TEA)
        other = write_file(tmp_path / "other.jsonl", lines_of([asked("Something else")]))
        [(first, _)] = await take_in(backend, short)
        assert json.loads((await read_stored_state(backend, first.info)).states["order"]) == ["tea"]
        [(grown, _)] = await take_in(backend, whole, pieces=Pieces(lines=1))
        assert (grown.status, grown.info.id) == ("continued", "tea")
        assert await stored_lines(backend, grown.info) == TEA
        assert (await read_stored_state(backend, grown.info)).states == {}
        [(older, _)] = await take_in(backend, short)
        assert older.status == "there"
        for status in ("stored", "there"):
            [(suffixed, _)] = await take_in(backend, other)
            assert (suffixed.status, suffixed.info.id, suffixed.info.name) == (status, "tea-2", "tea-2")
        assert len(await list_sessions(backend, "ann")) == 2

    asyncio.run(run())


def test_a_session_that_is_open_elsewhere_is_left_alone(tmp_path):
    async def run() -> None:
        backend = open_backend("memory:")
        short, whole = write_file(tmp_path / "s.jsonl", TEA[:9]), write_file(tmp_path / "w.jsonl", TEA)
        [(stored, _)] = await take_in(backend, short)
        held = SessionLease(backend, keys.session_lease("ann", "tea"), 30)
        await held.acquire("tea")
        with pytest.raises(SessionBusy):
            await take_in(backend, whole)
        assert await stored_lines(backend, stored.info) == TEA[:9]
        await held.release()

    asyncio.run(run())


def test_a_name_under_which_a_chat_has_just_begun_is_waited_for(tmp_path):
    """Nothing is stored of such a chat yet; and once its process is gone, the name is free at once."""
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        gone = ended.pid

    async def run() -> None:
        backend = open_backend("memory:")
        key = keys.session_lease("ann", "tea")
        path = write_file(tmp_path / "tea.jsonl", TEA)
        held = SessionLease(backend, key, 30)
        await held.acquire("tea")
        with pytest.raises(SessionBusy, match=f"open in process {os.getpid()}"):
            await take_in(backend, path)
        await held.release()
        dead = replace(Holder.of_this_process(), pid=gone).to_bytes()
        assert await backend.acquire(key, dead, 1000) is not None
        [(stored, _)] = await take_in(backend, path)
        assert (stored.status, await stored_lines(backend, stored.info)) == ("stored", TEA)
        assert await backend.get(key) is None

    asyncio.run(run())


def test_two_importers_of_the_same_session_do_not_mix(tmp_path):
    async def run() -> None:
        backend = open_backend("memory:")
        path = write_file(tmp_path / "long.jsonl", LONG)
        done = await asyncio.gather(
            *(take_in(backend, path, pieces=Pieces(lines=3)) for _ in range(3)), return_exceptions=True
        )
        assert all(isinstance(each, list | SessionBusy) for each in done)
        assert any(isinstance(each, list) for each in done)
        [info] = await list_sessions(backend, "ann")
        assert await stored_lines(backend, info) == LONG

    asyncio.run(run())


def test_a_log_that_is_in_no_list_is_not_touched(tmp_path):
    async def run() -> None:
        backend = open_backend("memory:")
        await backend.commit(Append(keys.session_log("ann", "tea"), (b"whose?",)))
        [(stored, _)] = await take_in(backend, write_file(tmp_path / "tea.jsonl", TEA))
        assert stored.info.id == "tea-2"
        assert await backend.slice(keys.session_log("ann", "tea"), 0) == [b"whose?"]

    asyncio.run(run())


@given(st.text(min_size=1, max_size=30), st.text(min_size=1, max_size=30))
def test_hostile_names_reach_only_their_own_session(name, other):
    async def run() -> None:
        backend = open_backend("memory:")
        writer = SessionWriter(backend, "ann")
        mine = await put_session(open_backend("memory:"), TEA)
        source = open_backend("memory:")
        incoming = await snapshot(source, await put_session(source, TEA))
        first = await writer.store(incoming, name=name)
        assert (first.status, mine.turns) == ("stored", 2)
        found = await find_session(backend, "ann", name)
        assert found is not None
        assert await stored_lines(backend, found) == TEA
        if other != name:
            assert await find_session(backend, "ann", other) is None
            assert await find_session(backend, other, name) is None

    asyncio.run(run())


def test_the_lease_of_an_unfinished_session_says_so():
    holder = Holder.of_unfinished("digest:with:colons")
    assert holder.unfinished == "digest:with:colons"
    assert not holder.is_dead
    assert holder.has_stopped
    assert not holder.is_running
    assert Holder.of_this_process().unfinished is None


# What cannot be read is named, and changes nothing.


def _line(number: int, **changes: Any) -> list[bytes]:
    lines = list(TEA)
    lines[number] = json.dumps(fields(lines[number]) | changes).encode()
    return lines


def _without(number: int, name: str) -> list[bytes]:
    lines = list(TEA)
    lines[number] = json.dumps({key: value for key, value in fields(lines[number]).items() if key != name}).encode()
    return lines


BAD_LOGS = {
    "truncated": (b"\n".join(TEA)[:-20], "line 12: it is the last line and ends after"),
    "not JSON": (b"\n".join([*TEA[:3], b"{oops", *TEA[4:]]) + b"\n", "line 4: it is not JSON (Expecting property name"),
    "a gap": (b"\n".join([*TEA[:3], *TEA[4:]]) + b"\n", "line 4: 'seq' is 4, expected 3"),
    "doubled": (b"\n".join([*TEA[:3], *TEA[2:]]) + b"\n", "line 4: 'seq' is 2, expected 3"),
    "newer": (b"\n".join(_line(4, v=2)) + b"\n", "line 5: the log has format version 2, this program reads up to 1"),
    "type of seq": (b"\n".join(_line(1, seq="1")) + b"\n", "line 2: 'seq' of"),
    "no message": (b"\n".join(_without(1, "message")) + b"\n", "is of type 'user' but has no message"),
    "role": (b"\n".join(_line(1, message={"role": "king"})) + b"\n", "line 2: the message of a 'user' record has"),
    "state": (b"\n".join(_without(7, "name")) + b"\n", "line 8: 'name' of the 'state' record is None, expected text"),
    "stack": (
        b"\n".join(_line(6, stack="desk")) + b"\n",
        "line 7: 'stack' of the 'handoff' record is 'desk', expected",
    ),
    "undo": (
        b"\n".join(_line(10, type="undo", **{"from": 1, "to": 10**12})) + b"\n",
        "line 11: 'from' and 'to' are 1 and 1000000",
    ),
    "usage": (b"\n".join(_line(10, usage=[1])) + b"\n", "line 11: 'usage' is [1], expected an object"),
    "not UTF-8": (b"\n".join([*TEA[:2], b'{"seq":2,"x":"\xff"}']) + b"\n", "line 3: byte 15 is 0xff, expected UTF-8"),
    "same session": (b"\n".join([*TEA, *TEA]) + b"\n", "line 13: session 'tea' starts again; it started in line 1"),
}

BAD_LISTS = {
    "empty": (b"", "is empty, expected a log of swarmchat"),
    "a number": (b"17", "line 1: it is not a JSON object, expected a log of swarmchat"),
    "unknown": ({"a": 1}, "line 1: unknown format"),
    "no list": ({"messages": {}}, "line 1: {'messages': {}} is not a conversation, expected"),
    "no messages": ({"messages": []}, "line 1: messages is empty"),
    "role": ({"messages": [{"role": "asistant"}]}, "line 1: messages[0].role is 'asistant', expected one of system,"),
    "content": ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content is 5, expected text"),
    "result": ({"messages": [{"role": "tool", "content": ""}]}, "messages[0].tool_call_id is missing, expected the id"),
    "same ids": (
        {"messages": [{"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "f"}}] * 2}]},
        "messages[0].tool_calls[1].id is 'a', which an earlier call of the message has",
    ),
    "same names": (
        b'{"id":"x","messages":[{"role":"user"}]}\n' * 2,
        "line 2: the id 'x' is also used by line 1, expected a unique id",
    ),
    "second line": (b'{"messages":[{"role":"user"}]}\n{"messages":', "line 2: it is the last line and ends after"),
    "over lines": (b'{"messages": [\n  {"role": "user"},\n  oops]}', "line 3: it is not JSON"),
    "codex": (b'{"timestamp":"t","type":"response_item","payload":5}', "line 1: 'type' or 'payload' is missing or of"),
    "codex role": (
        {"timestamp": "t", "type": "response_item", "payload": {"type": "message", "role": "king", "content": []}},
        "line 1: a message has the role 'king', expected one of user",
    ),
    "no database": (b"SQLite format 3\x00 and then nothing", "cannot be read as a database"),
}


@pytest.mark.parametrize(("content", "complaint"), [*BAD_LOGS.values(), *BAD_LISTS.values()])
def test_what_is_wrong_is_named_with_its_line(content, complaint, tmp_path):
    path = put(tmp_path / "bad.jsonl", content)
    with pytest.raises(TranscriptError) as caught, open_transcript(path, "ann"):
        pass
    assert str(caught.value).startswith(str(path))
    assert complaint in str(caught.value)
    assert caught.value.exit_code == 65


def test_a_line_that_is_too_long_is_refused(tmp_path):
    path = tmp_path / "long.jsonl"
    with path.open("wb") as file:
        file.write(b'{"seq":0,"type":"session","text":"')
        file.seek(100 * 1024 * 1024, os.SEEK_CUR)
        file.write(b'"}\n')
    with (
        pytest.raises(TranscriptError, match="line 1: has more than 64 MB"),
        open_transcript(path, "ann"),
    ):
        pass


def test_a_file_that_changes_while_it_is_read_is_not_stored(tmp_path):
    async def run() -> None:
        backend = open_backend("memory:")
        path = write_file(tmp_path / "tea.jsonl", TEA)
        with open_transcript(path, "ann") as transcript:
            path.write_bytes(path.read_bytes().replace(b"cake", b"soup"))
            with pytest.raises(TranscriptError, match="changed while it was read"):
                await SessionWriter(backend, "ann").store(transcript.sessions[0])
        assert await list_sessions(backend, "ann") == []

    asyncio.run(run())


@given(
    st.binary(max_size=60)
    | st.lists(st.sampled_from([b"{", b"}", b"[", b"]", b'"seq"', b":", b"1", b"\n", b'"a"'])).map(b"".join)
)
def test_any_bytes_are_read_or_refused(folder, data):
    path = put(folder / "any", data)
    with suppress(TranscriptError), open_transcript(path, "ann"):
        pass


# What other programs write.

CONVERSATION = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Where is it?"},
    {"role": "assistant", "content": None, "tool_calls": [
        {"id": "c1", "type": "function", "function": {"name": "find", "arguments": '{"what":"it"}'}}
    ]},
    {"role": "tool", "tool_call_id": "c1", "name": "find", "content": "here"},
    {"role": "assistant", "content": "Here."},
]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "names"),
    [
        ({"messages": CONVERSATION}, ["lists"]),
        (CONVERSATION, ["lists"]),
        ({"id": "one", "messages": CONVERSATION}, ["one"]),
        (json.dumps({"messages": CONVERSATION}, indent=2).encode(), ["lists"]),
        (json.dumps(CONVERSATION, indent=2).encode(), ["lists"]),
        ([{"messages": CONVERSATION}, {"id": "two", "messages": CONVERSATION}], ["lists-1", "two"]),
        (b"\n".join([json.dumps({"messages": CONVERSATION}).encode()] * 3), ["lists-1", "lists-2", "lists-3"]),
        (b"\r\n".join([json.dumps(CONVERSATION).encode()] * 2), ["lists-1", "lists-2"]),
    ],
)
def test_message_lists_come_back_as_they_were(content, names, tmp_path):
    imported = messages_of(put(tmp_path / "lists.json", content))
    assert [name for name, _ in imported] == names
    assert all(messages == CONVERSATION for _, messages in imported)


def _codex_message(role: str, kind: str, text: str) -> tuple[str, dict[str, Any]]:
    return "response_item", {"type": "message", "role": role, "content": [{"type": kind, "text": text}]}


CODEX = [
    ("session_meta", {"id": "0199-abc", "timestamp": "2025-10-29T00:59:38.308Z", "cwd": "/", "cli_version": "0.46.0"}),
    _codex_message("developer", "input_text", "Be brief."),
    _codex_message("user", "input_text", "<environment_context>x"),
    ("event_msg", {"type": "user_message", "message": "list the files"}),
    ("turn_context", {"model": "gpt-5-codex"}),
    _codex_message("user", "input_text", "list the files"),
    (
        "response_item",
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": "x"},
    ),
    _codex_message("assistant", "output_text", "I look."),
    (
        "response_item",
        {"type": "function_call", "name": "shell", "arguments": '{"command":["ls"]}', "call_id": "call_1"},
    ),
    ("response_item", {"type": "custom_tool_call", "name": "apply_patch", "input": "*** Begin", "call_id": "call_2"}),
    ("response_item", {"type": "function_call_output", "call_id": "call_1", "output": '{"output":"a.py"}'}),
    (
        "response_item",
        {"type": "custom_tool_call_output", "call_id": "call_2", "output": {"content": "done", "success": True}},
    ),
    _codex_message("assistant", "output_text", "a.py"),
    ("event_msg", {"type": "token_count"}),
]


@pytest.mark.parametrize("old", [False, True])
def test_a_session_of_codex(old, tmp_path):
    if old:
        lines = [payload for kind, payload in CODEX if kind in ("session_meta", "response_item")]
        lines.insert(1, {"record_type": "state"})
    else:
        stamp = {"timestamp": "2025-10-29T00:59:39.000Z"}
        lines = [stamp | {"type": kind, "payload": payload} for kind, payload in CODEX]
    path = put(tmp_path / "rollout-2025.jsonl", b"\n".join(json.dumps(line).encode() for line in lines))
    [(name, messages)] = messages_of(path)
    assert name == "0199-abc"
    assert check_messages(messages) is None
    assert [message["role"] for message in messages] == [
        *("system", "system", "user", "assistant", "tool", "tool", "assistant")
    ]
    assert messages[3]["content"] == "I look."
    assert [call["function"]["arguments"] for call in messages[3]["tool_calls"]] == [
        '{"command":["ls"]}', '{"input":"*** Begin"}'
    ]  # fmt: skip
    assert [message["content"] for message in messages[4:6]] == ['{"output":"a.py"}', "done"]


@pytest.mark.parametrize("schema", [LLM_OLD, LLM_NEW], ids=["before 0.32", "since 0.32"])
def test_the_log_of_llm(schema, tmp_path):
    path = tmp_path / "logs.db"
    database = sqlite3.connect(path)
    database.executescript(schema)
    database.close()
    with open_transcript(path, "ann") as transcript:
        assert transcript.format == "llm"
        assert transcript.remarks == [f"{path}: 1 attachments were skipped"]
        assert transcript.sessions[0].info.model == "mock"
    assert messages_of(path) == [
        ("conv", [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "A fragment.\nupper please"},
            {"role": "assistant", "content": "let me see", "tool_calls": [
                {"id": "tc_1", "type": "function", "function": {"name": "upper", "arguments": '{"text":"déjà"}'}}
            ]},
            {"role": "tool", "tool_call_id": "tc_1", "content": "DÉJÀ"},
            {"role": "assistant", "content": "DÉJÀ"},
        ])
    ]  # fmt: skip


def test_the_same_file_twice_is_there_already_though_its_time_changed(tmp_path):
    async def run() -> None:
        backend = open_backend("memory:")
        path = put(tmp_path / "lists.json", {"messages": CONVERSATION})
        [(first, _)] = await take_in(backend, path)
        os.utime(path, (0, 0))
        [(second, _)] = await take_in(backend, path)
        assert (first.status, second.status) == ("stored", "there")
        assert len(await list_sessions(backend, "ann")) == 1

    asyncio.run(run())


def test_a_store_that_fails_leaves_no_half_session(tmp_path):
    from chats import Faulty

    async def run() -> None:
        backend = Faulty(open_backend("memory:"))
        backend.fail = 1
        path = write_file(tmp_path / "long.jsonl", LONG)
        with pytest.raises(BackendError):
            await take_in(backend, path, pieces=Pieces(lines=4))
        assert await list_sessions(backend, "ann") == []
        [(stored, _)] = await take_in(backend, path)
        assert await stored_lines(backend, stored.info) == LONG

    asyncio.run(run())
