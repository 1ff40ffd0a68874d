"""Searching storages, compared with a plain matrix product in numpy; opening and changing large ones."""

import json
import sqlite3
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import cache
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray
from swarmchat.backends import Backend, Put, open_backend
from swarmchat.swarm import PersistEmbedding, PersistStorage, Storage
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.store import Store
from swarmchat.swarm.storage.embeddings import encode_vector
from swarmchat.swarm.storage.items import StoredItems

from benchmarks.corpus import CLIENT
from benchmarks.setup import Setup
from benchmarks.stores import open_stores
from benchmarks.tables import Aim, Table, times_table
from benchmarks.timing import Variant, interleave, timed
from benchmarks.workers import resident_memory, worker

TITLE = "Storages"
TOTAL = 10
_NAME = "things"
_COMMIT = 2000
_STEPS = {
    "started": "process started, libraries imported",
    "read": "list of all items",
    "first": "first search: all vectors read",
    "search": "search",
    "upsert": "one item more",
    "after upsert": "search after that",
    "remove": "one item removed",
    "after removal": "search after that ",
}

Matrix = NDArray[np.float32]


class Random:
    """An embedder of ``dimension`` numbers that costs nothing and knows nothing."""

    default_score = -1.0

    def __init__(self, dimension: int) -> None:
        self.name = f"random-{dimension}"
        self._rows = cache(lambda number: unit_rows(number, dimension))

    async def embed(self, texts: Sequence[str]) -> Matrix:
        """Return the same rows for the same number of texts."""
        return self._rows(len(texts))


async def run(setup: Setup) -> AsyncIterator[Table]:
    """Measure searches in memory, and what a process does with a storage on disk and in Redis."""
    for dimension in (384, 1536):
        sizes = (1_000, 10_000) if setup.quick else (1_000, 10_000, 100_000) if dimension == 384 else (100_000,)
        if not (setup.quick and dimension > 384):
            for size in sizes:
                yield await _searches(setup, size, dimension)
    size = 10_000 if setup.quick else 100_000
    yield await _filling(setup, size, 384)
    yield await _processes(setup, size, 384)


async def _searches(setup: Setup, size: int, dimension: int) -> Table:
    backend = open_backend("memory:")
    matrix = unit_rows(size, dimension)
    await fill(backend, matrix)
    storage = open_storage(backend, dimension)
    query = unit_rows(1, dimension)[0]
    variants = {"numpy": _repeated(lambda: _bare(matrix, query)), "take": _repeated(lambda: storage.take("q", TOTAL))}
    measured = await interleave(variants, setup.rounds(20))
    title = f"The {TOTAL} best of {size:,} items × {dimension}"
    about = "numpy: the product of a matrix of the same numbers, `argpartition` and a sort of the best."
    return times_table(title, measured, "numpy", about=about, aims={"take": 1.5} if size >= 100_000 else None)


async def _filling(setup: Setup, size: int, dimension: int) -> Table:
    """Compare the first use of a storage on disk, and the first search, with bare inserts of as much."""
    matrix, numbers = unit_rows(size, dimension), count()
    values = [{"text": f"item {at:06}"} for at in range(size)]

    async def bare() -> float:
        base = sqlite3.connect(setup.folder / f"filled-{next(numbers)}.sqlite", isolation_level=None)
        base.execute("PRAGMA journal_mode = WAL")
        base.execute("PRAGMA synchronous = 1")
        base.execute("CREATE TABLE entries (key TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID")
        started = time.process_time()
        for kind, rows in (
            ("item", (json.dumps(each).encode() for each in values)),
            ("vector", map(encode_vector, matrix)),
        ):
            base.execute("BEGIN IMMEDIATE")
            base.executemany(
                "INSERT INTO entries VALUES (?, ?)", ((f"{kind}{at:06}", row) for at, row in enumerate(rows))
            )
            base.execute("COMMIT")
        seconds = time.process_time() - started
        base.close()
        return seconds

    async def ours() -> list[float]:
        backend = open_backend(f"disk:{setup.folder / f'filled-{next(numbers)}'}")
        storage = open_storage(backend, dimension, values)
        started = time.process_time()
        await storage.list()
        listed = time.process_time()
        await storage.take("query", TOTAL)
        searched = time.process_time()
        await backend.close()
        parts.append((listed - started, searched - listed))
        return [searched - started]

    parts: list[tuple[float, float]] = []
    measured = await interleave({"inserts": bare, "swarmchat": ours}, 1 if setup.quick else 3, warm=False)
    first, second = (statistics.median(one) for one in zip(*parts, strict=True))
    about = f"""Processor time. `inserts`: the items and their vectors in two transactions of the bare `sqlite3`, JSON
and bytes included. Ours: the first list stores the items ({first:.2f} s), the first search their vectors
({second:.2f} s), from an embedder that costs nothing. What it takes more is, by profile: three fifths for the
rows of the database, each with two indexes and two triggers, the vectors in the order of
hashes; and two fifths for the items, each checked and read back with pydantic, twice with its texts, a digest of each
value and of its texts for the manifest, and a key with a hash of each text."""
    title = f"First fill of {size:,} default items on disk"
    return times_table(title, measured, "inserts", about=about, aims={"swarmchat": 2}, unit="s")


async def _processes(setup: Setup, size: int, dimension: int) -> Table:
    matrix = unit_rows(size, dimension)
    figures: dict[str, dict[str, float]] = {}
    async with open_stores(setup.subfolder("storage")) as stores:
        for name in ("disk", "redis"):
            await fill(stores[name], matrix)
            url = f"disk:{setup.folder / 'storage' / 'disk'}" if name == "disk" else stores[name].url
            figures[name] = await _medians(3, url, dimension)
    rows = [(label, *(f"{one[step] * 1000:,.1f}" for one in figures.values())) for step, label in _STEPS.items()]
    rows.append(("resident memory, MB", *(f"{one['memory'] / 1e6:,.0f}" for one in figures.values())))
    rows.append(("of which the matrix, MB", *(f"{matrix.nbytes / 1e6:,.0f}" for _ in figures)))
    aims = [
        Aim(f"search after one item more, {name}, × search", one["after upsert"] / one["search"], 10)
        for name, one in figures.items()
    ]
    title = f"A new process with a storage of {size:,} items × {dimension}, ms"
    about = "Each step once in a process, in this order: medians of three processes."
    return Table(title, ("", *figures), rows, about, aims)


async def _medians(number: int, url: str, dimension: int) -> dict[str, float]:
    """Return what ``number`` processes measured, one after the other."""
    medians = []
    for _ in range(number):
        began = time.perf_counter()
        async with worker("benchmarks.storage:process", url=url, dimension=dimension) as one:
            started = time.perf_counter() - began
            medians.append({"started": started, **(await one.run())[0]})
    return {step: statistics.median(one[step] for one in medians) for step in medians[0]}


@asynccontextmanager
async def process(url: str, dimension: int) -> AsyncIterator[Callable[[], Awaitable[dict[str, Any]]]]:
    """Give what measures the steps of a process that knows nothing of the storage yet."""
    backend = open_backend(url)
    storage = open_storage(backend, dimension)

    async def once() -> dict[str, float]:
        taken = {"read": await timed(storage.list())}
        taken["first"] = await timed(storage.take("query", TOTAL))
        taken["search"] = min([await timed(storage.take("query", TOTAL)) for _ in range(5)])
        taken["upsert"] = await timed(storage.upsert({"text": "one more"}))
        taken["after upsert"] = await timed(storage.take("query", TOTAL))
        taken["remove"] = await timed(storage.remove("000007"))
        taken["after removal"] = await timed(storage.take("query", TOTAL))
        return taken | {"memory": resident_memory()}

    yield once
    await backend.close()


def open_storage(backend: Backend, dimension: int, items: Sequence[Any] = ()) -> PersistStorage[Any]:
    """Return the storage that ``fill`` fills, with default ``items``."""
    store = Store(backend)
    definition: Storage[Any] = Storage(_NAME, items=items, index=lambda item: item["text"])
    return PersistStorage(definition, store, CLIENT, PersistEmbedding(store, Random(dimension)))


async def fill(backend: Backend, matrix: Matrix) -> None:
    """Store an item for each row of ``matrix``, and the row as its vector: as the program does, but for the ids."""
    model = f"random-{matrix.shape[1]}"
    writes = StoredItems(CLIENT, _NAME).changed([], None)
    for at, row in enumerate(matrix):
        text = f"item {at:06}"
        writes.append(Put(f"{keys.storage_items(CLIENT, _NAME)}{at:06}", f'{{"text":"{text}"}}'.encode()))
        writes.append(Put(keys.embedding(model, text), encode_vector(row)))
        if len(writes) >= _COMMIT or at == len(matrix) - 1:
            await backend.commit(*writes)
            writes = []


def unit_rows(number: int, dimension: int) -> Matrix:
    """Return so many rows of length 1, the same each time."""
    rows = np.random.default_rng(number).standard_normal((number, dimension), np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


async def _bare(matrix: Matrix, query: Matrix) -> list[int]:
    scores = matrix @ query
    best = np.argpartition(scores, len(scores) - TOTAL)[-TOTAL:]
    ranked: list[int] = best[np.argsort(-scores[best])].tolist()
    return ranked


def _repeated(work: Callable[[], Awaitable[object]]) -> Variant:
    async def once() -> list[float]:
        return [await timed(work()) for _ in range(5)]

    return once
