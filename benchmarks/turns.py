"""A whole turn, persistence included, against the bare client sending the same bytes and keeping nothing."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from itertools import count

from openai import AsyncOpenAI, AsyncStream
from swarmchat.backends import Backend
from swarmchat.swarm import Session, SessionSettings
from swarmchat.swarm.events import TurnEnded
from swarmchat.swarm.openai_model import OpenAIModel

from benchmarks.corpus import CLIENT, MODEL, store
from benchmarks.server import ANSWER, instant_server
from benchmarks.setup import Setup
from benchmarks.stores import open_stores
from benchmarks.tables import Table, times_table
from benchmarks.timing import Variant, interleave

TITLE = "A turn"
QUESTION = "And how long does it take the other way round?"
WINDOW = SessionSettings(context_window=10_000_000)
LONG = 100_000
_numbers = count()

Prepare = Callable[[], Awaitable[Session]]


async def run(setup: Setup) -> AsyncIterator[Table]:
    """Measure a turn by the length of its context, and by the length of the log."""
    with instant_server() as base_url:
        async with AsyncExitStack() as stack:
            stores = await stack.enter_async_context(open_stores(setup.folder))
            model = OpenAIModel(MODEL, base_url=base_url)
            stack.push_async_callback(model.close)
            client = await stack.enter_async_context(AsyncOpenAI(base_url=base_url, api_key="none", max_retries=0))
            for length in (10, 100, 1_000):
                variants = {"AsyncOpenAI.post": await _bare(client, await _fresh(stores["memory"], model, length))}
                for name, backend in stores.items():
                    variants[f"turn on {name}"] = _turn(_prepare(backend, model, length))
                title = f"A turn after {length:,} messages, all of them sent"
                measured = await interleave(variants, setup.rounds(40))
                yield times_table(title, measured, "AsyncOpenAI.post", aims={f"turn on {name}": 1.5 for name in stores})
            for name, backend in stores.items():
                yield await _by_length(name, backend, model, setup)


async def _by_length(name: str, backend: Backend, model: OpenAIModel, setup: Setup) -> Table:
    """Measure the same turn, with the same context, in a short and in a long log."""
    variants, sessions = {}, []
    for records in (10, LONG):
        await store(backend, f"turns-{records}", records, kept=9)
        session = await Session.open(backend, model, client=CLIENT, name=f"turns-{records}", settings=WINDOW)
        sessions.append(session)
        variants[f"{records:,} records"] = _growing(session)
    measured = await interleave(variants, setup.rounds(40))
    for session in sessions:
        await session.close()
    title = f"A turn on {name} by the length of the log"
    return times_table(title, measured, "10 records", aims={f"{LONG:,} records": 1.25})


def _prepare(backend: Backend, model: OpenAIModel, length: int) -> Prepare:
    async def prepare() -> Session:
        return await _fresh(backend, model, length)

    return prepare


async def _fresh(backend: Backend, model: OpenAIModel, length: int) -> Session:
    """Return a session whose next turn comes after ``length`` messages, and is not its first."""
    name = f"turn-{next(_numbers)}"
    await store(backend, name, length - 2)
    session = await Session.open(backend, model, client=CLIENT, name=name, settings=WINDOW)
    await _ask(session)
    return session


def _turn(prepare: Prepare) -> Variant:
    async def once() -> float:
        async with await prepare() as session:
            return await _ask(session)

    return once


def _growing(session: Session) -> Variant:
    async def once() -> float:
        return await _ask(session)

    return once


async def _ask(session: Session) -> float:
    started = time.perf_counter()
    async for event in session.run_turn(QUESTION):
        last = event
    seconds = time.perf_counter() - started
    assert isinstance(last, TurnEnded), last
    assert last.text == ANSWER
    return seconds


async def _bare(client: AsyncOpenAI, session: Session) -> Variant:
    """Return what posts the same request with the bare client and reads all of the answer."""
    async with session:
        message = session.record(
            "user", offset=0, turn=session.turns + 1, message={"role": "user", "content": QUESTION}
        )
        body = session.request(await session.prepare([message])).body({"stream": True})

    async def once() -> float:
        started = time.perf_counter()
        stream = await client.post(
            "/chat/completions",
            content=body,
            options={"headers": {"Content-Type": "application/json"}},
            cast_to=object,
            stream=True,
            stream_cls=AsyncStream[object],
        )
        chunks = [chunk async for chunk in stream]
        await stream.close()
        seconds = time.perf_counter() - started
        assert chunks
        return seconds

    return once
