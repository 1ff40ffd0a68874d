"""The turns to compare, run in workers: the bare client without storage, and ours with all of its storage."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count

from openai import AsyncOpenAI, AsyncStream
from swarmchat.backends import Backend, open_backend
from swarmchat.swarm import OpenAIModel, Session, SessionSettings, TurnEnded

from benchmarks.corpus import CLIENT, MODEL, conversation, store
from benchmarks.server import ANSWER

QUESTION = "And how long does it take the other way round?"
WINDOW = SessionSettings(context_window=10_000_000)
Once = Callable[[], Awaitable[float]]
_numbers = count()


def growth(length: int) -> int:
    """Return after how many turns a session of ``length`` messages is begun anew, so that it stays about so long."""
    return max(5, length // 20)


@asynccontextmanager
async def ours(base_url: str, backend: str, length: int, kept: int | None = None) -> AsyncIterator[Once]:
    """Give a turn of ours after ``length`` messages; with ``kept``, so many records of which so many are sent."""
    stored = open_backend(backend)
    model = OpenAIModel(MODEL, base_url=base_url)
    session = await _open(stored, model, length, kept)
    turns = 0

    async def once() -> float:
        nonlocal session, turns
        turns += 1
        if kept is None and turns % growth(length) == 0:
            await session.close()
            session = await _open(stored, model, length, kept)
        return await _ask(session)

    yield once
    await session.close()
    await model.close()
    await stored.close()


async def _open(backend: Backend, model: OpenAIModel, length: int, kept: int | None) -> Session:
    """Return a session whose next turn comes after ``length`` messages, and is not its first."""
    name = f"turn-{next(_numbers)}-{length}-{time.time_ns()}"
    await store(backend, name, length - 2, kept=kept)
    session = await Session.open(backend, model, client=CLIENT, name=name, settings=WINDOW)
    await _ask(session)
    return session


async def _ask(session: Session) -> float:
    started = time.perf_counter()
    async for event in session.run_turn(QUESTION):
        last = event
    seconds = time.perf_counter() - started
    assert isinstance(last, TurnEnded), last
    assert last.text == ANSWER
    return seconds


@asynccontextmanager
async def post(base_url: str, length: int) -> AsyncIterator[Once]:
    """Give ``AsyncOpenAI.post`` with the very bytes that a turn of ours sends, its answer read and dropped."""
    backend, model = open_backend("memory:"), OpenAIModel(MODEL, base_url=base_url)
    async with await _open(backend, model, length, None) as session:
        assert session.conversation.last_request
        body = session.conversation.last_request.body({"stream": True})
    await model.close()
    async with AsyncOpenAI(base_url=base_url, api_key="none", max_retries=0) as client:

        async def once() -> float:
            started = time.perf_counter()
            await send(client, body)
            return time.perf_counter() - started

        yield once


async def send(client: AsyncOpenAI, body: bytes) -> None:
    """Post the bytes of a request, read the streamed answer, and drop it."""
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
    assert chunks


@asynccontextmanager
async def create(base_url: str, length: int) -> AsyncIterator[Once]:
    """Give ``chat.completions.create`` with as many messages, its answer streamed, read and dropped."""
    messages = [record.data["message"] for record in conversation(length)]
    messages.append({"role": "user", "content": QUESTION})
    async with AsyncOpenAI(base_url=base_url, api_key="none", max_retries=0) as client:

        async def once() -> float:
            started = time.perf_counter()
            stream = await client.chat.completions.create(model=MODEL, messages=messages, stream=True)
            chunks = [chunk async for chunk in stream]
            seconds = time.perf_counter() - started
            assert chunks
            return seconds

        yield once
