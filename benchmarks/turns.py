"""A whole turn, including persistence, compared with the bare client without storage and with other libraries."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from typing import Any

from benchmarks.server import instant_server
from benchmarks.setup import Setup
from benchmarks.stores import store_urls
from benchmarks.tables import Table, times_table
from benchmarks.timing import interleave
from benchmarks.workers import MissingPeerError, Worker, worker

TITLE = "A turn"
BARE = "AsyncOpenAI.post"
LENGTHS = (10, 100, 1_000)
LOGS = (10, 1_000, 100_000)
KEPT = 9
_CONTEXT = """Every variant answers the same question after as many messages, all of which it sends, over HTTP to a
server on the same machine that answers at once. `post` sends bytes that are ready and keeps nothing; `create` is what
most programs call. The others store the question and the answer. Swarmchat, `post` and `create` stream the answer. With
`limit`, openai-agents reads and sends the last 50 messages only. What a turn of ours takes more than `post` is
work of the processor, spread thin; by profile, on memory: a fifth for reading the stream safely (bounds of time and
size, broken events, halves of characters); a fifth for records, digests, counts and two commits; a tenth each for the
choice of the messages, the search for leaked calls, and the guards of the turn; the rest for the way through hooks,
locks, tasks and generators. Disk adds 0.4 ms, two commits and a look into the mailbox in the thread of SQLite; Redis
0.5 ms, the same in three round trips. Where there are 1,000 messages, going through them takes 0.3 ms."""
_LOG = f"The same turn with the same context of {KEPT} messages, the rest of the log being left out of the context."


async def run(setup: Setup) -> AsyncIterator[Table]:
    """Measure a turn by the length of its context, and by the length of the log."""
    with instant_server() as base_url, store_urls(setup.folder) as stores:
        for length in (100,) if setup.quick else LENGTHS:
            wanted = _variants(setup, stores, base_url, length)
            title = f"A turn after {length:,} messages"
            aims = {f"swarmchat, {name}": 1.5 for name in stores}
            yield await _measure(setup, title, wanted, BARE, aims, _CONTEXT)
        for name, url in stores.items():
            if setup.quick and name != "disk":
                continue
            logs = LOGS[:2] if setup.quick else LOGS
            wanted = {f"{log:,} records": _ours(base_url, url, log, kept=KEPT) for log in logs}
            aims = {f"{log:,} records": 1.25 for log in logs[1:]}
            yield await _measure(setup, f"A turn on {name} by the length of the log", wanted, "10 records", aims, _LOG)


def _variants(
    setup: Setup, stores: Mapping[str, str], base_url: str, length: int
) -> dict[str, tuple[str, dict[str, Any]]]:
    common = {"base_url": base_url, "length": length}
    variants: dict[str, tuple[str, dict[str, Any]]] = {BARE: ("benchmarks.turn_variants:post", common)}
    variants |= {f"swarmchat, {name}": _ours(base_url, url, length) for name, url in stores.items()}
    variants["chat.completions.create"] = ("benchmarks.turn_variants:create", common)
    file = str(setup.folder / f"peers-{length}.sqlite")
    for name, place in (("SQLite", file), ("Redis", stores["redis"])):
        for limit in (None,) if setup.quick else (None, 50):
            title = f"openai-agents, {name}{', limit' if limit else ''}"
            variants[title] = ("benchmarks.turn_peers:openai_agents", {**common, "place": place, "limit": limit})
    graph = {**common, "place": f"{file}-graph"}
    variants["LangGraph, SqliteSaver"] = ("benchmarks.turn_peers:langgraph", graph)
    return variants


def _ours(base_url: str, url: str, length: int, kept: int | None = None) -> tuple[str, dict[str, Any]]:
    settings = {"base_url": base_url, "backend": url, "length": length, "kept": kept}
    return "benchmarks.turn_variants:ours", settings


async def _measure(
    setup: Setup,
    title: str,
    wanted: Mapping[str, tuple[str, dict[str, Any]]],
    base: str,
    aims: Mapping[str, float],
    about: str,
) -> Table:
    missing: set[str] = set()
    async with AsyncExitStack() as stack:
        workers: dict[str, Worker] = {}
        for name, (make, settings) in wanted.items():
            try:
                workers[name] = await stack.enter_async_context(worker(make, **settings))
            except MissingPeerError as error:
                missing.add(str(error))
        measured = await interleave(workers, 4 if setup.quick else 40)
    if missing:
        about += f" Not installed: {', '.join(sorted(missing))}."
    return times_table(title, measured, base, about=about, aims=aims)
