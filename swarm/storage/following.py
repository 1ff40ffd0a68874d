"""Update a stored storage to its current definition: read the stored items, and plan the writes of one commit."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from swarmchat.backends import Backend, Delete, Expect, Put, Write
from swarmchat.swarm.storage.definition import Manifest, Update, adopt, decode_manifest, follow
from swarmchat.swarm.storage.items import ItemForm, StoredItems


@dataclass(frozen=True)
class Plan:
    """An update with the writes of its commit; without writes, nothing has changed."""

    update: Update
    writes: Sequence[Write] = ()
    is_new: bool = False
    """Whether nothing was stored before."""


@dataclass(frozen=True)
class Follower:
    """Plans how the items in ``stored`` follow their definition."""

    backend: Backend
    form: ItemForm[Any]
    stored: StoredItems
    common: StoredItems | None
    """Items that all swarms shared before each had its own: they are copied at the first use."""
    embedder: str
    ttl: float | None
    new_ids: Callable[[int], Sequence[str]]

    async def plan(self, *, force: bool) -> Plan:
        """Return the plan; ``force`` is as for ``definition.follow``. Raises StorageError and the backend's errors."""
        stored, defaults = self.stored, self.form.default_items
        version, content = await self.backend.get_many([stored.version_key, stored.manifest_key])
        if version is None:
            return self._commit(version, content, *await self._beginning(force))
        manifest = decode_manifest(content)
        if manifest is None:
            return self._commit(version, content, await self._adopted(await self._items(stored), force), {})
        is_same = [entry[1:] for entry in manifest.entries] == [item[1:] for item in defaults]
        if is_same and manifest.embedder == self.embedder and not force:
            return Plan(Update())
        items = await self._items(stored)
        update = follow(defaults, manifest.entries, items, self.new_ids, force=force)
        if not is_same:
            left = {item_id: value for item_id, value in (items | update.writes).items() if value is not None}
            update.unfit = sum(not self.form.is_findable(*item) for item in left.items())
        if manifest.embedder != self.embedder:
            update.embedder = manifest.embedder, self.embedder
        return self._commit(version, content, update, {})

    async def _beginning(self, force: bool) -> tuple[Update, dict[str, bytes]]:
        """Return the update of a storage that has no items yet, and the items that are copied to it."""
        if self.common is not None and await self.backend.get(self.common.version_key) is not None:
            items = await self._items(self.common)
            update = await self._adopted(items, force)
            # Otherwise they are the items of another swarm, which had a storage of the same name.
            if len(update.entries) > update.missing or (items and not update.entries):
                return update, items
        return follow(self.form.default_items, (), {}, self.new_ids), {}

    async def _adopted(self, items: dict[str, bytes], force: bool) -> Update:
        """Return the update of a storage without a manifest."""
        defaults = self.form.default_items
        update = adopt(defaults, [self.form.entry(*each) for each in items.items()], self.new_ids)
        return follow(defaults, update.entries, items, self.new_ids, force=True) if force else update

    async def _items(self, stored: StoredItems) -> dict[str, bytes]:
        return {stored.id(key): value async for key, value in self.backend.scan(stored.prefix)}

    def _commit(self, version: bytes | None, content: bytes | None, update: Update, copied: dict[str, bytes]) -> Plan:
        writes: list[Write] = [Expect(self.stored.version_key, version), Expect(self.stored.manifest_key, content)]
        changed = {self.stored.key(item_id): value for item_id, value in {**copied, **update.writes}.items()}
        writes += [Delete(key) if value is None else Put(key, value, self.ttl) for key, value in changed.items()]
        if changed or version is None:
            writes += self.stored.changed(list(changed), self.ttl)
        writes.append(Put(self.stored.manifest_key, Manifest(self.embedder, update.entries).encode(), self.ttl))
        return Plan(update, writes, is_new=version is None and not copied)
