"""Items that are found by describing them: the model never has to pass an id."""

import builtins
import math
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import dataclass
from typing import Generic, TypeVar

from swarmchat.backends import Conflict, Delete, Expect, Put, Write
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.store import ChangeSet, Store
from swarmchat.swarm.storage.embeddings import Embedder, PersistEmbedding
from swarmchat.swarm.storage.items import ItemForm, StoredItems
from swarmchat.swarm.storage.vector_index import SearchIndex, build_index

T = TypeVar("T")


@dataclass(frozen=True)
class Storage(Generic[T]):
    """The definition of a storage, part of a swarm. It holds nothing itself."""

    name: str
    index: Callable[[T], str | Sequence[str]]
    """The texts by which an item is found; of several, the one that fits best counts."""
    items: Sequence[T] | Callable[[], Sequence[T]] = ()
    """What is in it from the start: put in once for each client, or once if it is shared, and never again."""
    type: builtins.type[T] | None = None
    """What items are read as: anything pydantic knows. The type of the first default item if ``None``, else JSON."""
    shared: bool = False
    """Whether all clients have one storage together. By default each has its own, and sees nobody else's changes."""
    embedder: Embedder | None = None
    """What makes its vectors, if not the swarm's embedder."""


@dataclass(frozen=True, slots=True)
class Hit(Generic[T]):
    """An item that was found; ``score`` is its cosine, at most 1."""

    id: str
    item: T
    score: float


class PersistStorage(Generic[T]):
    """A storage of ``client`` in ``store``. Lists and searches keep what they read until another version is there.

    Every method may raise the errors of the backend, and StorageError for an item that cannot be stored or read as its
    type. With collected changes in the store, reads see them and nobody else does.
    """

    def __init__(
        self,
        definition: Storage[T],
        store: Store,
        client: str,
        embedding: PersistEmbedding,
    ) -> None:
        self.definition = definition
        self._store = store
        self._form = ItemForm(definition.name, definition.type, definition.items, definition.index)
        self._embedding = embedding.using(definition.embedder)
        # Shared by all views of this storage.
        self._kept = StoredItems(None if definition.shared else client, definition.name)

    def through(self, store: Store) -> "PersistStorage[T]":
        """Return the same storage seen through ``store``, with the same backend: what this process keeps is shared."""
        view = copy(self)
        view._store = store
        return view

    async def upsert(self, item: T, id: str | None = None) -> str:  # noqa: A002 (what everybody calls it)
        """Store ``item`` and return its id: a new one that was never used before, or ``id``, whose item is replaced.

        New ids sort by the time at which they were made. Raises StorageError when the item would not come back as its
        type or has no texts to be found by, and ValueError for an ``id`` that is empty or too long; nothing is stored
        then.
        """
        if id is not None:
            self._key(id)
        value = self._form.encode(item, "new" if id is None else id)
        await self._fill()
        # Made after the default items have theirs, so that it comes behind them.
        new = _new_ids(1)[0] if id is None else id
        await self._write(Put(self._key(new), value, self._store.lifetimes.storage))
        return new

    async def get(self, id: str) -> T | None:  # noqa: A002 (as above)
        """Return the item ``id``, or ``None`` when there is none."""
        key = self._key(id)
        await self._fill()
        value = await self._store.read(key)
        return None if value is None else self._form.decode(id, value)

    async def list(self) -> list[T]:
        """Return all items in the order of their ids."""
        return [item for _, item in await self.items()]

    async def items(self) -> builtins.list[tuple[str, T]]:
        """Return all ids with their items, in the order of the ids."""
        return [(item_id, self._form.decode(item_id, value)) for item_id, value in (await self._read()).items()]

    async def remove(self, id: str) -> bool:  # noqa: A002 (as above)
        """Remove the item ``id`` and tell whether there was one. An item that cannot be read can be removed."""
        key = self._key(id)
        await self._fill()
        while (value := await self._store.read(key)) is not None:
            if self._store.changes is not None:
                await self._write(Delete(key))
                return True
            try:
                # Of several who remove the same item at once, one is told that it did.
                await self._store.backend.commit(Expect(key, value), Delete(key), *self._changed([key]))
            except Conflict:
                continue
            return True
        return False

    async def clear(self) -> int:
        """Remove all items and return how many there were. The default ones do not come back."""
        found = await self._read()
        if found:
            await self._write(*(Delete(self._key(item_id)) for item_id in found))
        return len(found)

    async def take(self, search: str, total: int = 1, score: float | None = None) -> builtins.list[T]:
        """Return the items that fit ``search`` best, at most ``total``, best first; see ``search``."""
        return [hit.item for hit in await self.search(search, total, score)]

    async def search(self, search: str, total: int = 1, score: float | None = None) -> builtins.list[Hit[T]]:
        """Return the items whose texts are most like ``search``, at most ``total``, best first.

        ``score``: the lowest cosine that counts, the embedder's own when ``None``. Equal scores are in the order of the
        ids. Blank texts are like nothing: they score 0.

        Raises ValueError for a ``total`` below 1 or a ``score`` that is no number, EmbeddingError, and what the
        embedder raises.
        """
        least = self._embedding.embedder.default_score if score is None else score
        if total < 1:
            raise ValueError(f"total {total}: expected 1 or more")
        if math.isnan(least):
            raise ValueError("score nan: expected a number")
        found = await self._read()
        if not found:
            return []
        index = await self._index(found)
        query = (await self._embedding.vectors([search]))[0]
        if query.size and index.dimension not in (0, query.size):
            # The index came from the cache of another model, which only the embedder's answer has shown.
            self._kept.index = None
            index = await self._index(found)
        best = index.best(query, total, least)
        return [Hit(item_id, self._form.decode(item_id, found[item_id]), each) for item_id, each in best]

    async def _index(self, found: dict[str, bytes]) -> SearchIndex:
        index = await build_index(found, self._form.texts, self._embedding, self._kept.index)
        if found is self._kept.items:
            # Not one that holds collected changes: others search with it too.
            self._kept.index = index
        return index

    async def _read(self) -> dict[str, bytes]:
        """Return what is stored by its ids, in their order, with the collected changes."""
        await self._fill()
        committed = await self._kept.read(self._store.backend, lasting=self._store.lifetimes.storage is None)
        changed = {
            write.key: write.value if isinstance(write, Put) else None
            for write in (self._store.changes.writes if self._store.changes is not None else ())
            if isinstance(write, Put | Delete) and write.key.startswith(self._kept.prefix)
        }
        if not changed:
            return committed
        both = committed | {self._kept.id(key): value for key, value in changed.items()}
        return {item_id: value for item_id, value in sorted(both.items()) if value is not None}

    async def _fill(self) -> None:
        """Put the default items in, if nobody has done so yet."""
        ttl = self._store.lifetimes.storage
        if self._kept.filled and ttl is None:
            return
        if await self._store.backend.get(self._kept.version_key) is None:
            values = [self._form.encode(item, f"default {at}") for at, item in enumerate(self._form.defaults)]
            puts = [Put(self._key(new), value, ttl) for new, value in zip(_new_ids(len(values)), values, strict=True)]
            # A Conflict: another process was faster, and has put in the same.
            with suppress(Conflict):
                await self._store.backend.commit(
                    Expect(self._kept.version_key, None), *puts, *self._changed([put.key for put in puts])
                )
        self._kept.filled = True

    async def _write(self, *writes: Put | Delete) -> None:
        changes = ChangeSet()
        changes.write(*writes, *self._changed([write.key for write in writes]))
        await self._store.apply(changes)

    def _changed(self, items: Sequence[str]) -> Sequence[Write]:
        return self._kept.changed(items, self._store.lifetimes.storage)

    def _key(self, item_id: str) -> str:
        escaped = keys.escape(item_id)
        # What escape cuts ends in a mark and a digest: the id could not be read from the key again.
        if not item_id or "~" in escaped:
            raise ValueError(
                f"id {item_id!r:.60}: expected 1 to 200 characters; other than A-Z a-z 0-9 _.@+- count 3 a byte"
            )
        return self._kept.prefix + escaped


def _new_ids(number: int) -> list[str]:
    """Return ids that sort by time and then by their order here; the random end keeps two processes apart."""
    now = time.time_ns()
    return [f"{now + at:016x}{secrets.token_hex(4)}" for at in range(number)]
