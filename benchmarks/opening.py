"""Opening a session and making its first context. The cost is to follow from the window, not from the log's length."""

import time
from collections.abc import Mapping

from swarmchat.backends import Backend
from swarmchat.swarm import Session, SessionSettings
from swarmchat.swarm.scripted_model import ScriptedModel
from swarmchat.swarm.tokens import counter_for

from benchmarks.corpus import CLIENT, MODEL, store
from benchmarks.timing import Variant, interleave, report

ROUNDS = 20
LONG = 100_000
KEPT = 9
FULL = 5_000
WINDOWS = (32_000, 128_000)


async def run(stores: Mapping[str, Backend]) -> None:
    """Measure and print, for each backend: the same context, and a full window, from a short and from a long log."""
    counter_for(MODEL)
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
        report(title, await interleave(variants, ROUNDS), base="10 records", budget=1.25)
        for window in WINDOWS:
            variants = {
                f"{FULL:,} records": _opening(backend, "short-full", window=window),
                f"{LONG:,} records": _opening(backend, "long-full", window=window),
            }
            title = f"Opening on {name}: a full window of {window:,} tokens"
            report(title, await interleave(variants, ROUNDS // 4), base=f"{FULL:,} records", budget=1.25)


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
