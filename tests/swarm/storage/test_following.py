"""Items that the swarm defines: changes of the definition, and of the items."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from swarmchat.backends import Backend, Delete, Put, open_backend
from swarmchat.swarm.errors import StorageError
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.store import Lifetimes, Store
from swarmchat.swarm.storage.declaration import Storage
from swarmchat.swarm.storage.embeddings import Embedder, PersistEmbedding
from swarmchat.swarm.storage.ngram_embedder import NgramEmbedder
from swarmchat.swarm.storage.storage import PersistStorage, StorageWatch


@dataclass(frozen=True)
class Bread:
    name: str
    price: float = 1.0


RYE, BUN, BAGUETTE = Bread("rye bread"), Bread("raisin bun"), Bread("baguette")


class Desk:
    """Opens the storage ``breads`` of a swarm as if in a new process each time."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.reported: list[str] = []

    def open(self, *items: Bread, scope: str | None = "shop", embedder: Embedder | None = None, **fields):
        fields = {"index": lambda bread: bread.name, "items": items, "type": Bread, **fields}
        definition = Storage("breads", **fields)
        store = Store(self.backend, Lifetimes())
        embedding = PersistEmbedding(store, embedder or NgramEmbedder(64))
        return PersistStorage(definition, store, "ann", embedding, scope, StorageWatch(self.reported.append))

    async def names(self, *items: Bread, **fields) -> list[tuple[str, float]]:
        return [(bread.name, bread.price) for bread in await self.open(*items, **fields).list()]


@pytest.fixture
def desk(backend_url):
    def check(scenario) -> None:
        async def run() -> None:
            backend = open_backend(backend_url)
            try:
                await scenario(Desk(backend))
            finally:
                await backend.close()

        asyncio.run(run())

    return check


def prices(*breads: Bread) -> list[tuple[str, float]]:
    return [(bread.name, bread.price) for bread in breads]


def test_a_changed_definition_is_followed_and_reported_once(desk):
    async def scenario(desk: Desk) -> None:
        assert await desk.names(RYE, BUN) == prices(RYE, BUN)
        assert await desk.names(RYE, BUN) == prices(RYE, BUN)
        assert desk.reported == []
        dearer = Bread("rye bread", 2.0)
        assert await desk.names(dearer, BAGUETTE) == prices(dearer, BAGUETTE)
        assert desk.reported == ["storage breads: items follow the swarm's definition: 1 added, 1 changed, 1 removed"]
        assert await desk.names(dearer, BAGUETTE) == prices(dearer, BAGUETTE)
        assert len(desk.reported) == 1
        hits = await desk.open(dearer, BAGUETTE).search("baguette")
        assert [hit.item for hit in hits] == [BAGUETTE]

    desk(scenario)


def test_a_changed_item_keeps_its_id(desk):
    async def scenario(desk: Desk) -> None:
        [(rye, _), (bun, _)] = await desk.open(RYE, BUN).items()
        assert await desk.open(BUN, Bread("rye bread", 3.0)).items() == [(rye, Bread("rye bread", 3.0)), (bun, BUN)]

    desk(scenario)


def test_what_tools_and_users_did_stays(desk):
    async def scenario(desk: Desk) -> None:
        storage = desk.open(RYE, BUN, BAGUETTE)
        [(rye, _), (bun, _), _] = await storage.items()
        await storage.upsert(Bread("rye bread", 9.0), rye)
        await storage.remove(bun)
        await storage.upsert(Bread("own"))
        expected = prices(Bread("rye bread", 9.0), BAGUETTE, Bread("own"))
        assert await desk.names(RYE, BUN, BAGUETTE) == expected
        assert desk.reported == []
        assert await desk.names(Bread("rye bread", 2.0), Bread("raisin bun", 2.0), BAGUETTE) == expected
        assert "2 changed here and in the definition: your version is kept" in desk.reported[0]
        assert "swarmchat storage reload breads" in desk.reported[0]
        assert await desk.names(BAGUETTE) == expected
        update = await desk.open(RYE, BUN).follow(force=True, dry_run=True)
        assert (update.added, update.changed, update.removed) == (2, 0, 1)
        assert await desk.names(BAGUETTE) == expected

    desk(scenario)


def test_a_reload_stores_the_definition_and_keeps_what_was_added(desk):
    async def scenario(desk: Desk) -> None:
        storage = desk.open(RYE, BUN)
        [(rye, _), (bun, _)] = await storage.items()
        await storage.upsert(Bread("rye bread", 9.0), rye)
        await storage.remove(bun)
        own = await storage.upsert(Bread("own"))
        update = await desk.open(RYE, BUN).follow(force=True)
        assert (update.added, update.changed, update.removed) == (1, 1, 0)
        assert await storage.items() == [(rye, RYE), (bun, BUN), (own, Bread("own"))]
        assert not await desk.open(RYE, BUN).follow(force=True)
        await storage.clear()
        assert await desk.names(RYE, BUN) == []
        await desk.open(RYE, BUN).follow(force=True)
        assert await desk.names(RYE, BUN) == prices(RYE, BUN)

    desk(scenario)


def test_another_index_or_embedder_is_reported_and_used(desk):
    async def scenario(desk: Desk) -> None:
        await desk.open(RYE, BUN).search("rye")
        by_price = {"index": lambda bread: f"{bread.name} for {bread.price}"}
        assert await desk.open(RYE, BUN, **by_price).search("raisin for 1.0")
        assert desk.reported == ["storage breads: the index has changed for 2 items"]
        other = NgramEmbedder(32)
        assert [hit.item for hit in await desk.open(RYE, BUN, **by_price, embedder=other).search("raisin bun")] == [BUN]
        assert desk.reported[1:] == [
            "storage breads: the embedder changed from ngram-1-64 to ngram-1-32: the next search embeds all items"
        ]

    desk(scenario)


def test_another_type_is_followed(desk):
    @dataclass(frozen=True)
    class Loaf:
        name: str
        grain: str

    async def scenario(desk: Desk) -> None:
        await desk.open(RYE).list()
        loaf = Loaf("rye bread", "rye")
        assert await desk.open(loaf, type=Loaf).list() == [loaf]

    desk(scenario)


@pytest.mark.parametrize("damaged", [b"", b"{", b"[1]", b'{"embedder":"x","items":[[1]]}', b'{"items":[]}', b"\xff"])
def test_a_damaged_manifest_is_as_none(desk, damaged):
    async def scenario(desk: Desk) -> None:
        await desk.open(RYE, BUN).upsert(Bread("own"))
        await desk.backend.commit(Put(keys.storage_manifest("ann", keys.scoped("breads", "shop")), damaged))
        assert await desk.names(RYE, BUN) == prices(RYE, BUN, Bread("own"))
        assert await desk.names(Bread("rye bread", 2.0), BUN) == prices(Bread("rye bread", 2.0), BUN, Bread("own"))

    desk(scenario)


def test_a_function_returns_the_items(desk):
    async def scenario(desk: Desk) -> None:
        assert await desk.open(items=lambda: [RYE]).list() == [RYE]
        assert await desk.open(items=lambda: [RYE, BUN]).list() == [RYE, BUN]
        with pytest.raises(StorageError, match="the function that returns its items failed"):
            await desk.open(items=lambda: [1 / 0]).list()
        assert await desk.open(items=lambda: [RYE, BUN]).list() == [RYE, BUN]
        assert len(desk.reported) == 1

    desk(scenario)


def test_processes_that_start_at_once_follow_once(desk):
    async def scenario(desk: Desk) -> None:
        await desk.open(RYE).list()
        lists = await asyncio.gather(*(desk.open(RYE, BUN, BAGUETTE).list() for _ in range(5)))
        assert lists == [[RYE, BUN, BAGUETTE]] * 5
        assert len(desk.reported) == 1

    desk(scenario)


def test_swarms_have_items_of_their_own(desk):
    async def scenario(desk: Desk) -> None:
        await desk.open(RYE).upsert(Bread("of shop"))
        await desk.open(BUN, scope="cafe").upsert(Bread("of cafe"))
        assert await desk.names(RYE) == prices(RYE, Bread("of shop"))
        assert await desk.names(BUN, scope="cafe") == prices(BUN, Bread("of cafe"))

    desk(scenario)


def test_items_from_before_swarms_had_their_own_are_found(desk):
    async def scenario(desk: Desk) -> None:
        await before(desk.backend, RYE, BUN, Bread("own"))
        assert await desk.names(RYE, BUN) == prices(RYE, BUN, Bread("own"))
        assert desk.reported == []
        # A swarm that had no part in them does not get them.
        assert await desk.names(BAGUETTE, scope="cafe") == prices(BAGUETTE)
        # Nothing returns: the items are copied once.
        await desk.open(RYE, BUN).clear()
        assert await desk.names(RYE, BUN) == []
        # A definition without items cannot tell whose they are.
        assert await desk.names(scope="open") == prices(RYE, BUN, Bread("own"))

    desk(scenario)


def test_of_older_items_a_changed_or_removed_one_is_reported_and_reloaded(desk):
    async def scenario(desk: Desk) -> None:
        await before(desk.backend, Bread("rye bread", 9.0), BUN)
        assert await desk.names(RYE, BUN, BAGUETTE) == prices(Bread("rye bread", 9.0), BUN)
        assert "1 changed here and in the definition: your version is kept; 1 of the definition are" in desk.reported[0]
        update = await desk.open(RYE, BUN, BAGUETTE).follow(force=True)
        assert (update.added, update.changed, update.removed) == (1, 1, 0)
        assert await desk.names(RYE, BUN, BAGUETTE) == prices(RYE, BUN, BAGUETTE)

    desk(scenario)


async def before(backend: Backend, *items: Bread) -> None:
    """Store ``items`` as earlier versions did: without a scope and without a manifest."""
    desk = Desk(backend)
    await desk.open(*items, scope=None).list()
    await backend.commit(Delete(keys.storage_manifest("ann", keys.scoped("breads", None))))


def test_a_bulk_of_items_is_stored_in_one_commit_or_not_at_all(desk):
    async def scenario(desk: Desk) -> None:
        storage = desk.open(RYE)
        wrong: Sequence = [(None, BUN), (None, {"price": 1})]
        with pytest.raises(Exception, match="does not fit its type"):
            await storage.upsert_many(wrong)
        assert await desk.names(RYE) == prices(RYE)
        ids = await storage.upsert_many([(None, BUN), ("own", BAGUETTE)])
        assert ids[1] == "own"
        assert await desk.names(RYE) == prices(RYE, BUN, BAGUETTE)

    desk(scenario)
