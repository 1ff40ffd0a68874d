"""The renderers to compare, run in workers on a pseudo-terminal that another process reads."""

import asyncio
import io
import os
import pty
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from itertools import count
from subprocess import DEVNULL, Popen
from typing import TextIO

from openai import AsyncOpenAI
from rich.console import Console
from rich.live import Live
from rich.markdown import Markdown
from swarmchat.backends import open_backend
from swarmchat.cli.render.renderer import Renderer
from swarmchat.swarm import Event, OpenAIModel, Session, TextDelta
from typing_extensions import Buffer  # of the standard library since Python 3.12

from benchmarks.answers import answer, pieces
from benchmarks.corpus import CLIENT, MODEL
from benchmarks.rendering import FRAMES, SPEED

_LINES = 24
_TICK = 0.001
Drawn = Callable[[], Awaitable[tuple[float, int]]]
Late = Callable[[], Awaitable[list[float]]]


class _Counted(io.FileIO):
    """A file that counts what is written to it."""

    written = 0

    def write(self, data: Buffer) -> int:
        """Write as FileIO does."""
        self.written += memoryview(data).nbytes
        return super().write(data)


@contextmanager
def terminal(columns: int) -> Iterator[tuple[TextIO, _Counted]]:
    """Give a pseudo-terminal to write to; ``cat`` reads what it shows."""
    os.environ |= {"COLUMNS": str(columns), "LINES": str(_LINES), "TERM": "xterm-256color"}
    master, slave = pty.openpty()
    with Popen(["cat"], stdin=master, stdout=DEVNULL, stderr=DEVNULL) as reader:
        os.close(master)
        raw = _Counted(slave, "wb")
        with io.TextIOWrapper(io.BufferedWriter(raw), "utf-8", newline="") as stream:
            yield stream, raw
        reader.wait()


@asynccontextmanager
async def swarmchat(columns: int, length: int, size: int) -> AsyncIterator[Drawn]:
    """Give what draws the answer as a chat does."""
    text = pieces(answer(length), size)
    with terminal(columns) as (stream, raw):

        async def once() -> tuple[float, int]:
            now = 0.0

            async def events() -> AsyncGenerator[Event, None]:
                nonlocal now
                drawn = 0
                for piece in text:
                    yield TextDelta(piece, "assistant")
                    now += len(piece) / SPEED
                    if now * FRAMES >= drawn + 1:
                        drawn = int(now * FRAMES)
                        renderer.tick()

            before, began = raw.written, time.process_time()
            renderer = Renderer(stream, stream, chat=True, colour=True, live=True, clock=lambda: now)
            await renderer.follow(events(), "assistant")
            renderer.end_turn()
            assert raw.written - before > 2 * length, "the answer was not drawn"
            return time.process_time() - began, raw.written - before

        yield once


@asynccontextmanager
async def rich_once(columns: int, length: int) -> AsyncIterator[Drawn]:
    """Give what draws the whole answer at its end."""
    text = answer(length)
    with terminal(columns) as (stream, raw):
        console = _console(stream, columns)

        async def once() -> tuple[float, int]:
            before, began = raw.written, time.process_time()
            console.print(Markdown(text))
            return time.process_time() - began, raw.written - before

        yield once


@asynccontextmanager
async def rich_live(columns: int, length: int, size: int, *, each: bool) -> AsyncIterator[Drawn]:
    """Give what draws all that has come, ``each`` time that something comes or by the clock."""
    text = pieces(answer(length), size)
    with terminal(columns) as (stream, raw):
        console = _console(stream, columns)

        async def once() -> tuple[float, int]:
            now, drawn, buffer = 0.0, 0, ""
            before, began = raw.written, time.process_time()
            with Live(console=console, auto_refresh=False) as live:
                for piece in text:
                    buffer += piece
                    now += len(piece) / SPEED
                    if each or now * FRAMES >= drawn + 1:
                        drawn = int(now * FRAMES)
                        live.update(Markdown(buffer), refresh=True)
                live.update(Markdown(buffer), refresh=True)
            return time.process_time() - began, raw.written - before

        yield once


@asynccontextmanager
async def chat_lag(base_url: str, backend: str) -> AsyncIterator[Late]:
    """Give a turn of a chat that is drawn; it returns how late a task woke meanwhile."""
    stored, model, numbers = open_backend(backend), OpenAIModel(MODEL, base_url=base_url), count()
    with terminal(80) as (stream, _):
        async with await Session.open(stored, model, client=CLIENT, name="lag") as session:

            async def turn() -> None:
                renderer = Renderer(stream, stream, chat=True, colour=True, live=True)
                await renderer.follow(session.run_turn(f"question {next(numbers)}"), "assistant")

            async def once() -> list[float]:
                return await _lateness(turn())

            yield once
    await model.close()
    await stored.close()


@asynccontextmanager
async def client_lag(base_url: str) -> AsyncIterator[Late]:
    """Give a stream that is read with the bare client and printed; it returns how late a task woke meanwhile."""
    async with AsyncOpenAI(base_url=base_url, api_key="none") as client:
        with terminal(80) as (stream, _):

            async def read() -> None:
                chunks = await client.chat.completions.create(
                    model=MODEL, messages=[{"role": "user", "content": "question"}], stream=True
                )
                async for chunk in chunks:
                    print(chunk.choices[0].delta.content or "", end="", file=stream, flush=True)

            async def once() -> list[float]:
                return await _lateness(read())

            yield once


async def _lateness(work: Awaitable[None]) -> list[float]:
    """Do ``work``; return by how many seconds a task that sleeps a millisecond at a time was late meanwhile."""
    late: list[float] = []

    async def tick() -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(_TICK)
            late.append(time.perf_counter() - began - _TICK)

    ticking = asyncio.ensure_future(tick())
    await work
    ticking.cancel()
    with suppress(asyncio.CancelledError):
        await ticking
    return late


def _console(stream: TextIO, columns: int) -> Console:
    return Console(file=stream, force_terminal=True, color_system="256", width=columns, height=_LINES)
