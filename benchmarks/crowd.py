"""Many sessions at once, in one process and in many: what storing adds to their turns, and whether anybody waits."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import redis.asyncio as redis
from swarmchat.backends import Append, Backend, Put, open_backend
from swarmchat.swarm import Answer, ModelEvent, ModelRequest, Session, TurnEnded

from benchmarks.corpus import CLIENT, MODEL
from benchmarks.server import ANSWER
from benchmarks.setup import Setup
from benchmarks.stores import store_urls
from benchmarks.tables import Aim, Table, times_table
from benchmarks.timing import Measured, Variant, interleave
from benchmarks.turn_variants import QUESTION
from benchmarks.workers import worker

TITLE = "Many sessions at once"
SESSIONS, QUICK_SESSIONS = 200, 40
PROCESSES, QUICK_PROCESSES = 50, 6
_TURNS = 5
"""Turns of each process in a round."""
_COMMITS, _FLOOR, _OURS = "the same commits alone", "turns in memory, the same commits", "swarmchat"
_LIMIT = 1.5
_APART = "swarmchat, one after the other"
_BARE = """`the same commits` stores the bytes of the commits of a turn, each in a transaction of its own, with the bare
`sqlite3` (WAL, the same `synchronous`; in a thread, so that no session waits for the disk of another) or with redis-py
(a pipeline in MULTI, all at once), and looks into the mailbox as a turn does. A turn also makes a request and reads
its answer, whatever stores it: the floor is a turn of as many sessions on a store in memory (see *A turn* for what
that costs), and the same commits then. The commits alone are a tenth to a quarter of a turn, so that no turn can come
near 1.5 × of them."""
_ABOUT = f"""Each of the sessions is asked at the same moment, and its model, in the same process, answers at once:
processor time of the process, a session. {_BARE} That all are asked at once adds nothing: see *one after the other*."""
_ABOUT_PROCESSES = f"""Each process has a session of its own and runs {_TURNS} turns, all processes at the same
moment: processor time of the process, a turn. {_BARE} All variants run in the same processes, which share the cores."""

Commit = Sequence[tuple[str, tuple[bytes, ...], bool]]
"""The key, the values, and whether they are appended: for each write of a commit."""
_numbers = count()


class _Instant:
    """A model that answers at once, with the same text each time."""

    name = MODEL
    context_window = 32_000

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Answer."""
        yield Answer(ANSWER)

    async def close(self) -> None:
        """Close nothing."""


async def run(setup: Setup) -> AsyncIterator[Table]:
    """Measure sessions in one process on disk and on Redis, then processes on one Redis."""
    number = QUICK_SESSIONS if setup.quick else SESSIONS
    with store_urls(setup.folder) as urls:
        for name in ("disk", "redis"):
            yield await _at_once(name, urls[name], number, setup)
        yield await _processes(urls["redis"], QUICK_PROCESSES if setup.quick else PROCESSES, setup)


async def _at_once(name: str, url: str, number: int, setup: Setup) -> Table:
    backend, memory = open_backend(url), open_backend("memory:")
    async with AsyncExitStack() as stack:
        sessions = [await stack.enter_async_context(await _open(backend)) for _ in range(number)]
        in_memory = [await stack.enter_async_context(await _open(memory)) for _ in range(number)]
        commits = await _commits_of(backend, sessions[0])
        bare = await stack.enter_async_context(_bare(name, url, setup.folder))

        async def one_by_one() -> None:
            for session in sessions:
                await _ask(session)

        async def floor(session: Session) -> None:
            await _ask(session)
            await bare(commits, f"bare-{next(_numbers)}")

        works: dict[str, Callable[[], Awaitable[object]]] = {
            _COMMITS: lambda: asyncio.gather(*(bare(commits, f"bare-{next(_numbers)}") for _ in sessions)),
            _FLOOR: lambda: asyncio.gather(*map(floor, in_memory)),
            _OURS: lambda: asyncio.gather(*map(_ask, sessions)),
            _APART: one_by_one,
        }
        measured = await interleave({name: _cost(work, number) for name, work in works.items()}, setup.rounds(10))
    await backend.close()
    title = f"{number} sessions at once on {name}"
    table = times_table(title, measured, _FLOOR, about=_ABOUT, aims={_OURS: _LIMIT})
    for other, limit in ((_COMMITS, _LIMIT), (_APART, 1.1)):
        table.aims.append(Aim(f"{title}, × {other}", measured[_OURS].ratio(measured[other]), limit))
    return table


def _cost(work: Callable[[], Awaitable[object]], number: int) -> Variant:
    """Return what runs ``work`` and takes its processor seconds, divided by ``number``."""

    async def once() -> float:
        started = time.process_time()
        await work()
        return (time.process_time() - started) / number

    return once


async def _processes(url: str, number: int, setup: Setup) -> Table:
    async with AsyncExitStack() as stack:
        workers = [await stack.enter_async_context(worker("benchmarks.crowd:process", url=url)) for _ in range(number)]

        async def each() -> list[float]:
            return [seconds for [times] in await asyncio.gather(*(one.run() for one in workers)) for seconds in times]

        # Each process runs the variants in turns; the first run of each is not counted.
        measured: dict[str, list[list[float]]] = {_COMMITS: [], _FLOOR: [], _OURS: []}
        for _ in range(setup.rounds(10) + 1):
            for rounds in measured.values():
                rounds.append(await each())
    results = {name: Measured(rounds[1:]) for name, rounds in measured.items()}
    title = f"{number} processes on one Redis"
    return times_table(title, results, _FLOOR, about=_ABOUT_PROCESSES, aims={_OURS: _LIMIT})


@asynccontextmanager
async def process(url: str) -> AsyncIterator[Callable[[], Awaitable[list[float]]]]:
    """Give what runs the bare commits of some turns, then turns in memory with such commits, then turns."""
    backend, memory = open_backend(url), open_backend("memory:")
    async with (
        await _open(backend) as session,
        await _open(memory) as in_memory,
        _bare("redis", url, Path()) as bare,
    ):
        commits = await _commits_of(backend, session)
        runs = count()

        async def once() -> list[float]:
            variant = next(runs) % 3
            times = []
            for _ in range(_TURNS):
                started = time.process_time()
                if variant:
                    await _ask(session if variant == 2 else in_memory)
                if variant < 2:
                    await bare(commits, session.info.id)
                times.append(time.process_time() - started)
            return times

        yield once
    await backend.close()


async def _open(backend: Backend) -> Session:
    session = await Session.open(backend, _Instant(), client=CLIENT)
    await _ask(session)
    return session


async def _ask(session: Session) -> None:
    async for event in session.run_turn(QUESTION):
        last = event
    assert isinstance(last, TurnEnded), last


async def _commits_of(backend: Any, session: Session) -> list[Commit]:
    """Return what a turn of ``session`` commits."""
    commits: list[Commit] = []
    commit = backend.commit

    async def noted(*writes: Any, **options: Any) -> Any:
        values = [(write.key, write.values, True) for write in writes if isinstance(write, Append)]
        values += [(write.key, (write.value,), False) for write in writes if isinstance(write, Put)]
        commits.append(values)
        return await commit(*writes, **options)

    backend.commit = noted
    await _ask(session)
    backend.commit = commit
    assert len(commits) == 2, commits
    return commits


@asynccontextmanager
async def _bare(name: str, url: str, folder: Path) -> AsyncIterator[Callable[[list[Commit], str], Awaitable[None]]]:
    """Give what stores commits without us, under keys that begin with a text."""
    if name == "disk":
        places = count()

        def opened() -> sqlite3.Connection:
            base = sqlite3.connect(folder / "bare.sqlite", isolation_level=None)
            base.execute("PRAGMA journal_mode = WAL")
            base.execute("PRAGMA synchronous = 1")
            columns = "key TEXT, place INTEGER, value BLOB, PRIMARY KEY (key, place)"
            base.execute(f"CREATE TABLE lists ({columns}) WITHOUT ROWID")
            return base

        def look(base: sqlite3.Connection, key: str) -> list[Any]:
            return base.execute("SELECT value FROM lists WHERE key = ?", (key,)).fetchall()

        def write(base: sqlite3.Connection, commit: Commit, start: str) -> None:
            base.execute("BEGIN IMMEDIATE")
            for key, values, appends in commit:
                rows = [(start + key, next(places) if appends else 0, value) for value in values]
                base.executemany("INSERT OR REPLACE INTO lists VALUES (?, ?, ?)", rows)
            base.execute("COMMIT")

        with ThreadPoolExecutor(1) as thread:
            loop = asyncio.get_running_loop()
            base = await loop.run_in_executor(thread, opened)

            async def to_disk(commits: list[Commit], start: str) -> None:
                await loop.run_in_executor(thread, look, base, f"{start}mailbox")
                for commit in commits:
                    await loop.run_in_executor(thread, write, base, commit, start)

            yield to_disk
            await loop.run_in_executor(thread, base.close)
        return
    client = redis.Redis.from_url(urlsplit(url)._replace(path="/9").geturl())

    async def to_redis(commits: list[Commit], start: str) -> None:
        await client.lrange(f"{start}mailbox", 0, -1)
        for commit in commits:
            async with client.pipeline(transaction=True) as pipeline:
                for key, values, appends in commit:
                    if appends:
                        pipeline.rpush(start + key, *values)
                    else:
                        pipeline.set(start + key, values[0])
                await pipeline.execute()

    yield to_redis
    await client.aclose()
