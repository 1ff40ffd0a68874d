"""Whatever others write, the program reads it or says what is wrong: nothing else is raised.

For seconds here; for as long as you like with ``pytest tests/test_fuzz.py --hypothesis-profile=long``.
"""

import asyncio
import json
import os
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from damage import UNEXPECTED, as_json, as_toml, damaged
from foreign import CHUNK, CODEX, ERROR, HANDWRITTEN, LOG, MESSAGES, MODELS, PROPS, SETTINGS, SWARM
from hypothesis import given
from hypothesis import strategies as st
from llm_logs import LLM_NEW, LLM_OLD
from logs import asked, lines_of, put_session
from model_server import EVENTS, JSON, Reply, model_server
from pictures import picture
from swarmchat.backends import Append, Backend, BackendError, open_backend
from swarmchat.backends.base import Put, Truncate
from swarmchat.cli.errors import CliError, ConfigError
from swarmchat.cli.inspection.item_files import ItemReader
from swarmchat.cli.prompt.history import PromptHistory
from swarmchat.cli.settings.folder import Consents
from swarmchat.cli.settings.hook_commands import hook_commands
from swarmchat.cli.settings.loading import load_settings
from swarmchat.cli.settings.readers import HOOK_POINTS
from swarmchat.cli.slash.templates import read_templates
from swarmchat.swarm.agents.loader import load_swarm
from swarmchat.swarm.agents.toml_file import read_toml
from swarmchat.swarm.archive import export
from swarmchat.swarm.archive.client_data import copy_client_data
from swarmchat.swarm.archive.dialogue import dialogue
from swarmchat.swarm.archive.repair import repair_log
from swarmchat.swarm.archive.search import search_session
from swarmchat.swarm.archive.sessions import fork_session, snapshot
from swarmchat.swarm.archive.writer import SessionWriter
from swarmchat.swarm.errors import ImageError, ModelError, SwarmError, TranscriptError
from swarmchat.swarm.images.files import image_part
from swarmchat.swarm.importers.detect import open_transcript
from swarmchat.swarm.mcp.login import TokenFile
from swarmchat.swarm.mcp.questions import form_schema
from swarmchat.swarm.mcp.server import McpServer, read_servers_file
from swarmchat.swarm.mcp.texts import safe_schema
from swarmchat.swarm.models.base import Answer, Model, ModelRequest, ToolCall
from swarmchat.swarm.models.demo import DemoModel
from swarmchat.swarm.models.openai_chat import OpenAIModel
from swarmchat.swarm.models.scripted import ScriptedModel
from swarmchat.swarm.models.server_facts import ServerFacts, facts_in_models, facts_in_props
from swarmchat.swarm.models.streaming import AnswerDeltas
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.lease import Holder, parse_holder
from swarmchat.swarm.persistence.mailbox import tell
from swarmchat.swarm.persistence.records import parse_record
from swarmchat.swarm.persistence.session_index import list_sessions
from swarmchat.swarm.persistence.store import Lifetimes
from swarmchat.swarm.providers.adaptations import LearnedAdaptations
from swarmchat.swarm.providers.failures import ServerErrors, retry_after
from swarmchat.swarm.providers.schemas import portable_tools
from swarmchat.swarm.replay.cassette import Cassette, MeteredModel, TimedAnswer
from swarmchat.swarm.replay.files import read_conversations
from swarmchat.swarm.session.desk import OperatorDesk
from swarmchat.swarm.session.session import Session
from swarmchat.swarm.tools.asking import user_question
from swarmchat.swarm.tools.context import ArgumentsError
from swarmchat.swarm.tools.external_tool import ExternalTool, recorded_tool

PIECES = [
    "",
    "0",
    "9",
    "+",
    "-",
    ":",
    " ",
    ",",
    "\0",
    "²",
    "٣",
    "[",
    "]",
    "%",
    "@",
    "//",
    "Oct",
    "9" * 400,
    "#",
    "?",
    "=",
]


def cut(*texts: str) -> st.SearchStrategy[str]:
    """Return one of ``texts`` with pieces that do not belong there, in place of some of its characters."""

    @st.composite
    def values(draw: st.DrawFn) -> str:
        text = draw(st.sampled_from(texts))
        for _ in range(draw(st.integers(1, 4))):
            start, length = draw(st.integers(0, len(text))), draw(st.integers(0, 3))
            text = text[:start] + draw(st.sampled_from(PIECES)) + text[start + length :]
        return text

    return values()


@contextmanager
def errors_told(*kinds: type[Exception]) -> Iterator[None]:
    """Allow the block to end with an error of these kinds, if it says something."""
    try:
        yield
    except kinds as error:
        if not str(error):
            raise


def as_lines(value: Any) -> bytes:
    return b"\n".join(map(as_json, value)) if isinstance(value, list) else as_json(value)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("fuzz")
    (folder / "tools.py").write_text('def find(about: str = "x") -> str:\n    """Find it."""\n    return about\n')
    return folder


@given(damaged(SETTINGS), st.sampled_from(["config.toml", "swarmchat.toml"]))
def test_settings_files(folder: Path, content: Any, name: str) -> None:
    path = folder / name
    path.write_text(as_toml(content) if isinstance(content, dict) else "x", "utf-8", "replace")
    load_settings({}, {}, [path], complain=str)
    with errors_told(ConfigError):
        settings = load_settings({}, {}, [path])
        assert settings.for_model("m").all_prices is not None


VALUES = st.sampled_from(UNEXPECTED).map(lambda value: as_toml({"x": value})[6:-1])


@given(
    st.sampled_from(sorted(SETTINGS)),
    VALUES
    | st.sampled_from(["[" * 3000, "{a=" * 2000, "[" * 300 + "]" * 300, '{"a":' * 3000, "0x" + "F" * 20000, "'''"]),
)
def test_settings_in_the_environment(name: str, value: str) -> None:
    variable = {f"SWARMCHAT_{name.upper()}": value}
    load_settings({}, variable, [], complain=str)


@given(damaged(SWARM))
def test_swarm_files(folder: Path, content: Any) -> None:
    path = folder / "swarm.toml"
    path.write_text(as_toml(content) if isinstance(content, dict) else "x", "utf-8", "replace")

    async def talk() -> None:
        swarm = read_toml(path)
        async with Session.open("memory:", DemoModel(rules=swarm.demo), swarm) as session:
            async for _ in session.run_turn("hi there"):
                pass

    with errors_told(SwarmError):
        asyncio.run(talk())


async def read_all(backend: Backend) -> None:
    """Do with each session what can be done with one."""

    async def talk() -> None:
        async with Session.open(backend, DemoModel(), client="ann", name=info.name) as session:
            async for _ in session.run_turn("hello"):
                pass
            await session.undo()

    for info in await list_sessions(backend, "ann"):
        with errors_told(SwarmError, BackendError):
            records = [parse_record(line) async for line in (await snapshot(backend, info)).read()]
            for entry in dialogue(records):
                assert str(entry)
            assert "".join(export.as_markdown(info, records))
            assert "".join(export.as_html(info, records))
            assert b"".join([export.as_openai(records), *export.as_jsonl(records)])
            repair_log([record.line for record in records])
        for work in (
            search_session(backend, info, re.compile("x")),
            fork_session(backend, info, "copy", datetime.now(UTC)),
            talk(),
        ):
            with errors_told(SwarmError, BackendError):
                await work


@given(damaged(LOG))
def test_stored_logs(records: Any) -> None:
    async def run() -> None:
        backend = open_backend("memory:")
        info = await put_session(backend, lines_of([asked("x")]))
        log = keys.session_log("ann", info.id)
        await backend.commit(Truncate(log, 0), Append(log, tuple(as_lines(records).splitlines())))
        await read_all(backend)

    asyncio.run(run())


def import_and_read(path: Path) -> None:
    async def run() -> None:
        backend = open_backend("memory:")
        with errors_told(TranscriptError), open_transcript(path, "ann") as transcript:
            for session in transcript.sessions:
                await SessionWriter(backend, "ann").store(session)
        await read_all(backend)
        with errors_told(SwarmError):
            await read_conversations(path)

    asyncio.run(run())


@cache
def stored_by_a_session() -> tuple[dict[str, bytes], dict[str, list[bytes]]]:
    """Return the values and the lists of a session that waits for a person, and has a message that waits."""

    async def run() -> tuple[dict[str, bytes], dict[str, list[bytes]]]:
        backend, swarm = open_backend("memory:"), load_swarm("helpdesk", Path())
        async with Session.open(backend, DemoModel(rules=swarm.demo), swarm, client="ann", name="s") as session:
            for text in ("My name is Ann", "Where is order 7?", "I want to talk to a person"):
                async for _ in session.run_turn(text):
                    pass
        await tell(backend, "ann", "s", "hello")
        lists = {key: await backend.slice(key, 0) for key in (of("ann", "s") for of in LISTS)}
        return {key: value async for key, value in backend.scan("") if value[:1] in b"[{"}, lists

    return asyncio.run(run())


LISTS = (keys.session_log, keys.session_mailbox)


@given(st.data())
def test_values_stored_beside_logs(data: st.DataObject) -> None:
    """An entry of the list, the active agent, states, memory, a ticket and a message that waits."""
    values, lists = stored_by_a_session()
    (mailbox, (mail,)) = list(lists.items())[1]
    key = data.draw(st.sampled_from([*values, mailbox]))
    new = data.draw(damaged(json.loads(values.get(key, mail))).map(as_json) | st.binary(max_size=30))
    puts = [Put(each, value) for each, value in (values | {key: new}).items() if each != mailbox]
    appends = [Append(each, (new,) if each == key else tuple(lines)) for each, lines in lists.items()]

    async def run() -> None:
        backend, swarm = open_backend("memory:"), load_swarm("helpdesk", Path())
        await backend.commit(*puts, *appends)
        with errors_told(SwarmError, BackendError):
            async with OperatorDesk(backend, swarm, "Bob") as desk:
                for ticket in await desk.tickets():
                    await desk.take(ticket.client, ticket.session)
        with errors_told(SwarmError, BackendError):
            async with Session.open(backend, DemoModel(), swarm, client="ann", name="s") as session:
                async for _ in session.run_turn("And my order?"):
                    pass
        with errors_told(SwarmError, BackendError):
            _ = [_ async for _ in copy_client_data(backend, open_backend("memory:"), "ann", Lifetimes())]
        await list_sessions(backend, "ann")

    asyncio.run(run())


CONTENTS = {
    "trusted.json": json.dumps({"/x/swarmchat.toml": "0" * 64}),
    "history": "\n# 2026-01-02 03:04:05\n+one\n+two\n",
    "explain.md": "---\ndescription: x\nargument-hint: y\n---\nSay $1, $ARGUMENTS\n",
    "login.json": '{"url": "u", "client_id": "", "tokens": {"access_token": "t"}}',
    "items.jsonl": '{"a": 1}\n{"a": [2]}\n',
    "items.csv": 'a,b\n1,"x\ny"\n',
}
READERS: dict[str, Callable[[Path], object]] = {
    "trusted.json": lambda path: Consents(path).has(path, {"swarm": "./x"}),
    "history": lambda path: list(PromptHistory(str(path), print).load_history_strings()),
    "explain.md": lambda path: read_templates(path.parent)["explain"].fill("a 'b"),
    "login.json": lambda path: asyncio.run(TokenFile(path, McpServer("x", url="u"), {}).get_tokens()),
    "items.jsonl": lambda path: ItemReader(bool, "a", dict).read(path, None, 10_000),
    "items.csv": lambda path: ItemReader(bool, None, dict).read(path, None, 10_000),
}


@given(st.sampled_from(sorted(CONTENTS)), st.data())
def test_files_of_the_user(folder: Path, name: str, data: st.DataObject) -> None:
    text = data.draw(cut(CONTENTS[name]) | st.sampled_from(["[" * 3000, '{"a":' * 3000]))
    (folder / name).write_bytes(text.encode("utf-8", "surrogatepass") + data.draw(st.binary(max_size=3)))
    with errors_told(SwarmError, CliError):
        READERS[name](folder / name)


@given(
    damaged(LOG, MESSAGES, [MESSAGES["messages"], MESSAGES], CODEX, [item["payload"] for item in CODEX], HANDWRITTEN)
)
def test_files_of_conversations(folder: Path, content: Any) -> None:
    path = folder / "conversations.jsonl"
    path.write_bytes(as_lines(content))
    import_and_read(path)


@cache
def llm_database(schema: str) -> bytes:
    with sqlite3.connect(":memory:") as database:
        database.executescript(schema)
        content: bytes = database.serialize()
    database.close()
    return content


STORED = [value for value in UNEXPECTED if not isinstance(value, int) or abs(value) < 2**63]


@given(st.sampled_from([LLM_OLD, LLM_NEW]), st.data())
def test_the_database_of_llm(folder: Path, schema: str, data: st.DataObject) -> None:
    database = sqlite3.connect(":memory:")
    database.deserialize(llm_database(schema))
    tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    table = data.draw(st.sampled_from(tables))
    column = data.draw(st.sampled_from([row[1] for row in database.execute(f"PRAGMA table_info({table})")]))
    value = data.draw(st.sampled_from(STORED))
    stored = value if isinstance(value, int | float) else as_json(value).decode()
    with suppress(sqlite3.IntegrityError), database:
        database.execute(f'UPDATE OR IGNORE {table} SET "{column}" = ?', (stored,))
    path = folder / "logs.db"
    path.write_bytes(database.serialize())
    database.close()
    import_and_read(path)


@given(damaged({"http://h/v1": {"m": ["no-tools", "reasoning"]}, "\ud800": {"n": ["no-tools"]}}))
def test_what_is_remembered_of_servers(folder: Path, servers: Any) -> None:
    path = folder / "servers.json"
    path.write_bytes(as_json(servers))
    LearnedAdaptations(path).add("http://h/v1", "m", "no-stream")
    assert "no-stream" in LearnedAdaptations(path).of("http://h/v1", "m")


@given(damaged(json.loads(Holder.of_this_process().to_bytes())).map(as_json) | st.binary(max_size=30))
def test_leases(stored: bytes) -> None:
    if holder := parse_holder(stored):
        assert {holder.is_dead, holder.has_stopped, holder.is_running} <= {True, False}
        assert holder.unfinished is None or isinstance(holder.unfinished, str)


@given(
    st.sampled_from(["retry-after", "retry-after-ms", "x-ratelimit-reset-tokens"]),
    cut("Wed, 21 Oct 2015 07:28:00 GMT", "21 Oct 99 07:28:00 -0800", "Sun Nov  6 08:49:37 1994", "1m20.5s", "12"),
)
def test_waits_that_a_server_asks_for(header: str, value: str) -> None:
    wait = retry_after({header: value, "x-ratelimit-remaining-tokens": "0"})
    assert wait is None or wait >= 0


@given(damaged(ERROR), st.sampled_from([None, 301, 400, 404, 413, 429, 500, 503]))
def test_errors_of_servers(body: Any, status: int | None) -> None:
    errors = ServerErrors("http://host/v1", ["sk-secretsecret"])
    assert str(errors.status(status, body, {}))
    if isinstance(body, dict):
        errors.in_answer(body)


@given(damaged(MODELS), damaged(PROPS))
def test_facts_of_servers(models: Any, props: Any) -> None:
    facts_in_models(as_json(models), "m")
    facts_in_props(as_json(props))


@given(st.lists(damaged(CHUNK), max_size=4))
def test_chunks_of_an_answer(events: list[Any]) -> None:
    deltas = AnswerDeltas()
    for event in events:
        if isinstance(event, dict):
            list(deltas.add(event))
    list(deltas.rest())
    assert json.dumps(asdict(deltas.answer("call", "server")))


STREAMS = st.lists(
    damaged(CHUNK, ERROR).map(lambda event: b"data: " + as_json(event) + b"\n\n")
    | st.sampled_from(
        [b"data: [DONE]\n\n", b": ping\n\n", b"event: x\r\n\r\n", b"data:\n\n", b"\xff", b"\n", b"id: \0\n\n"]
    ),
    max_size=5,
)


@pytest.fixture(scope="module")
def ask() -> Iterator[Callable[[Reply], None]]:
    """Has a model ask a real server that answers with the reply."""
    with model_server() as server, asyncio.Runner() as runner:
        model = OpenAIModel("m", base_url=server.base_url, max_retries=0, timeout=5.0)

        async def ask() -> None:
            async with Session.open("memory:", model) as session:
                async for _ in session.run_turn("hi"):
                    pass

        def answer(reply: Reply) -> None:
            server.reply(reply)
            runner.run(ask())

        yield answer
        runner.run(model.close())


@given(STREAMS, st.sampled_from([200, 200, 200, 204, 302, 400, 429, 500]), st.sampled_from([EVENTS, JSON, {}]))
def test_streams_and_bodies(
    ask: Callable[[Reply], None], steps: list[bytes], status: int, headers: dict[str, str]
) -> None:
    with errors_told(ModelError):
        ask(Reply(steps, status, headers))


@given(
    cut(
        "redis://u:p@h:6379/0?timeout=5",
        "rediss://[::1]:1/0?ssl_cert_reqs=none",
        "unix:///x?db=1",
        "redis+sentinel://a:1,b:2/main/0?sentinel_password=x",
        "redis+cluster://a:1",
        f"disk:{os.devnull}/x?durability=full&timeout=5",
        "memory:",
    )
)
def test_urls_of_stores(url: str) -> None:
    with errors_told(BackendError):
        asyncio.run(open_backend(url).close())


@given(cut("http://host:80/v1?x=1", "https://[fe80::1%25eth0]:1/v1", "https://user:secret@host"))
def test_addresses_of_servers(address: str) -> None:
    problems: list[ConfigError] = []
    settings = load_settings({"base_url": address}, {}, [], complain=problems.append)
    if not problems:
        with errors_told(ModelError):
            asyncio.run(OpenAIModel("m", base_url=settings.base_url).close())


NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
YAML = """
name: tea
settings: {context_window: 9000, parameters: {n: 1.5}}
parameters: [{drink: &d tea}, {drink: "*d"}]
turns:
- user: A ${drink}
  expect: {tools: [order], matches: is.$, max_cost: 0.5, similar_to: {text: ok, min: 0.5}}
- assistant: |
    One
  calls: [{name: order, arguments: {item: tea}}]
"""


@given(cut(YAML, YAML.replace("1.5", "1" * 400), "a: &a [x]\n" + "b: [*a, *a]\n"), st.sampled_from(["yaml", "yml"]))
def test_conversations_in_yaml(folder: Path, text: str, suffix: str) -> None:
    path = folder / f"conversation.{suffix}"
    path.write_text(text, "utf-8", "replace")
    with errors_told(SwarmError):
        asyncio.run(read_conversations(path))


ANSWERED = TimedAnswer(
    Answer(
        "ok",
        (ToolCall("c1", "f", "{}"),),
        usage={"prompt_tokens": 1, "cost": 0.5},
        echo={"server": "s", "fields": {"x": 1}, "calls": {"c1": {"y": 2}}},
        reasoning="why",
    ),
    1.5,
)


@given(st.data())
def test_cassettes(folder: Path, data: st.DataObject) -> None:
    keys_asked: list[str] = []

    def note(request: ModelRequest) -> str:
        keys_asked.append(request.key)
        return "said"

    async def talk(model: Model) -> None:
        async with Session.open("memory:", model, client="ann", name="s", clock=lambda: NOON) as session:
            async for _ in session.run_turn("hi"):
                pass

    asyncio.run(talk(ScriptedModel([note])))
    cassette = Cassette(folder, "m")
    cassette.path.unlink(missing_ok=True)
    cassette.add((keys_asked[0], 1, 1), ANSWERED)
    cassette.add_facts(ServerFacts(window=9000))
    lines = [json.loads(line) for line in cassette.path.read_bytes().splitlines()]
    cassette.path.write_bytes(as_lines(data.draw(damaged(lines))) + b"\n")
    with errors_told(SwarmError):
        asyncio.run(talk(MeteredModel(ScriptedModel(["new"] * 9), Cassette(folder, "m"))))
    Cassette(folder, "m").compact()


@given(st.sampled_from(["PNG", "JPEG", "GIF", "WEBP"]), st.data())
def test_images(kind: str, data: st.DataObject) -> None:
    content = bytearray(picture(kind))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, min(len(content), 60)))
        content[start : start + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=6))
    with errors_told(ImageError):
        image_part(bytes(content), "x")


@given(st.sampled_from(HOOK_POINTS), damaged({"deny": "no"}, *({name: "x"} for name in "text answer to".split())))
def test_answers_of_hooks(folder: Path, point: str, answer: Any) -> None:
    path = folder / "answer.json"
    path.write_bytes(as_json(answer))
    swarm = load_swarm("helpdesk", folder)
    hooks = hook_commands({point: [f"cat {path}"]})

    async def talk() -> None:
        async with Session.open("memory:", DemoModel(rules=swarm.demo), swarm, hooks=hooks) as session:
            async for _ in session.run_turn("I want my money back for order 7"):
                pass

    with errors_told(SwarmError):
        asyncio.run(talk())


MCP_FILE = {
    "mcpServers": {
        "files": {"type": "stdio", "command": "npx", "args": ["-y", "x"], "env": {"A": "${B:-c}"}, "disabled": False},
        "hub": {"serverUrl": "https://hub/mcp", "headers": {"Authorization": "Bearer ${TOKEN}"}, "timeout": 9},
    }
}
SCHEMA = {
    "type": "object",
    "properties": {
        "n": {"type": "integer", "minimum": 1, "exclusiveMaximum": 9},
        "names": {"type": "array", "items": {"$ref": "#/$defs/name"}},
        "either": {"anyOf": [{"type": "string", "pattern": "^a"}, {"const": 1}]},
    },
    "required": ["n"],
    "$defs": {"name": {"type": "string", "maxLength": 3}},
}


@given(damaged(MCP_FILE))
def test_files_of_mcp_servers(content: Any) -> None:
    with suppress(SwarmError):
        for server in read_servers_file(content):
            with suppress(SwarmError):
                server.expanded(" ".join([server.command, server.url, *server.env.values()]), {"TOKEN": "t"})


FORM = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "title": "Name", "minLength": 1, "default": "x"},
        "pet": {"type": "string", "enum": ["a", "b"], "enumNames": ["A", "B"]},
        "fish": {"type": "array", "items": {"anyOf": [{"const": "t", "title": "T"}]}, "maxItems": 1},
    },
    "required": ["name"],
}


@given(damaged(FORM), damaged({"name": "Ann", "pet": "a", "fish": ["t"]}))
def test_forms_of_mcp_servers(form: Any, answer: Any) -> None:
    with suppress(ValueError):
        question = user_question("Who?", "s/t", (), form_schema(form))
        assert len(question.fields) <= len(FORM["properties"])
        with suppress(ArgumentsError):
            question.check(answer)


@given(damaged(SCHEMA), damaged({"n": 1, "names": ["ab"], "either": "a"}))
def test_schemas_of_mcp_servers(schema: Any, arguments: Any) -> None:
    if not isinstance(schema, dict):
        return
    with suppress(ValueError):
        schema = safe_schema(schema)
    definition = {"type": "function", "function": {"name": "t", "parameters": schema}}
    portable_tools([definition], empty_parameters=True, alternatives=False, open_objects=False)
    tool = ExternalTool("s/t", str, parameters=schema)
    with suppress(ArgumentsError):
        tool.read_arguments(json.dumps(arguments, default=str))
    recorded_tool(tool.for_record())
