"""Very long sessions in one process: memory and the time of a turn, neither of which should grow."""

import gc
import statistics
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from typing import Any

from swarmchat.backends import Backend, open_backend
from swarmchat.swarm import (
    Agent,
    Answer,
    Context,
    Model,
    ModelEvent,
    ModelRequest,
    OpenAIModel,
    Rescued,
    Rotated,
    Session,
    SessionSettings,
    State,
    Swarm,
    TextChunk,
    ToolCall,
    TurnEnded,
    tool,
)
from swarmchat.swarm.persistence import keys

from benchmarks.corpus import CLIENT, MODEL, conversation
from benchmarks.server import instant_server
from benchmarks.setup import Setup
from benchmarks.stores import store_urls
from benchmarks.tables import Aim, Table
from benchmarks.workers import resident_memory, worker

TITLE = "Long sessions"
PARTS = 10
_VALUE = 41
"""Bytes of a value in the list of the memory backend beside its own: a bytes object, and the place in the list."""
_ABOUT = """Each in one process, in one session, with a window of {window:,} tokens that is cut whenever it is full.
Memory is resident, in MB; for the store in memory, without the log that it holds. A time is the median of the turns.
`tools`, on disk: a scripted model that calls a tool which changes a state, misspells its name in every 20th turn, and
answers with nothing in every 50th. Aims compare the last {part:,} turns with the second ones: memory, and the median
of their processor time."""

Chunk = Callable[[], Awaitable[dict[str, float]]]


async def run(setup: Setup) -> AsyncIterator[Table]:
    """Measure sessions over HTTP with each backend, and one with tools and rescues."""
    # The second part is to begin with a full window.
    part, window = (30, 1_000) if setup.quick else (1_000, 8_000)
    with instant_server() as base_url, store_urls(setup.folder) as urls:
        wanted: dict[str, Mapping[str, Any]] = {
            name: {"backend": url, "base_url": base_url} for name, url in urls.items()
        }
        wanted["tools"] = {"backend": f"disk:{setup.folder / 'tools'}", "base_url": None}
        samples: dict[str, list[dict[str, float]]] = {name: [] for name in wanted}
        async with AsyncExitStack() as stack:
            workers = {
                name: await stack.enter_async_context(
                    worker("benchmarks.long_run:session", turns=part, window=window, **settings)
                )
                for name, settings in wanted.items()
            }
            for _ in range(PARTS):
                for name, one in workers.items():
                    samples[name] += await one.run()
    head = ("turns", *(f"{name}, {unit}" for name in samples for unit in ("ms", "MB")))
    rows = [
        (f"{(number + 1) * part:,}", *(cell for one in samples.values() for cell in _cells(one[number])))
        for number in range(PARTS)
    ]
    aims = []
    for name, parts in samples.items():
        second, last = parts[1], parts[-1]
        aims.append(Aim(f"Memory of a long session: {name}", last["memory"] / second["memory"], 1.05))
        aims.append(Aim(f"Time of a turn in a long session: {name}", last["processor"] / second["processor"], 1.25))
    yield Table(f"{part * PARTS:,} turns", head, rows, _ABOUT.format(part=part, window=window), aims)


def _cells(part: Mapping[str, float]) -> tuple[str, str]:
    return f"{part['seconds'] * 1000:.2f}", f"{part['memory'] / 1e6:.1f}"


@asynccontextmanager
async def session(backend: str, base_url: str | None, turns: int, window: int) -> AsyncIterator[Chunk]:
    """Give what takes the next ``turns`` turns; with no server, a scripted model answers."""
    stored = open_backend(backend)
    model: Model = OpenAIModel(MODEL, base_url=base_url) if base_url else Working(window)
    swarm = Swarm("long", [Agent("assistant", tools=[look_up])], default="assistant", states=[State("seen", default=0)])
    settings = SessionSettings(context_window=window)
    questions = [record.data["message"]["content"] for record in conversation(6) if record.type == "user"]
    numbers, parts = count(), count()
    opened = await Session.open(stored, model, client=CLIENT, name="long", swarm=swarm, settings=settings)

    async def once() -> dict[str, float]:
        seconds, processor, seen = [], [], set()
        for _ in range(turns):
            number = next(numbers)
            began, worked = time.perf_counter(), time.process_time()
            async for event in opened.run_turn(f"{number}. {questions[number % len(questions)]}"):
                seen.add(type(event))
            seconds.append(time.perf_counter() - began)
            processor.append(time.process_time() - worked)
            assert isinstance(event, TurnEnded), event
        assert Rotated in seen or next(parts) == 0
        assert base_url or turns < 50 or Rescued in seen
        gc.collect()
        memory = resident_memory() - (await _log_size(stored) if backend == "memory:" else 0)
        return {"seconds": statistics.median(seconds), "processor": statistics.median(processor), "memory": memory}

    yield once
    await opened.close()
    await model.close()
    await stored.close()


async def _log_size(backend: Backend) -> int:
    key = keys.session_log(CLIENT, "long")
    length = await backend.length(key)
    chunks = [await backend.slice(key, start, start + 100) for start in range(0, length, 100)]
    return sum(len(line) + _VALUE for chunk in chunks for line in chunk)


@tool
async def look_up(ctx: Context, words: str) -> str:
    """Look something up."""
    seen = await ctx.state("seen").update(lambda seen: seen + 1)
    return f"{words}: found in box {seen}, between the letters of that year."


class Working:
    """A model that calls a tool in every turn, and is not always right."""

    name = MODEL

    def __init__(self, context_window: int) -> None:
        self.context_window = context_window
        self._asked = 0
        self._turns = 0

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Answer with a call, and its result with a text."""
        self._asked += 1
        if b'"role":"user"' in request.messages[-1]:
            self._turns += 1
            name = "lookup" if self._turns % 20 == 0 else "look_up"
            call = ToolCall(f"call_{self._asked}", name, f'{{"words": "letter {self._asked}"}}')
            yield Answer("", (call,), "tool_calls")
        elif b'"role":"tool"' in request.messages[-1] and self._turns % 50 == 0:
            yield Answer("")
        else:
            text = f"It is in a box, between other letters. That was the answer to request {self._asked}."
            yield TextChunk(text)
            yield Answer(text)

    async def close(self) -> None:
        """Do nothing: there is nothing to let go of."""
