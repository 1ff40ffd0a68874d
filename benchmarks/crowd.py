"""Many sessions at once, in one process and in many: compared with the same commits without swarmchat, and whether any
session waits."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
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
_BARE, _OURS = "the same commits", "swarmchat"
_LIMIT = 1.5
_APART = "swarmchat, one after the other"
_ABOUT = """Each of the sessions is asked at the same moment, and its model, in the same process, answers at once:
processor time of the process, a session. `the same commits` stores the bytes of the same commits, each in a transaction
of its own, with the bare `sqlite3` (WAL, the same `synchronous`) or with redis-py (a pipeline in MULTI, all at once).
What ours takes more is the work for the turns themselves, 1.3 ms each on a store in memory, and the way of each commit
to the thread of SQLite and back, 0.2 ms. That they are asked at once adds nothing: see *one after the other*."""
_ABOUT_PROCESSES = f"""Each process has a session of its own and runs {_TURNS} turns, all processes at the same
moment; the time of a turn, as the process sees it. Both variants run in the same processes, which share the cores."""

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
    backend = open_backend(url)
    async with AsyncExitStack() as stack:
        sessions = [await stack.enter_async_context(await _open(backend)) for _ in range(number)]
        commits = await _commits_of(backend, sessions[0])
        bare = await stack.enter_async_context(_bare(name, url, setup.folder))

        async def at_once() -> float:
            started = time.process_time()
            await asyncio.gather(*map(_ask, sessions))
            return (time.process_time() - started) / number

        async def one_by_one() -> float:
            started = time.process_time()
            for session in sessions:
                await _ask(session)
            return (time.process_time() - started) / number

        async def without() -> float:
            started = time.process_time()
            await asyncio.gather(*(bare(commits, f"bare-{next(_numbers)}") for _ in sessions))
            return (time.process_time() - started) / number

        variants: dict[str, Variant] = {_BARE: without, _OURS: at_once, _APART: one_by_one}
        measured = await interleave(variants, setup.rounds(10))
    await backend.close()
    title = f"{number} sessions at once on {name}"
    table = times_table(title, measured, _BARE, about=_ABOUT, aims={_OURS: _LIMIT})
    table.aims.append(Aim(f"{title}, × {_APART}", measured[_OURS].ratio(measured[_APART]), 1.1))
    return table


async def _processes(url: str, number: int, setup: Setup) -> Table:
    async with AsyncExitStack() as stack:
        workers = [await stack.enter_async_context(worker("benchmarks.crowd:process", url=url)) for _ in range(number)]

        async def each() -> list[float]:
            return [seconds for [times] in await asyncio.gather(*(one.run() for one in workers)) for seconds in times]

        # Each process takes the two in turns; the first run of each is not counted.
        measured: dict[str, list[list[float]]] = {_BARE: [], _OURS: []}
        for _ in range(setup.rounds(10) + 1):
            for rounds in measured.values():
                rounds.append(await each())
    results = {name: Measured(rounds[1:]) for name, rounds in measured.items()}
    title = f"{number} processes on one Redis"
    return times_table(title, results, _BARE, about=_ABOUT_PROCESSES, aims={_OURS: _LIMIT})


@asynccontextmanager
async def process(url: str) -> AsyncIterator[Callable[[], Awaitable[list[float]]]]:
    """Give what runs turns, and the next time the bare commits of as many."""
    backend = open_backend(url)
    async with await _open(backend) as session, _bare("redis", url, Path()) as bare:
        commits = await _commits_of(backend, session)
        runs = count()

        async def once() -> list[float]:
            is_ours = next(runs) % 2
            times = []
            for _ in range(_TURNS):
                started = time.perf_counter()
                await (_ask(session) if is_ours else bare(commits, session.info.id))
                times.append(time.perf_counter() - started)
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
        base = sqlite3.connect(folder / "bare.sqlite", isolation_level=None)
        base.execute("PRAGMA journal_mode = WAL")
        base.execute("PRAGMA synchronous = 1")
        base.execute("CREATE TABLE lists (key TEXT, place INTEGER, value BLOB, PRIMARY KEY (key, place)) WITHOUT ROWID")
        places = count()

        async def to_disk(commits: list[Commit], start: str) -> None:
            for commit in commits:
                base.execute("BEGIN IMMEDIATE")
                for key, values, appends in commit:
                    rows = [(start + key, next(places) if appends else 0, value) for value in values]
                    base.executemany("INSERT OR REPLACE INTO lists VALUES (?, ?, ?)", rows)
                base.execute("COMMIT")
                await asyncio.sleep(0)

        yield to_disk
        base.close()
        return
    client = redis.Redis.from_url(urlsplit(url)._replace(path="/9").geturl())

    async def to_redis(commits: list[Commit], start: str) -> None:
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
