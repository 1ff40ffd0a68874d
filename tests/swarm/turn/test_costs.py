"""What things cost where it takes no clock: commits, round trips, bytes, records read, texts encoded, modules."""

import cProfile
import json
import os
import platform
import pstats
import subprocess
import sys
from asyncio import run
from collections import Counter
from pathlib import Path

import pytest
from chats import Faulty, say
from counting_proxy import Traffic, counting_proxy
from model_server import model_server, text
from swarmchat.backends import Append, Backend, Lease, open_backend
from swarmchat.swarm.agents.agent import Agent, Swarm
from swarmchat.swarm.conversation.settings import SessionSettings
from swarmchat.swarm.models.base import Answer, ToolCall
from swarmchat.swarm.models.scripted import ScriptedModel
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.records import Record
from swarmchat.swarm.persistence.session_index import SessionInfo, list_sessions
from swarmchat.swarm.persistence.store import Lifetimes
from swarmchat.swarm.session.session import Session
from swarmchat.swarm.tools.tool import tool
from terminal import CTRL_D, at_prompt, terminal
from wal import begin_wal, read_wal

QUESTION = "And how long does it take the other way round?"
ANSWER = "It takes about four working days."
# No lease and no presence is renewed while something is counted.
CALM = SessionSettings(lease=3600, lifetimes=Lifetimes(alive=3600), context_window=10**7)


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


DESK = Swarm(
    "desk",
    [
        Agent("assistant", "Be brief.", tools=[add], handoffs=["expert"]),
        Agent("expert", "You know.", handoffs=["assistant"]),
    ],
)
TURNS = {
    "plain": [ANSWER],
    "tool": [Answer(tool_calls=(ToolCall("c1", "add", '{"a": 1, "b": 2}'),)), ANSWER],
    "handoff": [Answer(tool_calls=(ToolCall("c2", "transfer_to_expert", "{}"),)), ANSWER],
}
"""What the model answers in turns of each kind."""


def lines(length: int) -> tuple[bytes, ...]:
    """Return a log of ``length`` messages."""
    forms = []
    for role in ("user", "assistant"):
        data = {"message": {"role": role, "content": "message"}, "tokens": {"count": 7, "encoding": "o200k_base"}}
        forms.append(Record(role, 0, 0, "2026-01-02T03:04:05.000Z", "assistant", data).line)
    forms = [form.replace(b'"seq":0,"turn":0', b'"seq":%d,"turn":%d') for form in forms]
    return tuple(forms[seq % 2] % (seq, seq // 2 + 1) for seq in range(length))


async def store(backend: Backend, name: str, length: int) -> None:
    info = SessionInfo(
        name,
        name,
        "ann",
        "2026-01-02T03:04:05.000Z",
        "2026-01-02T03:04:05.000Z",
        turns=length // 2,
        highest_turn=length // 2,
    )
    await backend.commit(Append(keys.session_log("ann", name), lines(length)), info.put(None))


async def open_calmly(backend: Backend, name: str, *kinds: str, settings: SessionSettings = CALM) -> Session:
    """Open a session whose model answers as in turns of ``kinds``, one after the other."""
    model = ScriptedModel([step for kind in kinds for step in TURNS[kind]])
    return await Session.open(backend, model, client="ann", name=name, swarm=DESK, settings=settings)


class Counting(Faulty):
    """A backend that counts how it is called, in front of another."""

    def __init__(self, inner: Backend) -> None:
        super().__init__(inner)
        self.calls: Counter[str] = Counter()
        self.read = 0

    async def get(self, key: str) -> bytes | None:
        self.calls["get"] += 1
        return await super().get(key)

    def scan(self, prefix: str):
        self.calls["scan"] += 1
        return super().scan(prefix)

    async def length(self, key: str) -> int:
        self.calls["length"] += 1
        return await super().length(key)

    async def slice(self, key: str, start: int, stop: int | None = None) -> list[bytes]:
        self.calls["slice"] += 1
        values = await super().slice(key, start, stop)
        self.read += len(values)
        return values

    async def commit(self, *writes, lease: Lease | None = None) -> None:
        self.calls["commit"] += 1
        await super().commit(*writes, lease=lease)

    async def acquire(self, key: str, owner: bytes, ttl: float, *, replacing: bytes | None = None) -> Lease | None:
        self.calls["acquire"] += 1
        return await super().acquire(key, owner, ttl, replacing=replacing)

    def counted(self) -> Counter[str]:
        """Return what was called since the last look."""
        calls, self.calls = self.calls, Counter()
        return calls


@pytest.mark.parametrize("length", [10, 1000])
def test_what_a_turn_asks_of_a_backend(backend_url, length):
    """A commit before each request, one after the last, a look into the mailbox, and more only for a handoff."""

    async def scenario():
        backend = Counting(open_backend(backend_url))
        await store(backend, "s", length)
        async with await open_calmly(backend, "s", "plain", "plain", "tool", "handoff") as session:
            await say(session, QUESTION)
            backend.counted()
            await say(session, QUESTION)
            assert backend.counted() == {"slice": 1, "commit": 2}
            await say(session, QUESTION)
            assert backend.counted() == {"slice": 1, "commit": 4}
            await say(session, QUESTION)
            # Who was active before; whose presence this replaces.
            assert backend.counted() == {"slice": 1, "commit": 4, "get": 2, "acquire": 1}
        await backend.close()

    run(scenario())


def test_a_cut_rides_along():
    async def scenario():
        backend = Counting(open_backend("memory:"))
        await store(backend, "s", 1000)
        settings = SessionSettings(context_window=600)
        cuts = 0
        async with await open_calmly(backend, "s", *["plain"] * 30, settings=settings) as session:
            for _ in range(30):
                await session.context()
                backend.counted()
                events = await say(session, QUESTION)
                assert backend.counted() == {"slice": 1, "commit": 2}
                cuts += any(type(event).__name__ == "Rotated" for event in events)
        assert 2 <= cuts <= 15
        await backend.close()

    run(scenario())


@pytest.mark.parametrize("length", [10, 1000])
def test_what_goes_to_redis(redis_url, length):
    """Bytes do not follow from what was said before. Of a turn, each answer of the server has four."""

    async def scenario():
        direct = open_backend(redis_url)
        await store(direct, "s", length)
        # Afterwards the server knows our scripts.
        async with await open_calmly(direct, "other", "handoff") as session:
            await say(session, QUESTION)
        async with counting_proxy(redis_url) as (url, traffic):
            backend = open_backend(url)
            session = await open_calmly(backend, "s", "plain", "tool", "handoff")
            read = {"GET": 3, "LLEN": 1, "LRANGE": 2}
            check(traffic, {"EVALSHA": 2, **read}, commits=1, sent=1150, received=9000)
            await session.context()
            assert traffic.round_trips <= 1
            traffic.reset()
            await say(session, QUESTION)
            mailbox = {"LRANGE": 1}
            check(traffic, {"EVALSHA": 2, **mailbox}, commits=2, sent=3180, received=12)
            await say(session, QUESTION)
            check(traffic, {"EVALSHA": 4, **mailbox}, commits=4, sent=5450, received=20)
            await say(session, QUESTION)
            check(traffic, {"EVALSHA": 5, "GET": 2, **mailbox}, commits=6, sent=6950, received=1004)
            await session.close()
            check(traffic, {"EVALSHA": 2, "LLEN": 1}, commits=2, sent=750, received=12)
            session = await open_calmly(backend, "new", "plain")
            search = {"SCAN": 1, "MGET": 1}
            check(traffic, {"EVALSHA": 2, "GET": 3, "LLEN": 1, **search}, commits=1, sent=1400, received=1000)
            await say(session, QUESTION)
            # The client's memory, in the two places where it may be.
            check(traffic, {"EVALSHA": 2, "MGET": 1}, commits=2, sent=3400, received=24)
            await session.close()
            await backend.close()
        await direct.close()

    run(scenario())


def check(traffic: Traffic, commands: dict[str, int], *, commits: int, sent: int, received: int) -> None:
    """Compare what passed with what may, and begin to count anew. A lease names the host, twice, in each commit."""
    assert traffic.commands == commands
    assert traffic.round_trips == traffic.commands.total()
    assert traffic.sent <= sent + commits * 2 * len(platform.node())
    assert traffic.received <= received + 2 * len(platform.node())
    traffic.reset()


@pytest.mark.parametrize("length", [10, 1000])
def test_what_goes_to_disk(tmp_path, length):
    """A transaction a commit, and as many pages as its rows lie on: not by the length of the log."""

    async def scenario():
        backend = open_backend(f"disk:{tmp_path / 'store'}")
        database = tmp_path / "store" / "cache.db"
        await store(backend, "s", length)
        async with await open_calmly(backend, "s", "plain", "plain", "tool") as session:
            await say(session, QUESTION)
            begin_wal(database)
            await say(session, QUESTION)
            plain = read_wal(database)
            begin_wal(database)
            await say(session, QUESTION)
            tools = read_wal(database)
        await backend.close()
        assert plain.transactions == 2
        assert plain.bytes <= 72_000
        assert tools.transactions == 4
        assert tools.bytes <= 144_000

    run(scenario())


def test_opening_reads_what_a_context_can_hold():
    """The same from a log of 2,000 records and from one of 100,000, and little more than is sent."""

    async def scenario():
        backend = Counting(open_backend("memory:"))
        costs = []
        for length in (2000, 100_000):
            await store(backend, f"s{length}", length)
            backend.read, _ = 0, backend.counted()
            settings = SessionSettings(context_window=8000)
            async with await open_calmly(backend, f"s{length}", settings=settings) as session:
                context = await session.context()
            costs.append((backend.read, backend.counted()))
            # A cut leaves half of what was read.
            assert 450 < len(context.groups) <= backend.read <= 2.2 * len(context.groups)
        assert costs[0] == costs[1]
        await backend.close()

    run(scenario())


def test_a_list_reads_the_entries_only():
    async def scenario():
        backend = Counting(open_backend("memory:"))
        for number in range(50):
            await store(backend, f"s{number}", 10)
        backend.counted()
        assert len(await list_sessions(backend, "ann")) == 50
        assert backend.counted() == {"scan": 1}
        async with await open_calmly(backend, "s7"):
            assert not backend.counted()["scan"]

    run(scenario())


@pytest.mark.parametrize("length", [10, 1000])
def test_a_text_is_encoded_once(length):
    """Of a message, its role and its text, when it is new; of what is stored, nothing."""

    async def scenario():
        backend = open_backend("memory:")
        await store(backend, "s", length)
        async with await open_calmly(backend, "s", "plain", "plain", "tool") as session:
            # The prompt of the agent, its role, and the tools, whatever was said.
            assert encoded(await profiled(session.context())) <= 3
            assert encoded(await profiled(session.context())) == 0
            # A call has two texts, and no content.
            for texts in (4, 4, 9):
                assert encoded(await profiled(say(session, QUESTION))) == texts

    run(scenario())


def test_messages_are_hardly_decoded():
    """Of a conversation however long: the instructions, the question, and what tells that the last answer differs."""

    async def scenario():
        backend = open_backend("memory:")
        await store(backend, "s", 1000)
        model = ScriptedModel([f"{ANSWER} Or {days}." for days in range(5)])
        async with await Session.open(backend, model, client="ann", name="s", swarm=DESK, settings=CALM) as session:
            await say(session, QUESTION)
            for _ in range(4):
                assert called(await profiled(say(session, QUESTION)), "raw_decode") == 4

    run(scenario())


async def profiled(work) -> cProfile.Profile:
    profile = cProfile.Profile()
    with profile:
        await work
    return profile


def encoded(profile: cProfile.Profile) -> int:
    """Return how many texts tiktoken was given."""
    return called(profile, "encode_ordinary")


def called(profile: cProfile.Profile, function: str) -> int:
    """Return how often functions of a name were called."""
    calls = pstats.Stats(profile).stats  # type: ignore[attr-defined]  # typeshed lacks it
    return sum(count for (_, _, name), (_, count, *_) in calls.items() if name == function)


STARTS = {"--version": 11, "--help": 38, "chat --help": 38, "sessions list": 93}
"""How many modules and packages of ours may be loaded to answer."""
CHAT = {"": 164, "helpdesk": 167}
"""How many for the first prompt of a chat with MCP servers, by its swarm."""
ONE_ANSWER = 202
"""How many for one answer on the command line."""
LOOK = """
import gc, os, sys, threading
def collections():
    return sum(each["collections"] for each in gc.get_stats())
def look():
    if not os.path.exists(place):
        with open(place, "w") as file:
            file.write(f"collections={collections() - before} " + " ".join(sys.modules))
def start(thread, start=threading.Thread.start):
    # A thread loads what the first answer needs, once the prompt is on the screen.
    if thread.name == "warm-up":
        look()
    start(thread)
threading.Thread.start = start
from swarmchat.cli.main import main
before = collections()
try: main()
except SystemExit as end: assert not end.code
look()
"""
"""Runs the program, and writes down at ``place`` what it has loaded: at its first prompt, or at its end.

Beside that, how often Python has collected garbage.
"""


@pytest.mark.parametrize("arguments", STARTS)
def test_little_of_the_program_is_loaded_to_answer(arguments, tmp_path):
    command, env = loading(arguments, tmp_path)
    subprocess.run(command, env=env, stdout=subprocess.DEVNULL, check=True)
    ours, others = loaded(tmp_path)
    assert len(ours) <= STARTS[arguments], ours
    assert not {"asyncio", "sqlite3", "ssl"} & others or arguments == "sessions list"


def test_little_of_the_program_is_loaded_for_one_answer(tmp_path):
    """No tokenizer for what is known to fit; no reader of images, commands or other programs' conversations."""
    command, env = loading("-b memory hi", tmp_path)
    with model_server() as server:
        server.reply(text(ANSWER))
        env |= {"SWARMCHAT_BASE_URL": server.base_url, "SWARMCHAT_MODEL": "test-model", "SWARMCHAT_API_KEY": "none"}
        shown = subprocess.run(command, env=env, stdout=subprocess.PIPE, check=True, text=True).stdout
    assert shown.strip() == ANSWER
    ours, others = loaded(tmp_path)
    assert len(ours) <= ONE_ANSWER, ours
    assert not {"numpy", "prompt_toolkit", "regex", "rich", "sqlite3", "tiktoken"} & others
    assert "collections=0" in others


@pytest.mark.parametrize("swarm", CHAT)
def test_little_of_the_program_is_loaded_for_the_first_prompt(swarm, tmp_path):
    """Neither the SDK for MCP servers, nor pydantic for tools, nor what stores items: they are loaded behind it."""
    settings = tmp_path / ".config" / "swarmchat" / "config.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text(f"[mcp.clock]\ncommand = {json.dumps(sys.executable)}\nargs = ['-c', 'input()']\n")
    command, env = loading(f"-m demo -b disk {swarm and '-S'} {swarm}", tmp_path)
    with terminal(command, env=env) as screen:
        # Leaving loads more.
        screen.wait_for(lambda screen: at_prompt(screen) and (tmp_path / "loaded").exists())
        screen.send(CTRL_D)
        assert screen.wait_for_end() == 0
    ours, others = loaded(tmp_path)
    assert len(ours) <= CHAT[swarm], ours
    assert not {"httpx2", "mcp", "numpy", "openai", "pydantic", "redis", "tiktoken", "zoneinfo"} & others
    assert not {"swarmchat.swarm.storage.storage", "swarmchat.swarm.storage.vector_index"} & {*ours}
    assert "collections=0" in others


def loading(arguments: str, folder: Path) -> tuple[list[str], dict[str, str]]:
    """Return the command that runs the program and writes down what it has loaded, and its environment."""
    code = f"place = {str(folder / 'loaded')!r}\n{LOOK}"
    env = {name: value for name, value in os.environ.items() if name.startswith(("COVERAGE", "PYTHONPATH"))}
    env |= {"HOME": str(folder), "PATH": os.defpath, "LANG": "C.UTF-8", "TERM": "xterm"}
    env |= {"SWARMCHAT_CLIENT": "ann", "SWARMCHAT_DISCOVER": "false"}
    return [sys.executable, "-c", code, *arguments.split()], env


def loaded(folder: Path) -> tuple[list[str], set[str]]:
    """Return the modules of ours that were loaded, and the names of all others."""
    names = (folder / "loaded").read_text().split()
    ours = [name for name in names if name.startswith("swarmchat.")]
    return ours, {*names} - {*ours}
