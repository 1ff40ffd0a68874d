"""Opening a session and making its first context. The cost is to follow from the window, not from the log's length."""

import time
from collections.abc import AsyncIterator

from swarmchat.backends import Backend
from swarmchat.swarm import Session, SessionSettings
from swarmchat.swarm.scripted_model import ScriptedModel
from swarmchat.swarm.tokens import counter_for

from benchmarks.corpus import CLIENT, MODEL, store
from benchmarks.setup import Setup
from benchmarks.stores import open_stores
from benchmarks.tables import Table, times_table
from benchmarks.timing import Variant, interleave

TITLE = "Opening a session"
LONG = 100_000
KEPT = 9
FULL = 5_000


async def run(setup: Setup) -> AsyncIterator[Table]:
    """Measure on each backend: the same context, and a full window, from a short and from a long log."""
    counter_for(MODEL)
    async with open_stores(setup.folder) as stores:
        for name, backend in stores.items():
            if name == "memory":
                continue
            await store(backend, "short-cut", 10, kept=KEPT)
            await store(backend, "long-cut", LONG, kept=KEPT)
            await store(backend, "short-full", FULL)
            await store(backend, "long-full", LONG)
            variants = {
                "10 records": _opening(backend, "short-cut", KEPT),
                f"{LONG:,} records": _opening(backend, "long-cut", KEPT),
            }
            title = f"Opening on {name}: a context of {KEPT} messages"
            measured = await interleave(variants, setup.rounds(20))
            yield times_table(title, measured, "10 records", aims={f"{LONG:,} records": 1.25})
            for window in (32_000, 128_000):
                variants = {
                    f"{FULL:,} records": _opening(backend, "short-full", window=window),
                    f"{LONG:,} records": _opening(backend, "long-full", window=window),
                }
                title = f"Opening on {name}: a full window of {window:,} tokens"
                measured = await interleave(variants, setup.rounds(5))
                yield times_table(title, measured, f"{FULL:,} records", aims={f"{LONG:,} records": 1.25})


def _opening(backend: Backend, name: str, kept: int | None = None, *, window: int = 32_000) -> Variant:
    async def once() -> float:
        model = ScriptedModel(name=MODEL, context_window=window)
        started = time.perf_counter()
        session = await Session.open(backend, model, client=CLIENT, name=name, settings=SessionSettings())
        context = await session.context()
        seconds = time.perf_counter() - started
        assert kept in (None, len(context.kept)), len(context.kept)
        await session.close()
        return seconds

    return once
