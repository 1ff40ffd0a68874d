"""The memory backend: the conformance suite, and the clock."""

import asyncio
import tracemalloc
from itertools import count

import pytest
from swarmchat.backends import Append, CorruptValue, Put, Truncate, UnknownBackend, open_backend
from swarmchat.backends.memory import MemoryBackend
from swarmchat.backends.testing.suite import BackendConformance, MakeBackend


@pytest.fixture
def make_backend() -> MakeBackend:
    """Stores whose time passes by being looked at: 2 ms a look."""
    ticks = count()
    return lambda: MemoryBackend(clock=lambda: next(ticks) * 0.002)


class TestMemory(BackendConformance):
    persistent = False


def test_lifetimes_follow_the_clock_to_the_millisecond() -> None:
    async def scenario() -> None:
        now = 100.0
        backend = MemoryBackend(clock=lambda: now)
        await backend.commit(Put("a", b"1", 10), Append("b", (b"1",), 10))
        lease = await backend.acquire("lease", b"me", 10)
        assert lease
        now = 109.999
        assert await backend.get("a") == b"1"
        await backend.commit(lease=lease)
        now = 110
        assert await backend.get("a") is None
        assert await backend.length("b") == 0
        assert await backend.get("lease") == b"me"
        now = 119.999
        assert not await backend.get("lease")

    asyncio.run(scenario())


def test_what_has_run_out_is_forgotten_though_nobody_asks_for_it() -> None:
    async def scenario() -> None:
        now = 0.0
        backend = MemoryBackend(clock=lambda: now)
        for index in range(100):
            now += 1
            await backend.commit(Put(f"alive{index}", b"1", 5))
        assert len(backend._entries) < 20

    asyncio.run(scenario())


def test_each_opening_is_a_fresh_store() -> None:
    async def scenario() -> None:
        first, second = open_backend("memory:"), open_backend("memory:")
        await first.commit(Put("a", b"1"))
        assert await second.get("a") is None

    asyncio.run(scenario())


@pytest.mark.parametrize("url", ["memory:name", "memory://", "memory:?x=1"])
def test_takes_no_name(url: str) -> None:
    with pytest.raises(UnknownBackend, match="memory:"):
        open_backend(url)


def test_an_append_does_not_copy_the_list() -> None:
    async def scenario() -> None:
        backend = open_backend("memory:")
        await backend.commit(Append("log", (b"record",) * 100_000))
        # Python makes room for some more at the first one.
        await backend.commit(Append("log", (b"one more",)))
        tracemalloc.start()
        await backend.commit(Append("log", (b"one more",)))
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert most < 10_000

    asyncio.run(scenario())


def test_a_refused_commit_adds_nothing() -> None:
    async def scenario() -> None:
        backend = open_backend("memory:")
        await backend.commit(Append("log", (b"a",)), Put("value", b"1"))
        for writes in (
            (Append("log", (b"b",)),),
            (Truncate("log", 0), Append("log", (b"c",))),
            (Append("new", (b"d",)),),
        ):
            with pytest.raises(CorruptValue):
                await backend.commit(*writes, *writes, Append("value", (b"2",)))
            assert await backend.slice("log", 0) == [b"a"]
            assert await backend.length("new") == 0

    asyncio.run(scenario())
