"""The same comes out each time: a long session with the help desk, replayed again and again without any network."""

import asyncio
import hashlib
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from misbehaving import SCRIPT, Misbehaving
from recorded import Recorder, again, ask, calls
from swarmchat.backends import open_backend
from swarmchat.examples.helpdesk import swarm as helpdesk
from swarmchat.swarm.archive.writer import SessionSnapshot, SessionWriter
from swarmchat.swarm.importers.detect import open_transcript
from swarmchat.swarm.models.scripted import ScriptedModel
from swarmchat.swarm.persistence.log import read_lines
from swarmchat.swarm.persistence.session_index import find_session

TIMES = int(os.environ.get("SWARMCHAT_TEST_REPLAYS", "2"))

# What a replay must not need; a pair of sockets in one process is how an event loop wakes itself.
CHILD = """
import asyncio, hashlib, socket, sys
from pathlib import Path

class Refused(socket.socket):
    def __init__(self, family=-1, type=-1, proto=-1, fileno=None):
        assert fileno is not None, "no network"
        super().__init__(family, type, proto, fileno)

socket.socket = Refused
from swarmchat.backends import open_backend
from swarmchat.examples.helpdesk import swarm
from swarmchat.swarm.replay.runner import replay
from swarmchat.swarm.replay.files import read_conversations

async def run(path, times):
    backend = open_backend("memory:")
    (conversation,) = await read_conversations(path)
    for _ in range(times):
        done = await replay(conversation, backend, swarm=swarm)
        assert done.same, done.differences[0]
        print(hashlib.sha256(b"\\n".join(record.line for record in done.records)).hexdigest())

asyncio.run(run(Path(sys.argv[1]), int(sys.argv[2])))
assert "openai" not in sys.modules and "redis" not in sys.modules
"""


async def hold(recorder: Recorder) -> bytes:
    """Hold a session of 30 turns: handoffs, tools, states, memory, rescues, cuts, a refusal."""
    shopping = [
        # A server's answer with calls says whose ids they have; a replay has no server.
        replace(calls(("transfer_to_sales", "{}")), echo={"server": "http://127.0.0.1/v1"}),
        calls(("fill_order", '{"item":"phone","colour":"red"}'), ("show_order", "{}"), ids="b"),
        "How many?",
        calls(("fill_order", '{"quantity":2,"name":"Ann"}'), ids="c"),
        "Shall I order?",
        calls(("place_order", "{}"), ids="d"),
        "Done.",
        calls(("transfer_to_refunds", "{}"), ids="e"),
        calls(("request_refund", '{"reason":"broken"}'), ids="f"),
        "It is on its way.",
        calls(("transfer_back", "{}"), ids="g"),
        calls(("transfer_back", "{}"), ids="h"),
        "Here I am again.",
        "You are welcome.",
    ]
    steps = [*shopping, *[Misbehaving()] * 200]
    options = {"context_window": 1500, "reserve": 200}
    async with await recorder.open(ScriptedModel(steps), **options) as session:
        asked = ["a red phone", "two, I am Ann", "yes", "it is broken", "back", "thanks", "who wins the election?"]
        for text in asked:
            await ask(session, text)
        await session.primitives.policy("no-politics").lift("ann")
        for question in [*SCRIPT, *SCRIPT[:3]]:
            await ask(session, question.text)
        return await recorder.log()


@pytest.fixture(scope="module")
def log() -> bytes:
    return asyncio.run(hold(Recorder(open_backend("memory:"), helpdesk)))


async def digest(log: bytes, path: Path, url: str) -> str:
    backend = open_backend(url)
    try:
        done = await again(log, path, helpdesk, backend)
    finally:
        await backend.close()
    assert done.same, str(done.differences[0])
    assert len(done.turns) == 30
    types = Counter(record.type for record in done.records)
    assert min(types[kind] for kind in ("handoff", "tool", "rescue", "rotate", "state", "memory", "policy")) > 0
    return hashlib.sha256(b"\n".join(record.line for record in done.records)).hexdigest()


def test_it_gives_the_same_bytes_each_time_without_a_network(log, tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_bytes(log)
    command = [sys.executable, "-c", CHILD, str(path), str(TIMES)]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split() == [asyncio.run(digest(log, path, "memory:"))] * TIMES


def test_it_gives_the_same_bytes_on_every_backend(log, backend_url, tmp_path):
    path = tmp_path / "log.jsonl"
    assert asyncio.run(digest(log, path, backend_url)) == asyncio.run(digest(log, path, "memory:"))


def test_what_was_exported_imported_and_exported_again_replays(log, tmp_path):
    async def run() -> bytes:
        path = tmp_path / "exported.jsonl"
        path.write_bytes(log)
        backend = open_backend("memory:")
        with open_transcript(path, "bob") as transcript:
            (incoming,) = transcript.sessions
            assert isinstance(incoming, SessionSnapshot)
            stored = await SessionWriter(backend, "bob", None).store(incoming)
        info = await find_session(backend, "bob", stored.info.id)
        assert info is not None
        exported = b"".join([line + b"\n" async for line in read_lines(backend, info)])
        assert (await again(exported, tmp_path / "again.jsonl", helpdesk)).same
        return exported

    assert asyncio.run(run()) == log
    assert Path(tmp_path / "again.jsonl").read_bytes() == log
