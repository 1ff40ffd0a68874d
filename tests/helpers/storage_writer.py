"""A program that changes a storage for ever and says what is stored: for killing. Argument: the URL of a store.

For each line on its input it forks a writer. It prints the writer's process id, the writer prints the number of each
change that it knows to be stored, and -1 before each commit, and "dead" closes the writer's life.
"""

import asyncio
import itertools
import os
import sys
from typing import Any

import pydantic  # noqa: F401  # imported by the first item, which is to be once and not in every fork
from chats import Faulty
from swarmchat.backends import Backend, Lease, Write, open_backend
from swarmchat.swarm.persistence.store import Store
from swarmchat.swarm.storage.declaration import Storage
from swarmchat.swarm.storage.embeddings import PersistEmbedding
from swarmchat.swarm.storage.ngram_embedder import NgramEmbedder
from swarmchat.swarm.storage.storage import PersistStorage


class Telling(Faulty):
    """A backend that says when a commit begins."""

    async def commit(self, *writes: Write, lease: Lease | None = None) -> None:
        os.write(1, b"-1\n")
        await super().commit(*writes, lease=lease)


def opened(backend: Backend) -> PersistStorage[Any]:
    store = Store(backend)
    return PersistStorage(Storage("words", index=str, type=str), store, "ann", PersistEmbedding(store, NgramEmbedder()))


def change(number: int, items: dict[str, str]) -> dict[str, str]:
    """Return what the change ``number`` makes of ``items``."""
    if number % 11 == 10:
        return {}
    if number % 5 == 4:
        return {item_id: item for item_id, item in items.items() if item_id != str(number % 7)}
    return {**items, str(number % 7): f"change {number}"}


async def write(url: str) -> None:
    storage = opened(Telling(open_backend(url)))
    for number in itertools.count():
        before = dict(await storage.items())
        after = change(number, before)
        if not after:
            await storage.clear()
        elif len(after) < len(before):
            await storage.remove(str(number % 7))
        elif after != before:
            await storage.upsert(after[str(number % 7)], str(number % 7))
        os.write(1, b"%d\n" % number)


if __name__ == "__main__":
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            asyncio.run(write(sys.argv[1]))
        os.write(1, b"writer %d\n" % child)
        os.waitpid(child, 0)
        os.write(1, b"dead\n")
