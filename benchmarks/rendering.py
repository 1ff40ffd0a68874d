"""Rendering an answer as Markdown while it streams: the cost compared with rich, and the delay for other tasks."""

import statistics
from collections.abc import AsyncIterator, Mapping
from typing import Any

from benchmarks.answers import LENGTH, steady_server
from benchmarks.setup import Setup
from benchmarks.tables import Aim, Table
from benchmarks.workers import worker

TITLE = "Drawing an answer"
SPEED, FRAMES = 400, 12
_ONCE = "rich Markdown, once"
_RUNS = 12
_VARIANTS = "benchmarks.rendering_variants"
_ABOUT = f"""Markdown of {LENGTH:,} letters, written to a pseudo-terminal in pieces of so many. No time passes: the
letters come as {SPEED} a second would, and what redraws by the clock does so {FRAMES} times a second of that.
Processor time is that of the process that draws, the best of {_RUNS} runs. `Live(Markdown)` is rich's, given the whole
text anew each time: drawn at those times, or at every piece; it runs once. `once` draws the whole text at the end, and
shows nothing before."""
_LAG = """An answer of 14 kB that comes in {pace:,.0f} pieces of 5 letters a second over HTTP, drawn on a
pseudo-terminal; beside it a task that sleeps 1 ms at a time and notes how much later than that it wakes. `client,
print` reads the stream with the bare client, prints it, and keeps nothing."""


async def run(setup: Setup) -> AsyncIterator[Table]:
    """Measure what drawing costs, and what it keeps waiting."""
    for columns in (80,) if setup.quick else (80, 120):
        yield await _drawing(setup, columns)
    yield await _lag(setup)


async def _drawing(setup: Setup, columns: int) -> Table:
    common = {"columns": columns, "length": LENGTH}
    wanted: dict[str, tuple[str, dict[str, Any]]] = {
        f"swarmchat, pieces of {size}": ("swarmchat", {"size": size}) for size in (1, 5, 40)
    }
    wanted[_ONCE] = ("rich_once", {})
    if not setup.quick:
        # Takes a quarter of a minute.
        wanted[f"rich Live(Markdown), {FRAMES} a second"] = ("rich_live", {"size": 5, "each": False})
        wanted["rich Live(Markdown), each piece of 40"] = ("rich_live", {"size": 40, "each": True})
    outputs = {}
    for name, (make, settings) in wanted.items():
        async with worker(f"{_VARIANTS}:{make}", **common, **settings) as one:
            runs = await one.run(1 if make == "rich_live" else setup.rounds(_RUNS))
            seconds = min(run[0] for run in runs)
            outputs[name] = (seconds, runs[-1][1])
    base = outputs[_ONCE][0]
    rows: list[tuple[str, ...]] = [
        (name, f"{seconds * 1000:,.0f}", f"{seconds / base:.2f}", f"{written / 1000:,.0f}")
        for name, (seconds, written) in outputs.items()
    ]
    head = ("", "processor ms", f"× {_ONCE}", "kB written")
    ours = outputs["swarmchat, pieces of 5"][0]
    aims = [Aim(f"Drawing at {columns} columns: pieces of 5, × {_ONCE}", ours / base, 2)]
    return Table(f"Markdown on {columns} columns", head, rows, _ABOUT, aims)


async def _lag(setup: Setup) -> Table:
    pace = 3_000.0 if setup.quick else 1_000.0
    times = 1 if setup.quick else 3
    urls = {"memory": "memory:", "disk": f"disk:{setup.folder / 'lag'}"}
    wanted: dict[str, Mapping[str, str]] = {f"swarmchat, {name}": {"backend": url} for name, url in urls.items()}
    wanted = {"client, print": {}, **wanted}
    rows, aims = [], []
    with steady_server(5, pace) as base_url:
        for name, settings in wanted.items():
            make = "chat_lag" if settings else "client_lag"
            async with worker(f"{_VARIANTS}:{make}", base_url=base_url, **settings) as one:
                await one.run()
                late = [each for run in await one.run(times) for each in run]
            cuts = statistics.quantiles(late, n=100)
            rows.append((name, *(f"{value * 1000:.2f}" for value in (cuts[49], cuts[98], max(late)))))
            if settings:
                aims.append(Aim(f"Event loop while an answer is drawn: {name}, p99", cuts[98] * 1000, 20, "ms"))
    return Table("How late a task wakes", ("", "p50 ms", "p99 ms", "max ms"), rows, _LAG.format(pace=pace), aims)
