"""Vectors: the cache in front of every embedder, the offline embedder, and the one behind a server."""

import asyncio
import base64
import hashlib
import struct
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

import numpy as np
import pytest
from chats import Faulty
from hypothesis import given
from hypothesis import strategies as st
from model_server import Cut, Gate, ModelServer, Reply, SeenRequest, embeddings, failure, server_fixture, vector_of
from questions import FACTS, HELD_OUT, TUNING, UNRELATED
from swarmchat.backends import Append, BackendUnavailable, CorruptValue, Put, open_backend
from swarmchat.backends.memory import MemoryBackend
from swarmchat.swarm.errors import (
    ContextTooLong,
    DefinitionError,
    EmbeddingError,
    ModelAuthError,
    ModelBusy,
    ModelError,
    ModelNotFound,
    ModelRefused,
    ModelUnavailable,
)
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.store import Lifetimes, Store
from swarmchat.swarm.storage.embeddings import PersistEmbedding, decode_vector, encode_vector
from swarmchat.swarm.storage.ngram_embedder import NgramEmbedder
from swarmchat.swarm.storage.openai_embedder import OpenAIEmbedder

server = server_fixture

KEY = "sk-test-0123456789abcdefghij"
_T = TypeVar("_T")


class Counting:
    """An embedder that notes what it was asked for, and fails, waits or changes its dimension when told to."""

    name = "counting"
    default_score = 0.5

    def __init__(self, dimension: int = 4) -> None:
        self.dimension = dimension
        self.asked: list[list[str]] = []
        self.failures: list[Exception] = []
        self.gate: asyncio.Event | None = None
        self.started = asyncio.Event()

    @property
    def texts(self) -> list[str]:
        return [text for batch in self.asked for text in batch]

    async def embed(self, texts: Sequence[str]) -> np.ndarray:
        self.asked.append(list(texts))
        self.started.set()
        if self.gate:
            await self.gate.wait()
        if self.failures:
            raise self.failures.pop(0)
        return np.array([vector_of(text, self.dimension) for text in texts], np.float32)


def unit(text: str, dimension: int = 4) -> np.ndarray:
    vector = np.array(vector_of(text, dimension), np.float32)
    return vector / np.linalg.norm(vector)


def run(work: Coroutine[Any, Any, _T]) -> _T:
    return asyncio.run(work)


class TestVectors:
    def test_rows_of_length_one_in_the_order_of_the_texts(self, backend_url):
        async def check() -> None:
            backend = open_backend(backend_url)
            vectors = await PersistEmbedding(Store(backend), Counting()).vectors(["b", "a", "b"])
            assert vectors.dtype == np.float32
            np.testing.assert_allclose(vectors, [unit("b"), unit("a"), unit("b")], rtol=1e-6)
            await backend.close()

        run(check())

    def test_a_model_gets_its_prefixes(self, server: ModelServer):
        async def check() -> None:
            embedder = OpenAIEmbedder("m", base_url=server.base_url, prefixes=("query: ", "passage: "))
            embedding = PersistEmbedding(Store(MemoryBackend()), embedder)
            await embedding.vectors(["tea", " "])
            await embedding.vectors(["tea"], searched=True)
            await embedder.close()

        run(check())
        assert [request["input"] for request in server.embedding_requests] == [["passage: tea"], ["query: tea"]]

    def test_the_cache_survives_the_process(self, backend_url, server: ModelServer):
        async def ask(texts: list[str]) -> np.ndarray:
            embedder = OpenAIEmbedder("m", base_url=server.base_url)
            backend = shared or open_backend(backend_url)
            try:
                return await PersistEmbedding(Store(backend), embedder).vectors(texts)
            finally:
                await embedder.close()
                if backend is not shared:
                    await backend.close()

        # Memory is the one store that does not outlive its process: its object stands for it.
        shared = MemoryBackend() if backend_url == "memory:" else None
        first = run(ask(["one", "two", "one"]))
        again = run(ask(["two", "one", "three"]))
        assert [request["input"] for request in server.embedding_requests] == [["one", "two"], ["three"]]
        np.testing.assert_array_equal(first[:2], again[1::-1])

    def test_many_texts_are_asked_for_in_batches_and_stored_in_commits(self):
        async def check() -> None:
            backend, embedder = Faulty(MemoryBackend()), Counting()
            texts = [f"text {number}" for number in range(2300)]
            await PersistEmbedding(Store(backend), embedder).vectors(texts)
            assert [len(batch) for batch in embedder.asked] == [1000, 1000, 300]
            assert backend.commits == 3
            other = Counting()
            vectors = await PersistEmbedding(Store(backend), other).vectors(texts)
            assert vectors.shape == (2300, 4)
            assert other.asked == []

        run(check())

    def test_in_this_process_the_last_used_are_remembered(self):
        async def check() -> None:
            backend = MemoryBackend()
            embedding = PersistEmbedding(Store(backend), embedder := Counting(), remembered=2)
            await embedding.vectors(["a", "b"])
            await embedding.vectors(["a"])
            await embedding.vectors(["c"])
            await backend.commit(*[Put(keys.embedding("counting", text), b"?") for text in "abc"])
            await embedding.vectors(["a", "c"])
            assert embedder.texts == ["a", "b", "c"]
            await embedding.vectors(["b"])
            assert embedder.texts == ["a", "b", "c", "b"]

        run(check())

    def test_blank_texts_get_zeros_and_are_not_asked_for(self):
        async def check() -> None:
            embedding = PersistEmbedding(Store(MemoryBackend()), embedder := Counting())
            assert (await embedding.vectors(["", " \n"])).shape == (2, 0)
            assert (await embedding.vectors([])).shape == (0, 0)
            vectors = await embedding.vectors(["", "a"])
            np.testing.assert_allclose(vectors, [np.zeros(4), unit("a")], rtol=1e-6)
            assert (await embedding.vectors([""])).tolist() == [[0, 0, 0, 0]]
            assert embedder.texts == ["a"]

        run(check())

    def test_what_the_embedder_finds_nothing_in_is_zeros_from_the_cache_too(self):
        async def check() -> None:
            backend = MemoryBackend()
            for _ in range(2):
                vectors = await PersistEmbedding(Store(backend), NgramEmbedder(16)).vectors(["?!", "word"])
                assert not vectors[0].any()
                assert vectors[1].any()
            assert decode_vector(await backend.get(keys.embedding("ngram-1-16", "?!")) or b"") is not None

        run(check())

    def test_the_lifetime_is_that_of_embeddings(self):
        async def check() -> None:
            now = 0.0
            backend = MemoryBackend(clock=lambda: now)
            store = Store(backend, Lifetimes(embedding=10))
            await PersistEmbedding(store, Counting()).vectors(["a"])
            now = 9.0
            assert await backend.get(keys.embedding("counting", "a"))
            now = 11.0
            assert await backend.get(keys.embedding("counting", "a")) is None

        run(check())

    def test_another_embedder_in_the_same_store(self):
        async def check() -> None:
            embedding = PersistEmbedding(Store(MemoryBackend()), Counting())
            other = embedding.using(NgramEmbedder(16))
            assert embedding.using(None) is embedding.using(Counting()) is embedding
            assert embedding.using(NgramEmbedder(16)) is other
            assert (await other.vectors(["a word"])).shape == (1, 16)

        run(check())


class TestAtOnce:
    def test_the_same_text_is_computed_once(self, backend_url):
        async def check() -> None:
            backend = open_backend(backend_url)
            embedding = PersistEmbedding(Store(backend), embedder := Counting())
            calls = [embedding.vectors(["same", f"own {number}"]) for number in range(10)]
            results = await asyncio.gather(*calls)
            assert sorted(embedder.texts) == sorted(["same", *(f"own {number}" for number in range(10))])
            for number, vectors in enumerate(results):
                np.testing.assert_allclose(vectors, [unit("same"), unit(f"own {number}")], rtol=1e-6)
            await backend.close()

        run(check())

    def test_storages_and_sessions_of_a_process_share_what_is_computed(self, backend_url):
        async def check() -> None:
            backend, embedder = open_backend(backend_url), Counting()
            embedder.gate = asyncio.Event()
            owners = [PersistEmbedding(Store(backend), embedder) for _ in range(5)]
            calls = [asyncio.ensure_future(owner.vectors(["same", f"own {at}"])) for at, owner in enumerate(owners)]
            await embedder.started.wait()
            embedder.gate.set()
            for at, vectors in enumerate(await asyncio.gather(*calls)):
                np.testing.assert_allclose(vectors, [unit("same"), unit(f"own {at}")], rtol=1e-6)
            assert embedder.texts.count("same") == 1
            # Another store keeps its own vectors.
            await PersistEmbedding(Store(MemoryBackend()), embedder).vectors(["same"])
            assert embedder.texts.count("same") == 2
            await backend.close()

        run(check())

    def test_a_failure_reaches_all_who_wait_and_is_not_kept(self):
        async def check() -> None:
            embedding = PersistEmbedding(Store(MemoryBackend()), embedder := Counting())
            embedder.failures.append(ModelUnavailable("down"))
            embedder.gate = asyncio.Event()
            calls = [asyncio.ensure_future(embedding.vectors(["a"])) for _ in range(3)]
            await embedder.started.wait()
            embedder.gate.set()
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
            assert [type(outcome) for outcome in outcomes] == [ModelUnavailable] * 3
            assert (await embedding.vectors(["a"])).shape == (1, 4)
            assert embedder.texts == ["a", "a"]

        run(check())

    def test_who_waits_for_a_cancelled_one_does_it_alone(self):
        async def check() -> None:
            embedding = PersistEmbedding(Store(MemoryBackend()), embedder := Counting())
            embedder.gate = asyncio.Event()
            first = asyncio.ensure_future(embedding.vectors(["a", "b"]))
            await embedder.started.wait()
            others = [asyncio.ensure_future(embedding.vectors(["a"])) for _ in range(3)]
            await asyncio.sleep(0)
            first.cancel()
            embedder.gate.set()
            for vectors in await asyncio.gather(*others):
                np.testing.assert_allclose(vectors, [unit("a")], rtol=1e-6)
            assert embedder.asked == [["a", "b"], ["a"]]
            with pytest.raises(asyncio.CancelledError):
                await first

        run(check())

    def test_cancelling_one_who_waits_disturbs_nobody(self):
        async def check() -> None:
            embedding = PersistEmbedding(Store(MemoryBackend()), embedder := Counting())
            embedder.gate = asyncio.Event()
            first = asyncio.ensure_future(embedding.vectors(["a"]))
            await embedder.started.wait()
            other = asyncio.ensure_future(embedding.vectors(["a"]))
            await asyncio.sleep(0)
            other.cancel()
            await asyncio.wait([other])
            embedder.gate.set()
            assert (await first).shape == (1, 4)
            assert embedder.texts == ["a"]

        run(check())


class TestTrust:
    @pytest.mark.parametrize(
        "damage",
        [
            b"",
            b"\x04",
            b"not a vector",
            struct.pack("<I4f", 5, 1, 0, 0, 0),
            struct.pack("<I4f", 4, 1, 0, 0, 0)[:-1],
            struct.pack("<I4f", 4, 1, 1, 0, 0),
            struct.pack("<I4f", 4, float("nan"), 0, 0, 0),
            struct.pack("<I4f", 4, float("inf"), 0, 0, 0),
            struct.pack("<I", 0),
            struct.pack("<I", 2**32 - 1),
        ],
    )
    def test_a_damaged_entry_is_computed_again_and_replaced(self, backend_url, damage):
        async def check() -> None:
            backend = open_backend(backend_url)
            key = keys.embedding("counting", "a")
            await backend.commit(Put(key, damage))
            vectors = await PersistEmbedding(Store(backend), embedder := Counting()).vectors(["a"])
            np.testing.assert_allclose(vectors, [unit("a")], rtol=1e-6)
            assert embedder.texts == ["a"]
            assert await backend.get(key) == encode_vector(vectors[0])
            await backend.close()

        run(check())

    @pytest.mark.parametrize("stale", [["a"], ["b"], ["a", "b"]])
    def test_entries_of_another_dimension_are_computed_again(self, stale):
        async def check() -> None:
            backend = MemoryBackend()
            await backend.commit(
                *[Put(keys.embedding("counting", each), encode_vector(unit(each, 3))) for each in stale]
            )
            embedding = PersistEmbedding(Store(backend), embedder := Counting())
            vectors = await embedding.vectors(["a", "b", "c"])
            np.testing.assert_allclose(vectors, [unit("a"), unit("b"), unit("c")], rtol=1e-6)
            assert sorted(embedder.texts) == ["a", "b", "c"]

        run(check())

    def test_what_came_from_a_stale_cache_earlier_is_forgotten(self):
        async def check() -> None:
            backend = MemoryBackend()
            await backend.commit(Put(keys.embedding("counting", "a"), encode_vector(unit("a", 3))))
            embedding = PersistEmbedding(Store(backend), Counting())
            assert (await embedding.vectors(["a"])).shape == (1, 3)
            assert (await embedding.vectors(["b"])).shape == (1, 4)
            assert (await embedding.vectors(["a"])).shape == (1, 4)

        run(check())

    def test_a_stale_cache_that_is_found_out_while_it_is_read(self):
        class Slow(Faulty):
            async def get_many(self, wanted: Sequence[str]) -> list[bytes | None]:
                values = await super().get_many(wanted)
                if keys.embedding("counting", "slow") in wanted:
                    reading.set()
                    await go_on.wait()
                return values

        async def check() -> None:
            backend = Slow(MemoryBackend())
            stale = [Put(keys.embedding("counting", each), encode_vector(unit(each, 3))) for each in ("a", "slow")]
            await backend.commit(*stale)
            embedding = PersistEmbedding(Store(backend), Counting())
            first = asyncio.ensure_future(embedding.vectors(["a", "slow"]))
            waiting = asyncio.ensure_future(embedding.vectors(["a"]))
            await reading.wait()
            await embedding.vectors(["b"])
            go_on.set()
            assert (await first).shape == (2, 4)
            assert (await waiting).shape == (1, 4)

        reading, go_on = asyncio.Event(), asyncio.Event()
        run(check())

    def test_a_model_that_changes_its_dimension(self):
        async def check() -> None:
            embedding = PersistEmbedding(Store(MemoryBackend()), embedder := Counting())
            await embedding.vectors(["a"])
            embedder.dimension = 5
            with pytest.raises(EmbeddingError, match="'counting' returned vectors of 5 numbers, and of 4 before"):
                await embedding.vectors(["b"])
            assert (await embedding.vectors(["a"])).shape == (1, 4)

        run(check())

    @pytest.mark.parametrize("answer", [np.zeros((2, 4)), np.zeros(4), np.zeros((1, 0)), [[np.nan, 1]], [[1e39, 1]]])
    def test_an_answer_that_is_no_set_of_vectors(self, answer):
        class Wrong(Counting):
            async def embed(self, texts: Sequence[str]) -> np.ndarray:
                return np.asarray(answer)

        backend = MemoryBackend()
        with np.errstate(over="ignore"), pytest.raises(EmbeddingError, match="counting"):
            run(PersistEmbedding(Store(backend), Wrong()).vectors(["a"]))

    def test_a_key_of_another_kind_is_the_backends_error(self):
        async def check() -> None:
            backend = MemoryBackend()
            await backend.commit(Append(keys.embedding("counting", "a"), (b"x",)))
            embedding = PersistEmbedding(Store(backend), embedder := Counting())
            with pytest.raises(CorruptValue):
                await embedding.vectors(["a", "b"])
            assert (await embedding.vectors(["a", "b"])).shape == (2, 4)
            assert embedder.asked == [["a", "b"]]

        run(check())

    def test_a_cache_that_cannot_be_read_is_the_backends_error(self):
        class Away(Faulty):
            async def get_many(self, wanted: Sequence[str]) -> list[bytes | None]:
                raise BackendUnavailable("away")

        async def check() -> None:
            embedding = PersistEmbedding(Store(Away(MemoryBackend())), embedder := Counting())
            with pytest.raises(BackendUnavailable):
                await embedding.vectors(["a", "b"])
            assert embedder.asked == []

        run(check())

    def test_what_was_computed_is_kept_when_the_cache_cannot_be_written(self):
        async def check() -> None:
            backend = Faulty(MemoryBackend())
            backend.fail = 1
            embedding = PersistEmbedding(Store(backend), embedder := Counting())
            with pytest.raises(BackendUnavailable):
                await embedding.vectors(["a"])
            assert (await embedding.vectors(["a"])).shape == (1, 4)
            assert embedder.texts == ["a"]

        run(check())


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=40))
def test_vectors_come_back_as_they_were_stored(numbers):
    vector = np.array(numbers, np.float64)
    vector = (vector / (np.linalg.norm(vector) or 1)).astype(np.float32)
    value = encode_vector(vector)
    assert value[:4] == len(numbers).to_bytes(4, "little")
    restored = decode_vector(value)
    assert restored is not None
    np.testing.assert_array_equal(restored, vector)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_vector_or_refused(value):
    vector = decode_vector(value)
    assert vector is None or encode_vector(vector) == value


class TestNgrams:
    """Held to what was measured when its weights were chosen; docs/decisions/0009."""

    def ranks(self, pairs: list[tuple[str, int]]) -> list[int]:
        embedder = NgramEmbedder()
        facts, questions = run(embedder.embed(FACTS)), run(embedder.embed([question for question, _ in pairs]))
        scores = questions @ facts.T
        return [int((scores[at] > scores[at, fact]).sum()) for at, (_, fact) in enumerate(pairs)]

    def test_facts_are_found_by_questions(self):
        held_out, tuning = self.ranks(HELD_OUT), self.ranks(TUNING)
        assert sum(rank == 0 for rank in held_out) >= 19
        assert sum(rank < 3 for rank in held_out) == 20
        assert sum(rank == 0 for rank in tuning) >= 18

    def test_the_default_score_separates_related_from_unrelated(self):
        embedder = NgramEmbedder()
        facts = run(embedder.embed(FACTS))
        unrelated = (run(embedder.embed(UNRELATED)) @ facts.T).max(axis=1)
        assert (unrelated >= embedder.default_score).sum() <= 2
        questions = run(embedder.embed([question for question, _ in TUNING + HELD_OUT]))
        right = [questions[at] @ facts[fact] for at, (_, fact) in enumerate(TUNING + HELD_OUT)]
        assert sum(score >= embedder.default_score for score in right) >= 38

    def test_vectors_are_the_same_on_every_machine(self):
        vectors = run(NgramEmbedder().embed(["Größe und café", "глубина озера", "长城有多长", "Nova 7, Nova 7!"]))
        digest = hashlib.sha256(np.round(vectors * 10_000).astype("<i4").tobytes()).hexdigest()
        assert digest == "4e5cd34d649b7545611974fbf35636368dbbcbf52ea32de960c964e64303246e"

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("STRASSE", "straße"),
            ("Café", "cafe\u0301"),
            ("cafe", "café"),
            ("ﬁsh", "fish"),
            ("a  b", "a, b"),
            ("ёлка", "елка"),
        ],
    )
    def test_what_is_folded(self, one, other):
        first, second = run(NgramEmbedder().embed([one, other]))
        assert first @ second > 0.999

    def test_any_text_has_a_vector(self):
        vectors = run(NgramEmbedder(64).embed(["", "\ud800", "x" * 10_000, "हिन्दी में", "ひらがな", "한국어", "\0"]))
        assert vectors.dtype == np.float32
        assert np.isfinite(vectors).all()
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), [0, 0, 1, 1, 1, 1, 0], atol=1e-5)

    def test_the_name_holds_the_dimension(self):
        assert NgramEmbedder(64).name != NgramEmbedder(65).name
        with pytest.raises(ValueError, match="dimension 0"):
            NgramEmbedder(0)


def embedder_for(server: ModelServer, **more: Any) -> OpenAIEmbedder:
    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    waits: list[float] = []
    settings: dict[str, Any] = {"base_url": server.base_url, "api_key": KEY, "sleep": sleep, "jitter": lambda: 1.0}
    embedder = OpenAIEmbedder("m", **{**settings, **more})
    embedder.__dict__["waits"] = waits
    return embedder


def embed(embedder: OpenAIEmbedder, *texts: str) -> np.ndarray:
    async def ask() -> np.ndarray:
        try:
            return await embedder.embed(texts)
        finally:
            await embedder.close()

    return run(ask())


def encoded(*vectors: Sequence[float]) -> list[str]:
    return [base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode() for vector in vectors]


class TestServer:
    def test_the_request_and_the_vectors(self, server: ModelServer):
        vectors = embed(embedder_for(server, dimensions=6), "é", "\U0001f98a", "\ud800")
        seen = server.requests[0]
        assert (seen.method, seen.path) == ("POST", "/v1/embeddings")
        assert seen.headers["authorization"] == f"Bearer {KEY}"
        assert seen.body == {
            "model": "m",
            "input": ["é", "\U0001f98a", "?"],
            "dimensions": 6,
            "encoding_format": "base64",
        }
        assert vectors.dtype == np.float32
        np.testing.assert_allclose(vectors[:2], [vector_of("é", 6), vector_of("\U0001f98a", 6)], rtol=1e-6)

    def test_nothing_is_asked_for_nothing(self, server: ModelServer):
        assert embed(embedder_for(server)).shape == (0, 0)
        assert server.requests == []

    def test_batches_by_number_and_by_length_keep_the_order(self, server: ModelServer):
        texts = [f"text {number}" for number in range(9)] + ["x" * 70_000, "y" * 70_000]
        vectors = embed(embedder_for(server, batch=4), *texts)
        assert sorted(len(request["input"]) for request in server.embedding_requests) == [1, 2, 4, 4]
        np.testing.assert_allclose(vectors, [vector_of(text) for text in texts], rtol=1e-6)

    def test_the_index_says_which_is_which(self, server: ModelServer):
        server.reply_embeddings(embeddings([[2, 2], [1, 1]], indexes=[1, 0]))
        assert embed(embedder_for(server), "a", "b").tolist() == [[1, 1], [2, 2]]

    def test_lists_of_numbers_are_taken_too(self, server: ModelServer):
        server.reply_embeddings(embeddings([[0.5, -1]]), embeddings(encoded([0.5, -1])))
        assert embed(embedder_for(server), "a").tolist() == embed(embedder_for(server), "a").tolist() == [[0.5, -1]]

    def test_a_server_without_base64_is_asked_without(self, server: ModelServer):
        server.reply_embeddings(failure(400, "base64 encoding is not currently supported"))
        embedder = embedder_for(server)
        embed(embedder, "a")
        embed(embedder, "b")
        assert ["encoding_format" in request for request in server.embedding_requests] == [True, False, False]

    @pytest.mark.parametrize("status", [429, 500, 503, 408])
    def test_what_may_pass_is_tried_again(self, server: ModelServer, status):
        server.reply_embeddings(failure(status), failure(status, headers={"Retry-After": "7"}))
        embedder = embedder_for(server)
        np.testing.assert_allclose(embed(embedder, "a"), [vector_of("a")], rtol=1e-6)
        assert embedder.__dict__["waits"] == [0.5, 7]

    def test_a_dropped_connection_and_a_wait_of_no_time_do_no_harm(self, server: ModelServer):
        server.reply_embeddings(Reply([Cut()]), failure(500, headers={"Retry-After": "0"}))
        embedder = embedder_for(server)
        np.testing.assert_allclose(embed(embedder, "a"), [vector_of("a")], rtol=1e-6)
        assert embedder.__dict__["waits"] == [0]

    def test_attempts_run_out(self, server: ModelServer):
        server.reply_embeddings(*[failure(500)] * 9)
        with pytest.raises(ModelUnavailable):
            embed(embedder_for(server, max_retries=2), "a")
        assert len(server.requests) == 3

    @pytest.mark.parametrize(
        ("reply", "kind"),
        [
            (failure(401, f"Incorrect API key provided: {KEY}"), ModelAuthError),
            (failure(403), ModelAuthError),
            (failure(404, "model 'm' not found", code="model_not_found"), ModelNotFound),
            (failure(404, body={"detail": "Not Found"}), ModelNotFound),
            (failure(400, "bad input"), ModelRefused),
            (failure(400, "This model's maximum context length is 8192 tokens"), ContextTooLong),
            (failure(429, code="insufficient_quota"), ModelBusy),
            (failure(429, headers={"Retry-After": "999"}), ModelBusy),
            (Reply([b"<html>hello"], headers={"Content-Type": "text/html"}), ModelNotFound),
            (Reply([b"oops"], headers={"Content-Type": "application/json"}), ModelUnavailable),
            (failure(200, body={"error": {"message": "no such model", "code": 404}}), ModelNotFound),
            (failure(200, body={"data": "x"}), ModelUnavailable),
            (failure(200, body={"data": [{"index": 0, "embedding": "!"}]}), ModelUnavailable),
            (failure(200, body=b"[1]"), ModelUnavailable),
            (embeddings([[1.0]]), ModelUnavailable),
            (embeddings([[1.0], [2.0], [3.0]]), ModelUnavailable),
            (embeddings([[1.0], [2.0]], indexes=[0, 0]), ModelUnavailable),
            (embeddings([[1.0], [2.0]], indexes=[1, 2]), ModelUnavailable),
            (embeddings([[1.0], [2.0, 3.0]]), ModelUnavailable),
        ],
    )
    def test_refusals_and_nonsense_have_their_errors_and_no_key(self, server: ModelServer, reply, kind):
        server.reply_embeddings(reply)
        with pytest.raises(ModelError) as caught:
            embed(embedder_for(server), "a", "b")
        assert type(caught.value) is kind
        assert KEY not in str(caught.value)
        assert len(server.requests) == 1

    def test_batches_of_different_lengths(self, server: ModelServer):
        def reply(request: SeenRequest) -> Reply:
            return embeddings([[1.0] * len(request.body["input"][0])])

        server.reply_embeddings(reply, reply)
        with pytest.raises(ModelUnavailable, match="embeddings API"):
            embed(embedder_for(server, batch=1), "a", "bb")

    def test_silence(self, server: ModelServer):
        gate = Gate()
        server.reply_embeddings(Reply([gate]))
        with pytest.raises(ModelUnavailable, match=r"sent nothing for 0\.2 s"):
            embed(embedder_for(server, timeout=0.2, max_retries=0), "a")
        gate.release()

    def test_no_server(self):
        with pytest.raises(ModelUnavailable, match="cannot connect"):
            embed(OpenAIEmbedder("m", base_url="http://127.0.0.1:9/v1", max_retries=0), "a")

    def test_openai_itself_needs_a_key(self):
        with pytest.raises(ModelAuthError, match="OPENAI_API_KEY"):
            embed(OpenAIEmbedder("m"), "a")

    def test_names_and_scores(self):
        assert OpenAIEmbedder("m", dimensions=64).name == "m@64"
        assert OpenAIEmbedder("text-embedding-3-small").default_score == 0.3
        assert OpenAIEmbedder("nomic-embed-text").default_score == 0.5
        assert OpenAIEmbedder("m", default_score=0.1).default_score == 0.1
        for wrong in ({"batch": 0}, {"dimensions": 0}, {"base_url": "localhost"}):
            with pytest.raises(DefinitionError, match="expected"):
                OpenAIEmbedder("m", **wrong)
