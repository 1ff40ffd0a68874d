"""Many sessions and long sessions: resume, a turn's commits, list and search, and the cost of opening a long log."""

import json
import re
import time
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import cast
from urllib.parse import urlsplit

from swarmchat.backends import Append, Backend, Write, open_backend
from swarmchat.swarm import (
    ScriptedModel,
    Session,
    SessionInfo,
    SessionSettings,
    counter_for,
    list_sessions,
    search_sessions,
)
from swarmchat.swarm.persistence import keys

from benchmarks.corpus import CLIENT, MODEL, TIME, conversation, store
from benchmarks.server import ANSWER
from benchmarks.setup import Setup
from benchmarks.stores import store_urls
from benchmarks.tables import Table, times_table
from benchmarks.timing import Variant, interleave, timed
from benchmarks.turn_variants import QUESTION

TITLE = "Sessions"
NUMBERS = (1, 100, 10_000)
RECORDS = 10
SHORT, LONG, QUICK_LONG = 1_000, 100_000, 20_000
FULL = 5_000
KEPT = 9
_CHUNK = 500
_NOWHERE = re.compile("stands in no session", re.IGNORECASE)
_LIST = """`scan` is the backend alone, giving the same entries; `scan, json` decodes each of them and drops it. Memory
is the most that Python held at once."""
_SEARCH = """For a text that is nowhere, so all is read. `read, json` takes the same lines from the backend, decodes
each and drops it. Memory is the most that Python held at once."""


async def run(setup: Setup) -> AsyncIterator[Table]:
    """Measure each backend by the number of a client's sessions, then by the length of one session's log."""
    counter_for(MODEL)
    with store_urls(setup.folder) as urls:
        for name, url in urls.items():
            async with AsyncExitStack() as stack:
                stores = {}
                for place, number in enumerate(setup.sizes(NUMBERS)):
                    stores[number] = backend = open_backend(_apart(name, url, place))
                    stack.push_async_callback(backend.close)
                    await fill(backend, number)
                yield await _turns(f"Resume on {name}, with its first context", stores, _resume, setup.rounds(20))
                yield await _turns(f"A turn's commits on {name}", stores, _append, setup.rounds(20))
                number = max(stores)
                yield await _listing(name, stores[number], number, setup)
                yield await _searching(name, stores[number], number, setup)
        for name in ("disk", "redis"):
            backend = open_backend(_apart(name, urls[name], len(NUMBERS)))
            async for table in _by_length(name, backend, setup):
                yield table
            await backend.close()


def _apart(name: str, url: str, place: int) -> str:
    """Return the URL of another store of the same kind: what else lies in one is not to count."""
    if name == "redis":
        return urlsplit(url)._replace(path=f"/{place}").geturl()
    return f"{url}-{place}" if name == "disk" else url


async def fill(backend: Backend, number: int) -> None:
    """Store ``number`` sessions of one client."""
    lines = tuple(record.line for record in conversation(RECORDS))
    for first in range(0, number, _CHUNK):
        writes: list[Write] = []
        for place in range(first, min(number, first + _CHUNK)):
            name = f"s{place}"
            info = SessionInfo(
                name, name, CLIENT, TIME, TIME, "How long does a letter take?", model=MODEL, turns=5, highest_turn=5
            )
            writes += [info.put(None), Append(keys.session_log(CLIENT, info.id), lines)]
        await backend.commit(*writes)


async def _turns(title: str, stores: dict[int, Backend], make: Callable[[Backend], Variant], rounds: int) -> Table:
    variants = {_sessions(number): make(backend) for number, backend in stores.items()}
    base, *others = variants
    measured = await interleave(variants, rounds)
    return times_table(title, measured, base, aims=dict.fromkeys(others, 1.25))


def _resume(backend: Backend) -> Variant:
    async def once() -> float:
        started = time.perf_counter()
        session = await _open(backend, "s0")
        await session.context()
        seconds = time.perf_counter() - started
        await session.close()
        return seconds

    return _repeated(once)


def _append(backend: Backend) -> Variant:
    """Return what runs turns whose answers are there at once."""

    async def once() -> list[float]:
        async with await _open(backend, "s0", answers=5) as session:
            return [await timed(_ask(session)) for _ in range(5)]

    return once


async def _ask(session: Session) -> None:
    async for _ in session.run_turn(QUESTION):
        pass


async def _listing(name: str, backend: Backend, number: int, setup: Setup) -> Table:
    async def scan() -> None:
        async for _ in backend.scan(keys.sessions(CLIENT)):
            pass

    async def decode() -> None:
        async for _, value in backend.scan(keys.sessions(CLIENT)):
            json.loads(value)

    async def ours() -> None:
        assert len(await list_sessions(backend, CLIENT)) == number

    calls = {"scan": scan, "scan, json": decode, "list": ours}
    title = f"List of {_sessions(number)} on {name}"
    return await _compare(title, calls, "scan, json", {"list": 2}, setup.rounds(15), _times(number), _LIST)


async def _searching(name: str, backend: Backend, number: int, setup: Setup) -> Table:
    infos = await list_sessions(backend, CLIENT)

    async def decode() -> None:
        for info in infos:
            for line in await backend.slice(keys.session_log(CLIENT, info.id), 0):
                json.loads(line)

    async def ours() -> None:
        assert not [hits async for _, hits in search_sessions(backend, infos, _NOWHERE) if hits]

    calls = {"read, json": decode, "search": ours}
    title = f"Search in {_sessions(number)} of {RECORDS} records on {name}"
    return await _compare(title, calls, "read, json", {"search": 4}, setup.rounds(2), _times(number), _SEARCH)


async def _compare(
    title: str,
    calls: Mapping[str, Callable[[], Awaitable[None]]],
    base: str,
    aims: dict[str, float],
    rounds: int,
    times: int,
    about: str,
) -> Table:
    """Return a table of the times of ``calls``, and of the memory that one more run takes."""
    variants = {name: _repeated(_timed(call), times) for name, call in calls.items()}
    table = times_table(title, await interleave(variants, rounds, warm=False), base, about=about, aims=aims)
    rows = []
    for row, call in zip(table.rows, calls.values(), strict=True):
        tracemalloc.start()
        await call()
        rows.append((*row, f"{tracemalloc.get_traced_memory()[1] / 2**20:,.1f}"))
        tracemalloc.stop()
    return Table(title, (*table.head, "MB"), rows, about, table.aims)


def _times(number: int) -> int:
    """Return how often to do in one round what takes longer the more sessions there are."""
    return max(1, 500 // number)


def _repeated(once: Variant, times: int = 5) -> Variant:
    async def repeated() -> list[float]:
        return [cast("float", await once()) for _ in range(times)]

    return repeated


def _timed(call: Callable[[], Awaitable[None]]) -> Variant:
    async def once() -> float:
        return await timed(call())

    return once


async def _by_length(name: str, backend: Backend, setup: Setup) -> AsyncIterator[Table]:
    """Measure opening: the same context, and a full window, from a short and from a long log."""
    long = QUICK_LONG if setup.quick else LONG
    await store(backend, "short-cut", SHORT, kept=KEPT)
    await store(backend, "long-cut", long, kept=KEPT)
    variants = {
        f"{SHORT:,} records": _opening(backend, "short-cut", kept=KEPT),
        f"{long:,} records": _opening(backend, "long-cut", kept=KEPT),
    }
    title = f"Opening on {name}: a context of {KEPT} messages"
    yield await _lengths(title, variants, setup.rounds(10))
    await store(backend, "short-full", FULL)
    await store(backend, "long-full", long)
    for window in setup.sizes((32_000, 128_000), quick=1):
        variants = {
            f"{FULL:,} records": _opening(backend, "short-full", window=window),
            f"{long:,} records": _opening(backend, "long-full", window=window),
        }
        title = f"Opening on {name}: a full window of {window:,} tokens"
        yield await _lengths(title, variants, setup.rounds(5))


async def _lengths(title: str, variants: dict[str, Variant], rounds: int) -> Table:
    base, *others = variants
    measured = await interleave({name: _repeated(once) for name, once in variants.items()}, rounds)
    return times_table(title, measured, base, aims=dict.fromkeys(others, 1.25))


def _opening(backend: Backend, name: str, *, kept: int | None = None, window: int = 32_000) -> Variant:
    async def once() -> float:
        started = time.perf_counter()
        session = await _open(backend, name, window=window)
        context = await session.context()
        seconds = time.perf_counter() - started
        assert kept in (None, len(context.groups)), len(context.groups)
        await session.close()
        return seconds

    return once


async def _open(backend: Backend, name: str, *, answers: int = 0, window: int = 32_000) -> Session:
    model = ScriptedModel([ANSWER] * answers, name=MODEL, context_window=window)
    return await Session.open(backend, model, client=CLIENT, name=name, settings=SessionSettings())


def _sessions(number: int) -> str:
    return f"{number:,} session{'s' * (number > 1)}"
