"""Storages: what is put in, found, changed by others, collected for later, and what cannot be read."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
import warm
from chats import Faulty
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field
from questions import FACTS, HELD_OUT
from swarmchat.backends import Append, Backend, BackendUnavailable, CorruptValue, Delete, Put, open_backend
from swarmchat.backends.memory import MemoryBackend
from swarmchat.swarm.errors import StorageError
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.store import ChangeSet, Lifetimes, Store, commit_changes
from swarmchat.swarm.storage.declaration import Storage
from swarmchat.swarm.storage.embeddings import PersistEmbedding
from swarmchat.swarm.storage.items import StoredItems
from swarmchat.swarm.storage.ngram_embedder import NgramEmbedder
from swarmchat.swarm.storage.storage import Hit, PersistStorage
from swarmchat.swarm.storage.vector_index import SearchIndex, build_index
from typing_extensions import TypedDict  # what pydantic wants before Python 3.12

FILLER = Path(__file__).parents[2] / "helpers" / "storage_filler.py"
_T = TypeVar("_T")


@dataclass(frozen=True)
class Fact:
    about: str
    since: date = date(2026, 1, 2)


class Product(BaseModel):
    name: str = Field(alias="title")
    tags: set[str] = set()


class Row(TypedDict):
    name: str
    price: float


BANANA, OCTOPUS = Fact("a banana is a berry"), Fact("an octopus has three hearts")
FACT_STORAGE = Storage("facts", index=lambda fact: fact.about, items=[BANANA, OCTOPUS])
WORDS: Storage[str] = Storage("words", index=lambda word: word, type=str)


class Table:
    """An embedder whose vectors are given by hand."""

    name = "table"
    default_score = 0.5

    def __init__(self, **vectors: Sequence[float]) -> None:
        self.vectors = vectors
        self.asked: list[str] = []

    async def embed(self, texts: Sequence[str]) -> np.ndarray:
        self.asked += texts
        return np.array([self.vectors[text] for text in texts], np.float32)


def make(
    backend: Backend, definition: Storage[_T], client: str = "ann", lifetimes: Lifetimes | None = None, **more: Any
) -> PersistStorage[_T]:
    store = Store(backend, lifetimes or Lifetimes(), **more)
    return PersistStorage(definition, store, client, PersistEmbedding(store, NgramEmbedder(64)))


def run(work: Coroutine[Any, Any, _T]) -> _T:
    return asyncio.run(work)


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Backend]:
    backend = open_backend(url)
    try:
        yield backend
    finally:
        await backend.close()


@pytest.fixture
def on(backend_url) -> Callable[[Callable[[Backend], Coroutine[Any, Any, None]]], None]:
    """Run a test on one backend of each kind."""

    def on_backend(check: Callable[[Backend], Coroutine[Any, Any, None]]) -> None:
        async def work() -> None:
            async with opened(backend_url) as backend:
                await check(backend)

        run(work())

    return on_backend


class TestItems:
    def test_put_read_replace_remove(self, on):
        async def check(backend: Backend) -> None:
            storage = make(backend, WORDS)
            assert await storage.list() == []
            first = await storage.upsert("apple")
            assert await storage.upsert("pear", "mine") == "mine"
            assert await storage.get(first) == "apple"
            assert await storage.get("other") is None
            assert await storage.items() == [(first, "apple"), ("mine", "pear")]
            await storage.upsert("plum", "mine")
            assert await storage.list() == ["apple", "plum"]
            assert await storage.remove("mine") is True
            assert await storage.remove("mine") is False
            assert await storage.list() == ["apple"]
            assert await storage.clear() == 1
            assert await storage.clear() == 0
            assert await make(backend, WORDS).list() == []

        on(check)

    def test_new_ids_are_never_used_again_and_sort_by_time(self, on):
        async def check(backend: Backend) -> None:
            storage = make(backend, WORDS)
            ids = [await storage.upsert(str(number)) for number in range(20)]
            await storage.clear()
            ids += [await storage.upsert(str(number)) for number in range(20)]
            assert len(set(ids)) == 40
            assert sorted(ids) == ids

        on(check)

    @pytest.mark.parametrize("item_id", ["a:b", "../x", "*", "{x}", "\0", " ", "é", "\U0001f98a" * 16, "%41", "\udc80"])
    def test_hostile_ids(self, on, item_id):
        async def check(backend: Backend) -> None:
            storage, other = make(backend, WORDS), make(backend, replace(WORDS, name="words:a"))
            await storage.upsert("apple", item_id)
            assert await storage.items() == [(item_id, "apple")]
            assert await storage.get(item_id) == "apple"
            assert await other.list() == []
            assert await storage.remove(item_id)

        on(check)

    @pytest.mark.parametrize("item_id", ["", "x" * 201, "\U0001f98a" * 17])
    def test_ids_that_no_key_can_hold(self, item_id):
        storage = make(MemoryBackend(), WORDS)
        for call in (storage.upsert("apple", item_id), storage.get(item_id), storage.remove(item_id)):
            with pytest.raises(ValueError, match="expected 1 to 200 characters"):
                run(call)
        assert run(storage.list()) == []

    def test_each_client_has_its_own_unless_it_is_shared(self, on):
        async def check(backend: Backend) -> None:
            await make(backend, WORDS, "ann").upsert("apple")
            assert await make(backend, WORDS, "bob").list() == []
            shared = replace(WORDS, shared=True)
            await make(backend, shared, "ann").upsert("pear")
            assert await make(backend, shared, "bob").list() == ["pear"]
            assert await make(backend, WORDS, "~shared").list() == []

        on(check)

    @pytest.mark.parametrize(
        ("item", "definition"),
        [
            (BANANA, Storage("s", index=lambda fact: fact.about, type=Fact)),
            (Product(title="pen", tags={"blue"}), Storage("s", index=lambda product: product.name, type=Product)),
            ({"name": "pen", "price": 1.5}, Storage("s", index=lambda row: row["name"], type=Row)),
            ({"any": [1, None, "é"]}, Storage("s", index=str)),
            ("text", Storage("s", index=str)),
        ],
    )
    def test_kinds_of_items(self, item, definition):
        async def check() -> None:
            backend = MemoryBackend()
            item_id = await make(backend, definition).upsert(item)
            assert await make(backend, definition).get(item_id) == item
            assert type(await make(backend, definition).get(item_id)) is type(item)

        run(check())

    def test_what_is_handed_out_is_the_callers_own(self):
        async def check() -> None:
            storage = make(MemoryBackend(), Storage("s", index=lambda row: row["name"], items=[{"name": "pen"}]))
            (taken,) = await storage.take("pen")
            taken["name"] = "changed"
            assert await storage.list() == [{"name": "pen"}]

        run(check())


class TestDefaults:
    def test_put_in_once_and_never_again(self, on):
        async def check(backend: Backend) -> None:
            storage = make(backend, FACT_STORAGE)
            assert await storage.list() == [BANANA, OCTOPUS]
            (first, _), _ = await storage.items()
            await storage.remove(first)
            assert await make(backend, FACT_STORAGE).list() == [OCTOPUS]
            await storage.clear()
            assert await make(backend, FACT_STORAGE).list() == []
            assert await make(backend, FACT_STORAGE, "bob").list() == [BANANA, OCTOPUS]

        on(check)

    @pytest.mark.parametrize("first", ["list", "take", "get", "upsert", "remove", "clear"])
    def test_any_first_call_puts_them_in(self, first):
        async def check() -> None:
            backend = MemoryBackend()
            storage = make(backend, FACT_STORAGE)
            calls: dict[str, Callable[[], Coroutine[Any, Any, Any]]] = {
                "list": storage.list,
                "take": lambda: storage.take("banana"),
                "get": lambda: storage.get("x"),
                "upsert": lambda: storage.upsert(Fact("new"), "x"),
                "remove": lambda: storage.remove("x"),
                "clear": storage.clear,
            }
            await calls[first]()
            expected = {"upsert": [BANANA, OCTOPUS, Fact("new")], "clear": []}.get(first, [BANANA, OCTOPUS])
            assert sorted(map(str, await make(backend, FACT_STORAGE).list())) == sorted(map(str, expected))

        run(check())

    def test_from_a_function_called_once(self):
        async def check() -> None:
            calls = []

            def items() -> list[Fact]:
                calls.append(1)
                return [BANANA]

            storage = make(MemoryBackend(), replace(FACT_STORAGE, items=items))
            assert calls == []
            assert await storage.list() == await storage.take("banana", score=-1) == [BANANA]
            assert calls == [1]

        run(check())

    def test_tasks_at_once(self, on):
        async def check(backend: Backend) -> None:
            storages = [make(backend, FACT_STORAGE) for _ in range(5)]
            for found in await asyncio.gather(*(storage.list() for storage in storages)):
                assert found == [BANANA, OCTOPUS]

        on(check)

    @pytest.mark.parametrize("kind", ["disk", "redis"])
    def test_processes_at_once(self, kind, tmp_path, request):
        url = f"disk:{tmp_path}" if kind == "disk" else request.getfixturevalue("redis_url")
        processes = [warm.start_python(FILLER, url, stdin=subprocess.PIPE) for _ in range(3)]
        try:
            assert [process.stdout.readline() for process in processes if process.stdout] == ["ready\n"] * 3
            for process in processes:
                assert process.stdin
                process.stdin.write("go\n")
                process.stdin.flush()
            assert [process.communicate(timeout=60)[0] for process in processes] == ["50\n"] * 3
        finally:
            for process in processes:
                process.kill()
                process.communicate()

    def test_a_store_that_is_away_puts_in_nothing_twice(self):
        async def check() -> None:
            backend = Faulty(MemoryBackend())
            for lands in (False, True):
                backend.fail, backend.lands = 1, lands
                storage = make(backend, FACT_STORAGE, f"client {lands}")
                with pytest.raises(BackendUnavailable):
                    await storage.list()
                assert await storage.list() == [BANANA, OCTOPUS]

        run(check())

    def test_one_that_cannot_be_stored(self):
        wrong: Any = [BANANA, "no fact"]
        with pytest.raises(StorageError, match="storage 'facts': 'no fact' does not fit its type"):
            run(make(MemoryBackend(), replace(FACT_STORAGE, items=wrong)).list())


class TestOthers:
    def test_changes_of_other_processes_are_seen(self, on):
        async def check(backend: Backend) -> None:
            here, there = make(backend, FACT_STORAGE), make(backend, FACT_STORAGE)
            assert await here.take("octopus hearts") == await there.take("octopus hearts") == [OCTOPUS]
            item_id = await there.upsert(Fact("octopus hearts"))
            assert await here.take("octopus hearts") == [Fact("octopus hearts")]
            await there.remove(item_id)
            assert await here.take("octopus hearts") == [OCTOPUS]
            await there.clear()
            assert await here.list() == await here.take("octopus hearts") == []

        on(check)

    def test_a_read_of_what_is_known_costs_one_round_trip(self):
        class Counting(Faulty):
            reads = 0

            async def get(self, key: str) -> bytes | None:
                self.reads += 1
                return await super().get(key)

            def scan(self, prefix: str) -> AsyncIterator[tuple[str, bytes]]:
                self.reads += 1
                return super().scan(prefix)

        async def check() -> None:
            backend = Counting(MemoryBackend())
            storage = make(backend, FACT_STORAGE)
            await storage.take("banana")
            backend.reads = 0
            await storage.take("banana")
            assert backend.reads == 1
            await storage.list()
            assert backend.reads == 2
            before = backend.commits
            await storage.upsert(BANANA)
            assert (backend.reads, backend.commits) == (2, before + 1)

        run(check())

    def test_only_what_is_new_is_embedded(self):
        async def check() -> None:
            embedder = Table(a=[1, 0], b=[0, 1], c=[1, 1])
            store = Store(MemoryBackend())
            storage = PersistStorage(WORDS, store, "ann", PersistEmbedding(store, embedder))
            await storage.upsert("a")
            await storage.upsert("b")
            assert await storage.take("a") == ["a"]
            await storage.upsert("c")
            assert await storage.take("c") == ["c"]
            assert sorted(embedder.asked) == ["a", "b", "c"]

        run(check())

    @pytest.mark.parametrize("forgets", [False, True])
    def test_only_what_has_changed_is_read_again(self, on, forgets):
        class Counting(Faulty):
            scans = 0

            def scan(self, prefix: str) -> AsyncIterator[tuple[str, bytes]]:
                self.scans += 1
                return super().scan(prefix)

        def drawn(number: int) -> int:
            return 0 if forgets else 1

        async def check(backend: Backend) -> None:
            counting = Counting(backend)
            here, there = StoredItems("ann", "words"), StoredItems("ann", "words", drawn)

            async def write(**items: bytes | None) -> None:
                changed = {there.prefix + keys.escape(item_id): value for item_id, value in items.items()}
                writes = [Delete(key) if value is None else Put(key, value) for key, value in changed.items()]
                await backend.commit(*writes, *there.changed([*changed], None))

            async def read() -> list[tuple[str, bytes]]:
                return list((await here.read(counting, lasting=True)).items())

            await write(b=b"1", d=b"1")
            assert await read() == [("b", b"1"), ("d", b"1")]
            await write(e=b"1")
            assert await read() == [("b", b"1"), ("d", b"1"), ("e", b"1")]
            await write(a=b"1", d=b"2")
            await write(**{"c:\ud800": b"1"})
            await write(b=None, e=None)
            assert await read() == [("a", b"1"), ("c:\ud800", b"1"), ("d", b"2")]
            # Their keys are in the other order.
            await write(é=b"1", z=b"1")
            assert [item_id for item_id, _ in await read()] == ["a", "c:\ud800", "d", "z", "é"]
            await write(é=None, z=None)
            assert len(await read()) == 3
            scans = counting.scans
            assert scans == (5 if forgets else 1)
            await write(**{str(number): b"1" for number in range(101)})
            for number in range(101):
                await write(**{str(number): None})
            assert len(await read()) == 3
            assert counting.scans == scans + 1

        on(check)

    def test_a_read_sees_what_was_there_before_it_whoever_reads_at_once(self):
        class Gated(Faulty):
            def __init__(self, inner: Backend) -> None:
                super().__init__(inner)
                self.readers: asyncio.Queue[asyncio.Event] = asyncio.Queue()
                self.open = True

            async def get_many(self, wanted: Sequence[str]) -> list[bytes | None]:
                if not self.open:
                    gate = asyncio.Event()
                    self.readers.put_nowait(gate)
                    await gate.wait()
                return await super().get_many(wanted)

        async def check() -> None:
            backend = Gated(MemoryBackend())
            here, there = make(backend, WORDS), make(backend, WORDS)
            await there.upsert("one")
            assert await here.list() == ["one"]
            backend.open = False
            reads, gates = [], []
            for word in ("two", "three"):
                await there.upsert(word)
                reads.append(asyncio.ensure_future(here.list()))
                gates.append(await backend.readers.get())
            backend.open = True
            for gate, read, words in zip(gates, reads, (["one", "two"], ["one", "two", "three"]), strict=True):
                gate.set()
                # The first read may see more than it has to.
                assert set(await read) >= set(words)

        run(check())

    def test_of_several_that_remove_an_item_one_did(self, on):
        async def check(backend: Backend) -> None:
            item_id = await make(backend, WORDS).upsert("apple")
            removals = await asyncio.gather(*(make(backend, WORDS).remove(item_id) for _ in range(4)))
            assert sorted(removals) == [False, False, False, True]

        on(check)

    def test_items_that_change_while_they_are_read_are_read_again(self):
        class Busy(Faulty):
            changes = 0

            async def scan(self, prefix: str) -> AsyncIterator[tuple[str, bytes]]:
                keys = [each async for each in self.inner.scan(prefix)]
                if self.changes:
                    self.changes -= 1
                    await make(self.inner, WORDS).upsert(f"change {self.changes}", str(self.changes))
                for key, value in keys:
                    yield key, value

        async def check() -> None:
            for changes in (1, 2, 3):
                backend = Busy(MemoryBackend())
                storage = make(backend, WORDS)
                await storage.upsert("word", "word")
                backend.changes = changes
                await storage.list()
                # At the latest the next read has them all.
                assert len(await storage.list()) == changes + 1

        run(check())

    def test_items_that_run_out(self):
        async def check() -> None:
            now = 0.0
            backend = MemoryBackend(clock=lambda: now)
            storage = make(backend, WORDS, lifetimes=Lifetimes(storage=10))
            await storage.upsert("apple")
            now = 6.0
            await storage.upsert("pear")
            assert await storage.list() == ["apple", "pear"]
            now = 12.0
            assert await storage.list() == await storage.take("pear apple", 5, -1) == ["pear"]

        run(check())

    def test_a_store_that_was_emptied_is_filled_again(self):
        async def check() -> None:
            backend = MemoryBackend()
            storage = make(backend, FACT_STORAGE)
            await storage.list()
            await backend.commit(*[Delete(key) async for key, _ in backend.scan("")])
            assert await storage.list() == []
            assert await storage.list() == [BANANA, OCTOPUS]

        run(check())


class TestCollected:
    def test_seen_here_only_until_they_are_committed(self, on):
        async def check(backend: Backend) -> None:
            storage, other = make(backend, FACT_STORAGE), make(backend, FACT_STORAGE)
            before = await storage.items()
            changes = ChangeSet()
            view = storage.through(Store(backend, changes=changes))
            new = await view.upsert(Fact("purple hippo"))
            await view.upsert(Fact("green banana"), before[0][0])
            assert await view.remove(before[1][0]) is True
            assert await view.remove(before[1][0]) is False
            assert await view.get(new) == Fact("purple hippo")
            assert await view.list() == [Fact("green banana"), Fact("purple hippo")]
            assert await view.take("purple hippo") == [Fact("purple hippo")]
            assert await view.take("octopus hearts") == []
            for outside in (storage, other):
                assert await outside.items() == before
                assert await outside.take("purple hippo") == []
                assert await outside.take("octopus hearts") == [OCTOPUS]
            await commit_changes(backend, changes)
            for outside in (storage, other):
                assert await outside.list() == [Fact("green banana"), Fact("purple hippo")]
                assert await outside.take("purple hippo") == [Fact("purple hippo")]

        on(check)

    def test_dropped_they_leave_nothing(self, on):
        async def check(backend: Backend) -> None:
            storage = make(backend, FACT_STORAGE)
            view = storage.through(Store(backend, changes=ChangeSet()))
            assert await view.clear() == 2
            assert await view.clear() == 0
            assert await view.list() == await view.take("banana") == []
            await view.upsert(Fact("purple hippo"))
            assert await view.take("purple hippo") == [Fact("purple hippo")]
            assert await storage.list() == [BANANA, OCTOPUS]
            assert await storage.take("purple hippo") == []
            fresh = storage.through(Store(backend, changes=ChangeSet()))
            assert await fresh.list() == [BANANA, OCTOPUS]

        on(check)

    def test_changes_of_others_meanwhile_are_not_lost(self, on):
        async def check(backend: Backend) -> None:
            storage, other = make(backend, WORDS), make(backend, WORDS)
            changes = ChangeSet()
            view = storage.through(Store(backend, changes=changes))
            await view.upsert("mine", "a")
            await other.upsert("theirs", "b")
            assert await view.list() == ["mine", "theirs"]
            await commit_changes(backend, changes)
            assert await storage.list() == await other.list() == ["mine", "theirs"]

        on(check)


class TestSearch:
    def test_facts_are_found_by_their_description(self, on):
        async def check(backend: Backend) -> None:
            store = Store(backend)
            definition = Storage("facts", index=str, items=FACTS)
            storage = PersistStorage(definition, store, "ann", PersistEmbedding(store, NgramEmbedder()))
            for question, fact in HELD_OUT:
                assert await storage.take(question) == [FACTS[fact]]
            assert await storage.take("what is the square root of 144", total=30) == []

        on(check)

    def test_the_best_of_several_texts_counts(self):
        async def check() -> None:
            embedder = Table(a=[1, 0], b=[0, 1], c=[0.6, 0.8], x=[1, 0], y=[0.8, 0.6])
            store = Store(MemoryBackend())
            definition: Storage[str] = Storage("s", index=lambda letters: tuple(letters), items=["ab", "c", "ba", ""])
            storage = PersistStorage(definition, store, "ann", PersistEmbedding(store, embedder))
            hits = await storage.search("x", 4, -1)
            assert [(hit.item, hit.score) for hit in hits] == [("ab", 1), ("ba", 1), ("c", 0.6), ("", 0)]
            assert [hit.item for hit in await storage.search("y", 4)] == ["c", "ab", "ba"]

        run(check())

    def test_indexes_that_extend_the_same_one_stay_apart(self):
        async def check() -> None:
            embedding = PersistEmbedding(Store(MemoryBackend()), Table(a=[1, 0, 0], b=[0, 1, 0], c=[0, 0, 1]))

            async def built(letters: str, previous: SearchIndex | None = None) -> SearchIndex:
                raws = {letter: letter.encode() for letter in letters}
                return await build_index(raws, lambda letter, _: [letter], embedding, previous)

            first = await built("a")
            with_b, with_c = await built("ab", first), await built("ac", first)
            for index, letters in ((first, "a"), (with_b, "ab"), (with_c, "ac"), (await built("bc", with_c), "bc")):
                for letter, vector in zip("abc", np.eye(3, dtype=np.float32), strict=True):
                    assert index.best(vector, 3, 0.5) == ([(letter, 1.0)] if letter in letters else [])

        run(check())

    def test_limits(self):
        async def check() -> None:
            embedder = Table(a=[1, 0], b=[0.8, 0.6], c=[0.5, 0.75**0.5], x=[1, 0])
            store = Store(MemoryBackend())
            storage = PersistStorage(WORDS, store, "ann", PersistEmbedding(store, embedder))
            for word in "cab":
                await storage.upsert(word, word)
            assert await storage.search("x", 9) == [Hit("a", "a", 1), Hit("b", "b", 0.8), Hit("c", "c", 0.5)]
            assert await storage.take("x", 2) == ["a", "b"]
            assert await storage.take("x", 9, 0.8) == ["a", "b"]
            assert await storage.take("x", 9, 1) == ["a"]
            assert await storage.take("x", 9, 1.1) == []
            assert await storage.take("x", 10**30, float("-inf")) == ["a", "b", "c"]
            for wrong in (0, -1):
                with pytest.raises(ValueError, match="total"):
                    await storage.take("x", wrong)
            with pytest.raises(ValueError, match="score"):
                await storage.take("x", 1, float("nan"))

        run(check())

    def test_blank_texts_are_like_nothing(self):
        async def check() -> None:
            storage = make(MemoryBackend(), WORDS)
            await storage.upsert("", "a")
            assert await storage.take("word") == await storage.take(" ") == []
            assert await storage.take("word", 2, 0) == [""]
            await storage.upsert("word", "b")
            assert await storage.take(" ") == []
            assert await storage.take(" ", 2, 0) == ["", "word"]
            assert await storage.take("word", 2, 0) == ["word", ""]
            await storage.upsert("", "c")
            assert await storage.take("word", 9, 0) == ["word", "", ""]

        run(check())

    def test_an_embedder_of_its_own(self):
        async def check() -> None:
            embedder = Table(a=[1, 0], b=[1, 0.1])
            storage = make(MemoryBackend(), replace(WORDS, embedder=embedder))
            await storage.upsert("a")
            assert await storage.take("b") == ["a"]
            assert embedder.asked == ["a", "b"]

        run(check())

    def test_nothing_is_embedded_for_an_empty_storage(self):
        embedder = Table()
        assert run(make(MemoryBackend(), replace(WORDS, embedder=embedder)).take("a")) == []
        assert embedder.asked == []

    @pytest.mark.parametrize("stale", ["a", "b", "ab"])
    def test_a_cache_of_another_model(self, stale):
        async def check() -> None:
            backend = MemoryBackend()
            before = Table(a=[1, 0, 0], b=[1, 0.1, 0])
            await PersistEmbedding(Store(backend), before).vectors([*stale])
            storage = make(backend, replace(WORDS, embedder=Table(a=[1, 0], b=[1, 0.1], c=[1, 0.2])))
            await storage.upsert("a")
            for search in "bcab":
                assert await storage.take(search) == ["a"]

        run(check())

    @given(
        st.lists(st.lists(st.lists(st.integers(-2, 2), min_size=3, max_size=3), max_size=3), max_size=12),
        st.lists(st.integers(-2, 2), min_size=3, max_size=3),
        st.integers(1, 13),
        st.sampled_from([-1.0, 0.0, 0.3, 0.5, 1.0]),
    )
    def test_as_by_comparing_with_each(self, items, query, total, score):
        def named(vector: list[int]) -> str:
            return ",".join(map(str, vector))

        class Parsing(Table):
            async def embed(self, texts: Sequence[str]) -> np.ndarray:
                return np.array([list(map(float, text.split(","))) for text in texts], np.float32)

        def cosine(one: list[int], other: list[int]) -> float:
            lengths = float(np.linalg.norm(one) * np.linalg.norm(other))
            return float(np.dot(one, other)) / lengths if lengths else 0.0

        async def check() -> None:
            store = Store(MemoryBackend())
            definition = Storage("s", index=lambda vectors: [named(each) for each in vectors], type=list)
            storage = PersistStorage(definition, store, "ann", PersistEmbedding(store, Parsing()))
            for at, vectors in enumerate(items):
                await storage.upsert(vectors, f"{at:02}")
            all_scores = [
                (round(max([cosine(each, query) for each in item], default=0.0), 6), at)
                for at, item in enumerate(items)
            ]
            best = sorted((-each, at) for each, at in all_scores if each >= score)[:total]
            hits = await storage.search(named(query), total, score)
            assert [hit.id for hit in hits] == [f"{at:02}" for _, at in best]
            assert [hit.score for hit in hits] == pytest.approx([-each for each, _ in best], abs=2e-6)

        run(check())


class TestUnreadable:
    def test_an_item_that_does_not_fit_its_type_is_named_and_left(self, on):
        async def check(backend: Backend) -> None:
            storage = make(backend, FACT_STORAGE)
            (first, _), (second, _) = await storage.items()
            key = keys.storage_items("ann", "facts") + keys.escape(first)
            await backend.commit(Put(key, b'{"since": "soon"}'), Put(keys.storage_version("ann", "facts"), b"new"))
            for call in (storage.list(), storage.items(), storage.get(first), storage.take("banana")):
                with pytest.raises(StorageError, match=f"storage 'facts': the item '{first}' .*about") as caught:
                    await call
                assert caught.value.exit_code == 65
            assert await backend.get(key) == b'{"since": "soon"}'
            assert await storage.get(second) == OCTOPUS
            await storage.upsert(BANANA, first)
            assert await storage.list() == [BANANA, OCTOPUS]

        on(check)

    @pytest.mark.parametrize("way", ["remove", "clear"])
    def test_it_can_be_removed(self, way):
        async def check() -> None:
            backend = MemoryBackend()
            storage = make(backend, WORDS)
            await storage.upsert("apple", "good")
            await backend.commit(Put(keys.storage_items("ann", "words") + "bad", b"\xff"))
            if way == "remove":
                assert await storage.remove("bad") is True
                assert await storage.list() == ["apple"]
            else:
                assert await storage.clear() == 2

        run(check())

    def test_a_key_of_another_kind_stays_the_backends_error(self, on):
        async def check(backend: Backend) -> None:
            await backend.commit(Append(keys.storage_version("ann", "words"), (b"x",)))
            with pytest.raises(CorruptValue):
                await make(backend, WORDS).list()

        on(check)

    def test_a_failed_read_destroys_nothing(self):
        class Failing(Faulty):
            failing = False

            async def get(self, key: str) -> bytes | None:
                if self.failing:
                    raise BackendUnavailable("away")
                return await super().get(key)

            async def get_many(self, wanted: Sequence[str]) -> list[bytes | None]:
                if self.failing:
                    raise BackendUnavailable("away")
                return await super().get_many(wanted)

        async def check() -> None:
            backend = Failing(MemoryBackend())
            await make(backend, FACT_STORAGE).upsert(Fact("third"))
            storage = make(backend, FACT_STORAGE)
            backend.failing = True
            for call in (storage.list(), storage.upsert(Fact("fourth")), storage.clear()):
                with pytest.raises(BackendUnavailable):
                    await call
            backend.failing = False
            assert await storage.list() == [BANANA, OCTOPUS, Fact("third")]

        run(check())

    @pytest.mark.parametrize(
        ("definition", "item", "wrong"),
        [
            (FACT_STORAGE, {"since": "soon"}, "does not fit its type"),
            (FACT_STORAGE, object(), "does not fit its type"),
            (WORDS, "\ud800", "does not fit its type"),
            (Storage("s", index=lambda fact: fact.about), BANANA, "its index failed for the item"),
            (Storage("s", index=lambda item: 1), 1, "its index failed for the item"),
            (Storage("s", index=lambda item: [1]), 1, "expected text"),
            (Storage("s", index=str, type=Backend), 1, "cannot be stored; use a dataclass"),
        ],
    )
    def test_what_cannot_be_stored_is_refused(self, definition, item, wrong):
        async def check() -> None:
            backend = MemoryBackend()
            with pytest.raises(StorageError, match=f"storage '{definition.name}'.*{wrong}"):
                await make(backend, definition).upsert(item)
            assert [key async for key, _ in backend.scan(keys.storage_items("ann", definition.name))] == []

        run(check())


_steps = st.lists(
    st.tuples(
        st.sampled_from(["upsert", "remove", "clear", "list", "other"]), st.sampled_from("abcd:"), st.text(max_size=3)
    ),
    max_size=25,
)


@given(_steps)
def test_a_storage_is_a_dict(steps):
    async def check() -> None:
        backend = MemoryBackend()
        storage, model = make(backend, WORDS), dict[str, str]()
        for step, item_id, word in steps:
            if step == "upsert":
                await storage.upsert(word, item_id)
                model[item_id] = word
            elif step == "remove":
                assert await storage.remove(item_id) == (model.pop(item_id, None) is not None)
            elif step == "clear":
                assert await storage.clear() == len(model)
                model.clear()
            elif step == "other":
                storage = make(backend, WORDS)
            assert await storage.get(item_id) == model.get(item_id)
            assert await storage.items() == sorted(model.items())
            hits = await storage.search(word, 9, -1)
            assert sorted(hit.id for hit in hits) == sorted(model)

    run(check())
