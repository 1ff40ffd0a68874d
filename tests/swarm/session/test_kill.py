"""kill -9 at any instant: what was acknowledged is there, and the next request is valid."""

import asyncio
import os
import random
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import tasker
import warm
from chat_rules import check_messages
from chats import open_session, say, sent
from storage_writer import change, opened
from swarmchat.backends import open_backend
from swarmchat.swarm.models.scripted import ScriptedModel
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.records import parse_record

TALKER = Path(__file__).parents[2] / "helpers" / "talker.py"
READER = Path(__file__).parents[2] / "helpers" / "mail_reader.py"
TASKER = Path(__file__).parents[2] / "helpers" / "tasker.py"
WRITER = Path(__file__).parents[2] / "helpers" / "storage_writer.py"
KILLS = int(os.environ.get("SWARMCHAT_TEST_KILLS", "4"))


@contextmanager
def talkers(url: str, program: Path = TALKER, *arguments: str) -> Iterator[Callable[[int], int]]:
    """Yield a function that lets a talker acknowledge so often, kills it, and returns what it last acknowledged."""
    process = warm.start_python(program, url, *arguments, stdin=subprocess.PIPE)
    stdin, stdout = process.stdin, process.stdout
    assert stdin is not None
    assert stdout is not None

    def talk_and_die(acknowledgements: int) -> int:
        stdin.write("\n")
        stdin.flush()
        last, child = -1, 0
        while acknowledgements > 0 or not child:
            line = stdout.readline()
            if line.startswith(("talker ", "writer ")):
                child = int(line.split()[1])
            else:
                last = max(last, int(line))
                acknowledgements -= 1
        os.kill(child, signal.SIGKILL)
        return max([last, *(int(line) for line in iter(stdout.readline, "dead\n"))])

    try:
        yield talk_and_die
    finally:
        _, error_output = process.communicate(timeout=60)
    assert (process.returncode, error_output) == (0, "")


async def check(url: str, acknowledged: int) -> None:
    backend = open_backend(url)
    lines = await backend.slice(keys.session_log("ann", "s"), 0)
    assert len(lines) > acknowledged
    assert [parse_record(line).seq for line in lines] == list(range(len(lines)))
    model = ScriptedModel(["fine"], context_window=2000)
    async with await open_session(backend, model) as session:
        assert not session.damaged
        await say(session, "and now?")
    assert check_messages(sent(model)) is None
    assert sent(model)[-1] == {"role": "user", "content": "and now?"}
    await backend.close()


@pytest.mark.parametrize("kind", ["disk", "redis"])
def test_killed_at_random(kind, tmp_path, request):
    url = f"disk:{tmp_path}" if kind == "disk" else request.getfixturevalue("redis_url")
    rng = random.Random(20260102)
    with talkers(url) as talk_and_die:
        for _ in range(KILLS):
            acknowledged = talk_and_die(rng.randrange(1, 12))
            asyncio.run(check(url, acknowledged))


@pytest.mark.parametrize("kind", ["disk", "redis"])
def test_whoever_reads_a_storage_sees_all_of_a_change_or_nothing(kind, tmp_path, request):
    url = f"disk:{tmp_path}" if kind == "disk" else request.getfixturevalue("redis_url")
    rng = random.Random(20260102)

    async def kill_writers(talk_and_die: Callable[[int], int]) -> None:
        backend = open_backend(url)
        reader = opened(backend)
        items: dict[str, str] = {}
        for _ in range(KILLS):
            acknowledged = talk_and_die(rng.randrange(1, 30))
            for number in range(acknowledged + 1):
                items = change(number, items)
            found = dict(await opened(backend).items())
            assert found in (items, change(acknowledged + 1, items))
            # One that goes on from what it knew sees what one does that reads everything.
            assert dict(await reader.items()) == found
            assert await reader.search("change", 9, -1) == await opened(backend).search("change", 9, -1)
            items = found
        await backend.close()

    with talkers(url, WRITER) as talk_and_die:
        asyncio.run(kill_writers(talk_and_die))


@pytest.mark.parametrize("kind", ["disk", "redis"])
def test_each_message_from_outside_arrives_once(kind, tmp_path, request):
    url = f"disk:{tmp_path / 'store'}" if kind == "disk" else request.getfixturevalue("redis_url")
    told = tmp_path / "told"
    rng = random.Random(20260102)

    async def begin() -> None:
        backend = open_backend(url)
        async with await open_session(backend, ScriptedModel(["hi"])) as session:
            await say(session, "hello")
        await backend.close()

    async def finish() -> None:
        backend = open_backend(url)
        model = ScriptedModel(["fine"] * 1000)
        async with await open_session(backend, model) as session:
            async for _ in session.receive():
                pass
            await say(session, "and now?")
        assert check_messages(sent(model)) is None
        records = [parse_record(line) for line in await backend.slice(keys.session_log("ann", "s"), 0)]
        arrived = [record.data["text"] for record in records if record.type == "mail"]
        assert len(arrived) == len(set(arrived))
        assert set(arrived) >= set(told.read_text().split())
        woken = [record.seq for record in records if record.data.get("wake")]
        requests = [record.seq for record in records if record.type == "request"]
        # Each reaction follows its message, before the next one that wakes.
        assert all(any(a < seq < b for seq in requests) for a, b in zip(woken, [*woken[1:], 10**9], strict=True))
        await backend.close()

    asyncio.run(begin())
    with talkers(url, READER, str(told)) as talk_and_die:
        for _ in range(KILLS // 2):
            talk_and_die(rng.randrange(1, 6))
    asyncio.run(finish())


@pytest.mark.parametrize("kind", ["disk", "redis"])
def test_each_task_in_the_background_ends_once_and_none_runs_again(kind, tmp_path, request):
    url = f"disk:{tmp_path / 'store'}" if kind == "disk" else request.getfixturevalue("redis_url")
    started = tmp_path / "started"
    rng = random.Random(20260102)

    async def finish() -> None:
        backend = open_backend(url)
        model = ScriptedModel(["fine"] * 1000)
        async with await open_session(backend, model, swarm=tasker.SWARM) as session:
            assert not session.tasks.running
            async for _ in session.receive():
                pass
            await say(session, "and now?")
        assert all(check_messages(request.decoded_messages()) is None for request in model.requests)
        records = [parse_record(line) for line in await backend.slice(keys.session_log("ann", "s"), 0)]
        assert [record.seq for record in records] == [*range(len(records))]
        begun = [record.task for record in records if record.type == "task_start"]
        assert len(begun) == len(set(begun))
        assert set(started.read_text().split()) <= set(begun)
        ended = [record.task for record in records if record.type == "task_end"]
        told = [record.data["sender"].split()[-1] for record in records if record.type == "mail"]
        assert sorted(ended) == sorted(told) == sorted(begun)
        asked = [record.task for record in records if record.type == "task" and record.data["entry"] == "request"]
        assert len(asked) == len(set(asked))
        await backend.close()

    with talkers(url, TASKER, str(started)) as talk_and_die:
        for _ in range(KILLS // 4):
            talk_and_die(rng.randrange(1, 6))
    asyncio.run(finish())
