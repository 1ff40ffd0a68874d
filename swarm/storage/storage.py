"""Storages: collections whose items are found by meaning, so that a model never has to pass an id."""

import builtins
import math
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from swarmchat.backends import Conflict, Delete, Expect, Put, Write
from swarmchat.swarm.common.mistakes import TEXT, check_value
from swarmchat.swarm.errors import StorageError
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.store import ChangeSet, Store
from swarmchat.swarm.storage.declaration import Storage
from swarmchat.swarm.storage.definition import Update
from swarmchat.swarm.storage.embeddings import PersistEmbedding
from swarmchat.swarm.storage.following import Follower
from swarmchat.swarm.storage.items import ItemForm, StoredItems
from swarmchat.swarm.storage.sentence_embedder import MISSING
from swarmchat.swarm.storage.vector_index import SearchIndex, build_index

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Hit(Generic[T]):
    """An item that a search found; ``score`` is its cosine, at most 1."""

    id: str
    item: T
    score: float


@dataclass
class StorageWatch:
    """What the storages of a session tell the user."""

    report: Callable[[str], object] = lambda line: None
    """Is given a line: the stored items have followed a changed definition, for example."""
    embedding: Callable[[str, int, int], object] = lambda storage, done, total: None
    """Is told while a search embeds the items of a storage: its name, the finished ones, and all of them."""
    substitute: str = ""
    """Name of the embedder that is used because a better one is not installed."""


class PersistStorage(Generic[T]):
    """A storage of ``client`` in ``store``. Lists and searches cache the items until the storage changes.

    ``scope`` is that of the swarm that has the storage; storages with another scope have other items. ``watch`` is
    called with messages for the user.

    Every method may raise the errors of the backend, and StorageError for an item that cannot be stored or read as its
    type. Reads include changes staged in ``store``, which nobody else sees.
    """

    def __init__(
        self,
        definition: Storage[T],
        store: Store,
        client: str,
        embedding: PersistEmbedding,
        scope: str | None = None,
        watch: StorageWatch | None = None,
    ) -> None:
        self.definition = definition
        self._store = store
        self._form = ItemForm(definition.name, definition.type, definition.items, definition.index)
        self._embedding = embedding.using(definition.embedder)
        # Shared by all views of this storage.
        owner, name = None if definition.shared else client, definition.name
        self._stored = StoredItems(owner, keys.scoped(name, scope))
        self._common = None if scope is None else StoredItems(owner, keys.scoped(name, None))
        """The items from before the storage had a scope."""
        self._watch = watch or StorageWatch()
        self._client = client

    def through(self, store: Store) -> "PersistStorage[T]":
        """Return the same storage, seen through another ``store`` of the same backend. Both share one cache."""
        view = copy(self)
        view._store = store
        return view

    async def upsert(self, item: T, id: str | None = None) -> str:  # noqa: A002 (the usual name)
        """Store ``item`` and return its id: a new one, or ``id``, whose item is replaced.

        New ids sort by the time of their creation. Raises StorageError if the item could not be read back as its type
        or has no texts to search, and ValueError for an ``id`` that is empty or too long; nothing is stored then.
        """
        return (await self.upsert_many([(id, item)]))[0]

    async def upsert_many(self, items: Sequence[tuple[str | None, T]]) -> builtins.list[str]:
        """Store ``items``, each with its id or ``None``, and return their ids; see ``upsert``. Stores all or none."""
        values = [self.encode(item, item_id) for item_id, item in items]
        await self._fill()
        # Created after the ids of the default items, so that they sort behind them.
        new = _new_ids(len(items))
        ids = [new_id if item_id is None else item_id for new_id, (item_id, _) in zip(new, items, strict=True)]
        ttl = self._store.lifetimes.storage
        await self._write(*(Put(self._key(each), value, ttl) for each, value in zip(ids, values, strict=True)))
        return ids

    def encode(self, item: T, id: str | None = None) -> bytes:  # noqa: A002 (as above)
        """Return the stored form of ``item``. Raises the errors of ``upsert``, and stores nothing."""
        if id is not None:
            self._key(id)
        return self._form.encode(item, "new" if id is None else id)

    @property
    def default_items(self) -> Sequence[T]:
        """The items of the definition."""
        return self._form.defaults

    async def stored_items(self) -> dict[str, bytes]:
        """Return the stored form of all items by id, in the order of the ids."""
        return await self._read()

    async def get(self, id: str) -> T | None:  # noqa: A002 (as above)
        """Return the item ``id``, or ``None`` if it does not exist."""
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
        """Remove the item ``id``; return whether it existed. Works for an item that cannot be read, too."""
        key = self._key(id)
        await self._fill()
        while (value := await self._store.read(key)) is not None:
            if self._store.changes is not None:
                await self._write(Delete(key))
                return True
            try:
                # Of several callers that remove the same item at once, one gets True.
                await self._store.backend.commit(Expect(key, value), Delete(key), *self._changed([key]))
            except Conflict:
                continue
            return True
        return False

    async def clear(self) -> int:
        """Remove all items and return their number. Default items do not return, but see ``follow``."""
        values = await self._read()
        if values:
            await self._write(*(Delete(self._key(item_id)) for item_id in values))
        return len(values)

    async def take(self, search: str, total: int = 1, score: float | None = None) -> builtins.list[T]:
        """Return at most ``total`` items that match ``search`` best, best first; see ``search``."""
        return [hit.item for hit in await self.search(search, total, score)]

    async def search(self, search: str, total: int = 1, score: float | None = None) -> builtins.list[Hit[T]]:
        """Return at most ``total`` items whose texts are most similar to ``search``, best first.

        ``score``: the minimum cosine; ``None``: the embedder's own. Equal scores are in the order of the ids. Blank
        texts score 0.

        Raises ValueError for a ``total`` below 1 or a ``score`` that is not a number, EmbeddingError, and the errors of
        the embedder.
        """
        check_value("storage", "search", search, TEXT)
        least = self._embedding.embedder.default_score if score is None else score
        if total < 1:
            raise ValueError(f"total {total}: expected 1 or more")
        if math.isnan(least):
            raise ValueError("score nan: expected a number")
        values = await self._read()
        if not values:
            return []
        index = await self._index(values)
        query = (await self._embedding.vectors([search], searched=True))[0]
        if query.size and index.dimension not in (0, query.size):
            # The embedder's answer shows that the index was built from the vectors of another model.
            self._stored.index = None
            index = await self._index(values)
        best = index.best(query, total, least)
        return [Hit(item_id, self._form.decode(item_id, values[item_id]), each) for item_id, each in best]

    async def _index(self, values: dict[str, bytes]) -> SearchIndex:
        progress = partial(self._watch.embedding, self.definition.name)
        index = await build_index(values, self._form.texts, self._embedding, self._stored.index, progress)
        if values is self._stored.items:
            # An index with staged changes is not cached: other views use the cache too.
            self._stored.index = index
        return index

    async def _read(self) -> dict[str, bytes]:
        """Return the stored form of all items by id, in the order of the ids, with the staged changes."""
        await self._fill()
        committed = await self._stored.read(self._store.backend, lasting=self._store.lifetimes.storage is None)
        changed = {
            write.key: write.value if isinstance(write, Put) else None
            for write in (self._store.changes.writes if self._store.changes is not None else ())
            if isinstance(write, Put | Delete) and write.key.startswith(self._stored.prefix)
        }
        if not changed:
            return committed
        both = committed | {self._stored.id(key): value for key, value in changed.items()}
        return {item_id: value for item_id, value in sorted(both.items()) if value is not None}

    async def follow(self, *, force: bool = False, dry_run: bool = False) -> Update:
        """Store the changes to the default items since they were stored; return these changes.

        Changes and removals by a tool or a user stay, unless ``force`` is set: then all default items are stored as
        defined. Added items stay in either case. A ``dry_run`` writes nothing.
        """
        backend, ttl = self._store.backend, self._store.lifetimes.storage
        embedder = self._embedding.embedder.name
        follower = Follower(backend, self._form, self._stored, self._common, embedder, ttl, _new_ids)
        while True:
            plan = await follower.plan(force=force)
            if dry_run:
                return plan.update
            # On a Conflict, another process was faster.
            with suppress(Conflict):
                if plan.writes:
                    await backend.commit(*plan.writes)
                break
        self._stored.filled = True
        if plan.is_new and embedder == self._watch.substitute:
            self._watch.report(MISSING)
        if plan.update and not plan.is_new and not force:
            self._watch.report(plan.update.summary(self.definition.name))
        return plan.update

    async def is_stored(self) -> bool:
        """Whether the storage has ever been used."""
        return await self._store.backend.get(self._stored.version_key) is not None

    async def _fill(self) -> None:
        """Store the default items, unless that has been done, and follow their definition once."""
        if self._stored.filled:
            # They may have expired.
            if self._store.lifetimes.storage is None or await self.is_stored():
                return
            self._stored.filled = False
        await self.follow()

    async def _write(self, *writes: Put | Delete) -> None:
        if self._store.changes is not None:
            self._check_can_stage()
        await self._store.apply(ChangeSet(writes=[*writes, *self._changed([write.key for write in writes])]))

    def _check_can_stage(self) -> None:
        """Raise StorageError if a change of this storage cannot be committed together with the client's session."""
        backend = self._store.backend
        if not backend.one_commit([self._stored.prefix, keys.owned(self._client)]):
            raise StorageError(
                f"storage {self.definition.name!r} is shared by all clients, and tools cannot change it on"
                f" {backend.url}: a cluster keeps it apart from the session. Use a single server, or change it"
                " outside of a turn"
            )

    def _changed(self, items: Sequence[str]) -> Sequence[Write]:
        return self._stored.changed(items, self._store.lifetimes.storage)

    def _key(self, item_id: str) -> str:
        escaped = keys.escape(item_id)
        # escape() shortens a long name to a mark and a digest, from which the id cannot be recovered.
        if not item_id or "~" in escaped:
            raise ValueError(
                f"id {item_id!r:.60}: expected 1 to 200 characters; each byte other than A-Z a-z 0-9 _.@+- counts as 3"
            )
        return self._stored.key(item_id)


def _new_ids(number: int) -> list[str]:
    """Return ids that sort by time and then by their order here; the random end keeps two processes apart."""
    now, ends = time.time_ns(), secrets.token_hex(4 * number)
    return [f"{now + at:016x}{ends[8 * at : 8 * at + 8]}" for at in range(number)]
