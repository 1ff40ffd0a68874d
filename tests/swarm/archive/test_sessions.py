"""Whole sessions: fork, rename, delete, copy, repair, search, and exports that others can read."""

import asyncio
import json
import re
from datetime import UTC, datetime

import pytest
from chat_rules import check_messages
from hypothesis import example, given
from hypothesis import strategies as st
from logs import (
    LOGS,
    TEA,
    TEXTS,
    TIME,
    answered,
    asked,
    call,
    fields,
    lines_of,
    put_session,
    resulted,
    stored_lines,
    strings_in,
    write_file,
)
from markdown_it import MarkdownIt
from pictures import picture_url
from swarmchat.backends import Append, open_backend
from swarmchat.swarm.archive.dialogue import dialogue
from swarmchat.swarm.archive.export import as_html, as_markdown, as_messages, as_openai
from swarmchat.swarm.archive.log_summary import LogSummary, read_stored_state
from swarmchat.swarm.archive.redaction import MARK, Redaction
from swarmchat.swarm.archive.repair import repair_file, repair_log, repair_session
from swarmchat.swarm.archive.search import search_session
from swarmchat.swarm.archive.sessions import delete_session, find_unfinished, fork_session, rename_session, snapshot
from swarmchat.swarm.archive.writer import SessionWriter
from swarmchat.swarm.errors import BadRecord, SessionBusy, TranscriptError
from swarmchat.swarm.importers.detect import open_transcript
from swarmchat.swarm.importers.native import record_problem
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.lease import Holder, SessionLease
from swarmchat.swarm.persistence.log import read_records, turns_of
from swarmchat.swarm.persistence.records import parse_record
from swarmchat.swarm.persistence.session_index import find_session, list_sessions
from swarmchat.swarm.primitives.navigation import Navigation

NOW = datetime(2026, 5, 6, 7, 8, 9, tzinfo=UTC)


def records_of(lines):
    return [parse_record(line) for line in lines]


# Forks.


@given(LOGS, st.integers(1, 6))
def test_a_fork_is_what_was_there_at_the_end_of_the_turn(lines, turn):
    async def run() -> None:
        backend = open_backend("memory:")
        info = await put_session(backend, lines)
        forked = await fork_session(backend, info, "fork", NOW, turn)
        stored = await SessionWriter(backend, "ann").store(forked, name="fork")
        made = await stored_lines(backend, stored.info)
        assert made[1:] == lines[1 : len(made)]
        assert all(record.turn <= turn for record in records_of(made))
        if len(made) < len(lines):
            # What comes then is of a later turn, or takes this one back.
            follows = parse_record(lines[len(made)])
            assert follows.turn > turn or (follows.type == "undo" and turn in turns_of(follows))
        assert fields(made[0])["forked"] == {"from": "tea", "turn": turn}
        assert fields(made[0])["id"] == stored.info.id == "fork"
        messages = as_messages(records_of(made))
        assert not messages or check_messages(messages, shared_ids=True) is None
        assert await stored_lines(backend, info) == lines

    asyncio.run(run())


def test_a_fork_has_agent_and_states_as_they_were_then():
    async def run() -> None:
        backend = open_backend("memory:")
        info = await put_session(backend, TEA)
        assert (await read_stored_state(backend, info)).states == {}
        early = (await SessionWriter(backend, "ann").store(await fork_session(backend, info, "early", NOW, 1))).info
        stored_state = await read_stored_state(backend, early)
        assert stored_state.states == {"order": b'["tea"]'}
        assert json.loads(stored_state.navigation) == {"active": "till", "stack": ["desk"]}
        assert (early.turns, early.title, early.updated) == (1, "A tea, please", "2026-05-06T07:08:09.000Z")
        whole = (await SessionWriter(backend, "ann").store(await fork_session(backend, info, "whole", NOW))).info
        assert (await stored_lines(backend, whole))[1:] == TEA[1:]

    asyncio.run(run())


# Names, and the end of a session.


def test_rename_and_delete(backend_url):
    async def run() -> None:
        backend = open_backend(backend_url)
        info, other = await put_session(backend, TEA), await put_session(backend, lines_of([asked("x")], "other"))
        renamed = await rename_session(backend, info, "breakfast", NOW)
        assert (renamed.id, renamed.name, renamed.updated) == ("tea", "breakfast", TIME)
        assert await find_session(backend, "ann", "tea") == await find_session(backend, "ann", "breakfast") == renamed
        last = fields((await stored_lines(backend, renamed))[-1])
        assert (last["type"], last["seq"], last["turn"], last["name"]) == ("rename", len(TEA), 2, "breakfast")

        held = SessionLease(backend, keys.session_lease("ann", "tea"), 30)
        await held.acquire("tea")
        for change in (rename_session(backend, renamed, "x", NOW), delete_session(backend, renamed)):
            with pytest.raises(SessionBusy):
                await change
        await held.release()
        await delete_session(backend, renamed)
        assert await list_sessions(backend, "ann") == [other]
        assert await backend.length(keys.session_log("ann", "tea")) == 0
        left = [key async for key, _ in backend.scan("swarmchat:1:{ann}:session:tea:")]
        assert left == []
        await backend.close()

    asyncio.run(run())


@given(st.text(min_size=1, max_size=20), st.text(min_size=1, max_size=20))
def test_deleting_reaches_only_the_session_that_is_meant(name, other):
    async def run() -> None:
        backend = open_backend("memory:")
        content = await snapshot(backend, await put_session(backend, TEA, client="source"))
        for client in ("ann", name):
            for each in {name, other}:
                await SessionWriter(backend, client).store(content, name=each)
        info = await find_session(backend, "ann", name)
        assert info is not None
        await delete_session(backend, info)
        assert [each.name for each in await list_sessions(backend, "ann")] == [*({name, other} - {name})]
        if name != "ann":
            assert len(await list_sessions(backend, name)) == len({name, other})
        assert len(await list_sessions(backend, "source")) >= 1

    asyncio.run(run())


def test_what_an_interrupted_import_has_left_can_be_deleted():
    async def run() -> None:
        backend = open_backend("memory:")
        owner = Holder.of_unfinished("digest").to_bytes()
        await backend.acquire(keys.session_lease("ann", "half"), owner, 1000)
        await backend.commit(Append(keys.session_log("ann", "half"), tuple(TEA[:3])))
        assert await find_unfinished(backend, "ann", "tea") is None
        left = await find_unfinished(backend, "ann", "half")
        assert left is not None
        await delete_session(backend, left)
        assert await backend.length(keys.session_log("ann", "half")) == 0
        assert await find_unfinished(backend, "ann", "half") is None

    asyncio.run(run())


# What is taken out of an export.


@given(LOGS, st.lists(st.sampled_from(["secret", "a+", r"\d", "[A-Z]", r'"q": ?"', "red", "x?y", "tea"]), min_size=1))
def test_redaction_leaves_no_match_and_a_log_that_is_one(folder, lines, patterns):
    redaction = Redaction(patterns)
    redacted = [redaction.record(record) for record in records_of(lines)]
    for record in redacted:
        data = dict(record.data)
        texts = []
        if "message" in data:
            message = data["message"]
            texts.append(message.get("content") or "")
            for each in message.get("tool_calls") or ():
                arguments = each["function"]["arguments"]
                texts.append(arguments)
                assert not arguments.endswith("}") or isinstance(json.loads(arguments), dict)
        elif record.type in ("state", "memory"):
            texts += strings_in(data["value"])
        for text in texts:
            rest = text.replace(MARK, "").replace("true", "")
            assert not any(re.search(pattern, rest if re.search(pattern, MARK) else text) for pattern in patterns), text
    path = write_file(folder / "redacted.jsonl", [record.line for record in redacted])
    with open_transcript(path, "ann") as transcript:
        assert transcript.sessions[0].count == len(lines)
    messages = as_messages(redacted)
    assert not messages or check_messages(messages, shared_ids=True) is None


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A place for files that Hypothesis may write over."""
    return tmp_path_factory.mktemp("redacted")


def test_redaction_sees_through_json():
    redaction = Redaction(["(?i)jörg", r"\b\d{16}\b", r'"password": ?"[^"]*"'])
    assert redaction.text('{"name": "J\\u00f6rg", "card": 4111111111111111}') == f'{{"name":"{MARK}","card":"{MARK}"}}'
    assert redaction.text('{"password": "hunter2"}') == f'{{"{MARK}":true}}'
    assert redaction.text("{no json, Jörg}") == f"{{no json, {MARK}}}"
    assert redaction.text('{"number": 12}') == '{"number": 12}'
    [record] = records_of(lines_of([answered(None, call("c", "f", '{"to": "Jörg"}'))]))[1:]
    redacted = redaction.record(record)
    assert redacted.message["tool_calls"][0]["function"] == {"name": "f", "arguments": f'{{"to":"{MARK}"}}'}
    assert redaction.record(records_of(TEA)[1]) is not redacted
    with pytest.raises(ValueError, match="matches the empty text"):
        Redaction(["x*"])


# Exports.


UNDONE = lines_of(
    [
        asked("one"),
        answered("1"),
        asked("two"),
        answered("2"),
        ("undo", None, {"from": 2, "to": 2, "active": "back", "stack": ["x"], "states": {"order": ["tea"], "x": None}}),
        asked("three"),
        answered("3"),
    ]
)
RESET = lines_of([asked("one"), answered("1"), ("reset", None, {}), asked("two"), ("reset", "desk", {}), answered("2")])


def test_agent_and_states_are_those_after_an_undo():
    summary = LogSummary()
    for record in records_of(UNDONE):
        summary.take(record)
    assert summary.state.navigation == Navigation("back", ("x",))
    assert summary.stored_state.states == {"order": b'["tea"]'}


def test_what_was_undone_or_reset_is_not_exported():
    def contents(lines):
        return [message["content"] for message in json.loads(as_openai(records_of(lines)))["messages"]]

    assert contents(UNDONE) == ["one", "1", "three", "3"]
    assert contents(RESET) == ["two", "2"]
    pages = "".join(as_markdown(_info(), records_of(UNDONE))), "".join(as_html(_info(), records_of(UNDONE)))
    for page in pages:
        assert "three" in page
        assert "two" not in page
    marked = [(entry.text, entry.undone) for entry in dialogue(records_of(UNDONE), undone=True) if entry.kind == "user"]
    assert marked == [("one", False), ("two", True), ("three", False)]


PIECES = [
    *("<script>", "<img src=x onerror=a>", "</div>", "<!-- ", "<?x", "<http://x.y>", "`", "``", "```", "~~~", "````"),
    *("\\", "\n", "\n\n", " ", "    ", "\t", "- ", "1. ", "> ", "x `y` ", "[^1]: ", "| a | b |\n|---|---|\n", "\r"),
    *("![a](http://x.y)", "![a]", "[a]: http://x.y\n", "!", "[a](http://x.y)"),
]
MESSAGES = st.lists(st.sampled_from(PIECES), min_size=1, max_size=12).map("".join)


def _markdown_page(*texts: str) -> str:
    lines = lines_of([asked(text) for text in texts])
    return "".join(as_markdown(_info(), records_of(lines)))


def _active_in(page: str) -> list[str]:
    parsers = MarkdownIt("commonmark"), MarkdownIt("gfm-like", {"linkify": False, "html": True})
    blocks = [block for parser in parsers for block in parser.parse(page)]
    tokens = [token for block in blocks for token in (block, *(block.children or ()))]
    return [token.content for token in tokens if token.type in ("html_block", "html_inline", "image")]


@given(st.lists(MESSAGES, min_size=1, max_size=3))
@example(["```\n```\n<script>alert(1)</script>"])
@example(["- a\n  ```\n<script>"])
@example([" ```\n", "```\n<script>\n```"])
@example(["\\\\<script>"])
@example(["![a](http://x.y) \\\\![a](http://x.y)"])
@example(["~~~ a | b |\n|---|---|\n<script>"])
def test_markdown_pages_have_neither_active_html_nor_images(texts):
    assert _active_in(_markdown_page(*texts)) == []


def test_code_in_markdown_pages_is_unchanged():
    code = "Look:\n\n```html\n<b>bold</b>\n```\n\na < b, <i>\\<u>"
    page = _markdown_page(code, "- one\n  ```\n  x\n  ```", "- two\n  ```\n  <p>\n  ```")
    assert "```html\n<b>bold</b>\n```\n\na < b, \\<i>\\<u>\n" in page
    assert "\n> - one\n>   ```\n>   x\n>   ```\n" in page
    assert "\n````\n- two\n  ```\n  <p>\n  ```\n````\n" in page


@given(LOGS)
def test_exports_are_valid_whatever_the_log_holds(lines):
    messages = json.loads(as_openai(records_of(lines)))["messages"]
    assert not messages or check_messages(messages, shared_ids=True) is None
    page = "".join(as_html(_info(), records_of(lines)))
    body = page.partition("<body>")[2]
    tags = {"header", "h1", "h2", "p", "main", "section", "time", "div", "pre", "code", "body", "html"}
    assert set(re.findall(r"</?([^\s>]*)", body)) <= tags
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", page)
    "".join(as_markdown(_info(), records_of(lines))).encode()


def test_a_page_shows_images_up_to_a_limit():
    large = picture_url(b"\xff\xd8\xff" + bytes(8_000_000), "jpeg")
    small, others = (
        picture_url(b"GIF89a", "gif"),
        (picture_url(b"<svg>"), picture_url(b"<svg>", "svg+xml"), "https://x"),
    )
    parts = [{"type": "image_url", "image_url": {"url": url}} for url in (large, large, small, *others)]
    page = "".join(as_html(_info(), records_of(lines_of([asked(parts), answered("A cat.")]))))
    assert re.findall('<img src="(.{30})', page) == [large[:30], small]


@given(TEXTS)
def test_nothing_said_gets_out_of_its_place_in_a_page(text):
    lines = lines_of([asked(text), answered(None, call("c", text or "f", text)), resulted("c", text)])
    page = "".join(as_html(_info(name=text, title=text), records_of(lines)))
    assert page.count("<section") == 2 == page.count("</section>")
    assert "<script" not in page
    markdown = "".join(as_markdown(_info(), records_of(lines)))
    fence = ""
    for line in markdown.splitlines():
        ticks = re.match("`{3,}", line)
        if ticks and not fence:
            fence = ticks[0]
        elif ticks and len(ticks[0]) >= len(fence) and not line.strip("`"):
            fence = ""
    assert not fence


def _info(**changes: str):
    from swarmchat.swarm.persistence.session_index import SessionInfo

    return SessionInfo(**{"id": "s", "name": "s", "client": "ann", "created": TIME, "updated": TIME, **changes})


# Search.


def test_search_finds_questions_answers_and_tools():
    lines = lines_of(
        [
            asked("Where is the Ring?"),
            answered("Ringing …", call("c1", "find_ring", '{"of": "power"}')),
            resulted("c1", "it is a ring " + "x" * 100, "find_ring"),
            ("undo", None, {"from": 1, "to": 1}),
        ]
    )

    async def run(pattern: str):
        backend = open_backend("memory:")
        return await search_session(backend, await put_session(backend, lines), re.compile(pattern, re.IGNORECASE))

    hits = asyncio.run(run("ring"))
    assert [(hit.role, hit.who, hit.match) for hit in hits] == [
        ("user", "desk", "Ring"),
        ("assistant", "desk", "Ring"),
        ("call", "find_ring", "ring"),
        ("tool", "find_ring", "ring"),
    ]
    assert all(hit.turn == 1 and hit.undone and hit.session == "tea" for hit in hits)
    assert hits[3].after == " " + "x" * 39 + "…"
    assert [hit.role for hit in asyncio.run(run("power"))] == ["call"]
    assert asyncio.run(run("nothing")) == []


# Repair.

_DAMAGE = st.sampled_from([b"", b"{", b"[1]", b'{"type":"user","seq":1,"turn":1,"ts":"t"}', b"\xff"])


@given(LOGS, st.lists(st.tuples(st.integers(0, 30), _DAMAGE), max_size=4), st.lists(st.integers(0, 30), max_size=3))
def test_a_repaired_log_is_sound_and_needs_no_repair(lines, damage, lost):
    lines = [line for place, line in enumerate(lines) if place not in lost]
    for place, line in damage:
        lines.insert(place, line)
    mended = repair_log(lines)
    records = records_of(mended.lines)
    assert all(record.seq == place for place, record in enumerate(records))
    assert repair_log(mended.lines).findings == []
    assert bool(mended.findings) == (mended.lines != lines)
    messages = as_messages(records)
    assert not messages or check_messages(messages, shared_ids=True) is None


def test_what_names_other_records_follows_them_when_a_line_goes():
    lines = lines_of([asked("one"), answered("1"), asked("two"), ("rotate", "desk", {"first_kept": 3, "window": 9})])
    lines.insert(1, b"{broken")
    lines = [
        lines[0],
        lines[1],
        *(json.dumps(fields(line) | {"seq": place}).encode() for place, line in enumerate(lines[2:], 2)),
    ]
    lines[-1] = json.dumps(fields(lines[-1]) | {"first_kept": 4}).encode()
    mended = repair_log(lines)
    assert [finding.partition(":")[0] for finding in mended.findings] == ["line 2"]
    assert fields(mended.lines[-1])["first_kept"] == 3
    assert [fields(line)["seq"] for line in mended.lines] == [0, 1, 2, 3, 4]


BROKEN = [
    *lines_of(
        [asked("x"), answered(None, call("a"), call("a"), call("b")), resulted("a", "first"), resulted("z", "?")],
        "broken",
    ),
    b"{broken",
    *lines_of([asked("next")])[1:],
]
FINDINGS = [
    "line 6: '{broken' is not JSON (Expecting property name enclosed in double quotes: line 1 column 2 (char 1)): "
    "dropped",
    "line 3: call 2 has the id 'a', which an earlier one has: now 'a-3001'",
    "line 5: the result of 'z' belongs to no waiting call: dropped",
    "line 3: the call 'a-3001' has no result: added one that says so",
    "line 3: the call 'b' has no result: added one that says so",
    "line 7: the number is 1, expected 6: now 6",
]


def test_an_id_that_a_repair_has_given_is_not_given_again():
    """The call in line 4 is renamed to the id of line 2, unless the repair looks."""
    steps = [
        answered(None, call("a-4000"), call("a")),
        resulted("a", "?"),
        answered(None, call("a")),
        resulted("a", ""),
    ]
    repaired = repair_log(lines_of(steps, "b"))
    assert "line 4: call 1 has the id 'a', which an earlier one has: now 'a-4001'" in repaired.findings
    assert repaired.damage == []
    assert repair_log(repaired.lines).findings == []


def test_a_session_is_repaired_and_kept_as_it_was():
    async def run() -> None:
        backend = open_backend("memory:")
        info = await put_session(backend, TEA)
        key = keys.session_log("ann", "tea")
        await backend.commit(Append(key, (b"{broken",)))
        assert (await repair_session(backend, info, dry_run=True)).kept_as is None
        assert (await stored_lines(backend, info))[-1] == b"{broken"
        done = await repair_session(backend, info)
        assert len(done.findings) == 1
        assert done.kept_as == "tea-before-repair"
        assert await stored_lines(backend, info) == TEA
        backup = await find_session(backend, "ann", done.kept_as)
        assert backup is not None
        assert await stored_lines(backend, backup) == [*TEA, b"{broken"]
        assert (await repair_session(backend, info)).kept_as is None

        await backend.commit(Append(key, (json.dumps(fields(TEA[1]) | {"v": 2}).encode(),)))
        with pytest.raises(BadRecord, match="format version 2"):
            await repair_session(backend, info)
        assert len(await list_sessions(backend, "ann")) == 2

    asyncio.run(run())


def test_a_file_is_repaired_and_kept_as_it_was(tmp_path):
    path = write_file(tmp_path / "x.jsonl", [*BROKEN, *TEA, b"oops"])
    before = path.read_bytes()
    report = repair_file(path, dry_run=True)
    assert list(report.findings[:-1]) == FINDINGS
    assert report.findings[-1].startswith("line 20: 'oops' is not JSON")
    assert path.read_bytes() == before
    done = repair_file(path)
    assert done.kept_as == f"{path}.bak"
    assert path.with_name("x.jsonl.bak").read_bytes() == before
    with open_transcript(path, "ann", "jsonl") as transcript:
        assert [incoming.count for incoming in transcript.sessions] == [7, len(TEA)]
    assert repair_file(path).findings == []
    write_file(path, [b"{", *TEA])
    assert repair_file(path).kept_as == f"{path}.bak2"
    with pytest.raises(TranscriptError, match="cannot be repaired"):
        repair_file(tmp_path / "missing")


def test_every_record_of_a_chat_is_one_that_can_be_imported(tmp_path):
    """Nothing that is written by a session may be refused."""
    from chats import open_session, say
    from swarmchat.swarm.models.scripted import ScriptedModel

    async def run() -> None:
        backend = open_backend("memory:")
        async with await open_session(backend, ScriptedModel(["fine"] * 30, context_window=300)) as session:
            for number in range(20):
                await say(session, f"question {number} " + "word " * 10)
            await session.undo(2)
            await session.redo(1)
            await session.reset()
            info = session.info
        records = [record async for record in read_records(backend, info)]
        assert {"rotate", "reset", "undo", "redo"} <= {record.type for record in records}
        assert [record_problem(record, place) for place, record in enumerate(records)] == [None] * len(records)
        path = write_file(tmp_path / "s.jsonl", await stored_lines(backend, info))
        other = open_backend("memory:")
        with open_transcript(path, "ann") as transcript:
            stored = await SessionWriter(other, "ann").store(transcript.sessions[0])
        assert (stored.info.title, stored.info.turns, stored.info.model) == (info.title, info.turns, info.model)

    asyncio.run(run())


def test_every_event_is_one_line():
    parts = [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": "x"}}]
    legacy = {"role": "assistant", "content": None, "function_call": {"name": "old", "arguments": "{}"}}
    lines = lines_of(
        [
            ("system", None, {"message": {"role": "system", "content": "Be brief."}}),
            ("user", "desk", {"message": {"role": "user", "content": parts}}),
            ("rotate", "desk", {"first_kept": 1, "window": 9, "dropped": {"groups": 3}}),
            ("rescue", "desk", {"cause": "unknown_tool", "step": "feedback", "attempt": 1, "detail": "'fnd'"}),
            (
                "assistant",
                "desk",
                {"message": {"role": "assistant", "content": "A to", "refusal": None}, "finish": "interrupted"},
            ),
            ("assistant", "desk", {"message": {"role": "assistant", "refusal": "I will not"}, "finish": "stop"}),
            ("assistant", "desk", {"message": legacy, "finish": "stop"}),
            (
                "tool",
                "desk",
                {"message": {"role": "function", "name": "old", "content": "done"}, "name": "old", "status": "ok"},
            ),
            answered(None, call("c1", arguments={"a": 1})),
            ("reset", None, {}),
            ("reset", "desk", {"keep": []}),
            ("policy", "desk", {"policy": "polite", "direction": "input", "text": "damn", "banned": False}),
            ("unsent", "desk", {"text": "half"}),
            ("memory", None, {"value": {"name": "Ann"}}),
            ("rename", None, {"name": "new"}),
            ("error", "desk", {"error": {"kind": "ModelBusy", "message": "later"}}),
            ("undo", None, {"from": 1, "to": 1}),
        ]
    )
    lines_told = [(entry.kind, entry.who, entry.text, entry.status) for entry in dialogue(records_of(lines[:-1]))]
    assert lines_told == [
        ("system", "system", "Be brief.", ""),
        ("user", "user", "look\n[image]", ""),
        ("note", "desk", "the 3 oldest messages are no longer sent", ""),
        ("note", "desk", "rescue: unknown_tool: feedback: 'fnd'", ""),
        ("assistant", "desk", "A to", ""),
        ("note", "desk", "the answer ended: interrupted", ""),
        ("assistant", "desk", "I will not", ""),
        ("call", "desk", "done", "ok"),
        ("note", "reset", "nothing before this is sent", ""),
        ("note", "desk", "nothing before this is sent to desk", ""),
        ("note", "desk", "policy polite refused the question: damn", ""),
        ("note", "desk", "not sent: half", ""),
        ("note", "memory", 'memory = {"name": "Ann"}', ""),
        ("note", "rename", "renamed to new", ""),
        ("error", "error", "ModelBusy: later", ""),
        ("call", "desk", "", "no result"),
    ]
    left = [entry.text for entry in dialogue(records_of(lines))]
    assert left == ["Be brief.", "renamed to new", "turn 1 is undone"]
    shown = [entry.undone for entry in dialogue(records_of(lines), undone=True)]
    assert shown.count(False) == 3
