"""The contract of ``swarmchat.backends.base`` as tests: for every backend, shipped or not.

A backend's whole test is a fixture and a class::

    @pytest.fixture
    def make_backend(tmp_path):
        return lambda: open_backend(f"mine:{tmp_path}")

    class TestMine(BackendConformance):
        pass

``make_backend()`` opens the same store each time within one test, and that store is empty when the test begins. Needs
pytest and hypothesis, no plugin for async tests.
"""

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from swarmchat.backends.base import Append, Backend, Delete, Lease, Put, Touch, Truncate, Write
from swarmchat.backends.errors import BackendError, CorruptValue, LeaseLost
from swarmchat.backends.testing_model import HOSTILE, check_model

MakeBackend = Callable[[], Backend]
_Scenario = Callable[["BackendConformance", MakeBackend], Coroutine[Any, Any, None]]

_SOON = 0.03
_LONG = 600.0
_PATIENCE = 20.0
_BLOBS = (b"", b"\0", b"\r\n$-1\r\n", bytes(range(256)), "é🦦".encode(), b"\x80\x04\x95.", b"x" * 1_000_000)


def scenario(test: _Scenario) -> Callable[["BackendConformance", MakeBackend], None]:
    """Run an async test in a loop of its own, and close what it opened."""

    def run(self: "BackendConformance", make_backend: MakeBackend) -> None:
        async def within() -> None:
            async with AsyncExitStack() as stack:

                def make() -> Backend:
                    backend = make_backend()
                    stack.push_async_callback(backend.close)
                    return backend

                await test(self, make)

        asyncio.run(within())

    # Not functools.wraps: pytest would look through it, and ask for a fixture called "make".
    run.__name__, run.__doc__ = test.__name__, inspect.getdoc(test)
    return run


class BackendConformance:
    """Inherit, and provide the fixture ``make_backend``."""

    persistent = True
    """Whether what was written is still there after closing and opening again."""

    def test_behaves_as_a_dict_of_values_and_lists(self, make_backend: MakeBackend) -> None:
        """Random commits on hostile, hierarchical keys, compared with a model step by step."""
        check_model(make_backend)

    @scenario
    async def test_is_empty_at_first(self, make: MakeBackend) -> None:
        """A missing key reads as nothing, and scanning finds nothing."""
        backend = make()
        assert await backend.get("a") is None
        assert await backend.length("a") == 0
        assert await backend.slice("a", 0) == []
        assert await _scan(backend, "") == []
        await backend.commit()
        await backend.commit(Delete("a"), Truncate("a", 0), Truncate("a", 3), Touch("a", 5), Append("a", ()))
        assert await _scan(backend, "") == []
        assert await backend.length("a") == 0

    @scenario
    async def test_returns_the_bytes_it_was_given(self, make: MakeBackend) -> None:
        """Any bytes, empty ones and a megabyte, as a value and in a list."""
        backend = make()
        for index, blob in enumerate(_BLOBS):
            await backend.commit(Put(f"v{index}", b"old"), Put(f"v{index}", blob), Append("list", (blob,)))
            assert await backend.get(f"v{index}") == blob
        assert await backend.slice("list", 0) == list(_BLOBS)

    @scenario
    async def test_keeps_hostile_keys_apart(self, make: MakeBackend) -> None:
        """Every key is its own, whatever is in it, as a value and as a list."""
        backend = make()
        await backend.commit(*(Put(key, key.encode()) for key in HOSTILE))
        await backend.commit(*(Append(f"list {key}", (key.encode(), b"2")) for key in HOSTILE))
        for key in HOSTILE:
            assert await backend.get(key) == key.encode()
            assert await backend.slice(f"list {key}", 0) == [key.encode(), b"2"]
        await backend.commit(*(Delete(key) for key in HOSTILE[::2]))
        assert [key for key, _ in await _scan(backend, "")] == sorted(HOSTILE[1::2])

    @scenario
    async def test_slices_as_python_does(self, make: MakeBackend) -> None:
        """All starts and stops, negative and out of range, on lists of no, one and five values."""
        backend = make()
        bounds = [*range(-7, 8), 10**6, -(10**6)]
        for size in (0, 1, 5):
            values = [b"%d" % index for index in range(size)]
            await backend.commit(Append(f"list{size}", tuple(values)))
            for start in bounds:
                for stop in (*bounds, None):
                    assert await backend.slice(f"list{size}", start, stop) == values[start:stop], (size, start, stop)

    @scenario
    async def test_appends_and_truncates(self, make: MakeBackend) -> None:
        """Lists grow at their end and shrink to their beginning, over many more values than one page."""
        backend = make()
        values = [b"%d" % index for index in range(5000)]
        await backend.commit(Append("list", tuple(values[:3000])), Append("list", tuple(values[3000:])))
        assert await backend.length("list") == 5000
        assert await backend.slice("list", -3) == values[-3:]
        assert await backend.slice("list", 0) == values
        await backend.commit(Truncate("list", 9000), Truncate("list", 2), Append("list", (b"new",)))
        assert await backend.slice("list", 0) == [b"0", b"1", b"new"]
        await backend.commit(Truncate("list", 0))
        assert await backend.length("list") == 0
        await backend.commit(Put("list", b"free to be a value"))

    @scenario
    async def test_a_key_is_of_one_kind(self, make: MakeBackend) -> None:
        """Reading or writing a key as the other kind raises CorruptValue, and nothing of that commit is written."""
        backend = make()
        await backend.commit(Put("value", b"1"), Append("list", (b"1",)))
        for read in (backend.get("list"), backend.length("value"), backend.slice("value", 0, 0)):
            with pytest.raises(CorruptValue, match=r"value|list|kind"):
                await read
        for clash in (Put("list", b"2"), Append("value", (b"2",)), Truncate("value", 1)):
            around = (Put("before", b"2"), Append("list", (b"2",)), Delete("value"), Put("value", b"2"))
            with pytest.raises(CorruptValue):
                await backend.commit(*around, clash, Put("after", b"2"))
            assert await _scan(backend, "") == [("value", b"1")]
            assert await backend.slice("list", 0) == [b"1"]

    @scenario
    async def test_applies_writes_in_order(self, make: MakeBackend) -> None:
        """A later write of a commit sees what an earlier one did."""
        backend = make()
        await backend.commit(Put("a", b"1"), Put("a", b"2"), Put("b", b"1"), Delete("b"))
        await backend.commit(Delete("a"), Append("a", (b"1", b"2")), Truncate("a", 1), Append("a", (b"3",)))
        await backend.commit(Append("c", (b"1",)), Truncate("c", 0), Put("c", b"value"))
        await backend.commit(Put("d", b"1", ttl=0), Append("d", (b"list",)))
        assert await _scan(backend, "") == [("c", b"value")]
        assert await backend.slice("a", 0) == [b"1", b"3"]
        assert await backend.slice("d", 0) == [b"list"]

    @scenario
    async def test_lifetimes_end(self, make: MakeBackend) -> None:
        """Values and whole lists go when their ttl has passed, and what comes later begins anew."""
        backend = make()
        await backend.commit(Put("value", b"1", _SOON), Append("list", (b"1",)), Append("list", (b"2",), _SOON))
        await backend.commit(Put("long", b"1", _LONG), Append("longlist", (b"1",), _LONG))
        await _until(lambda: _gone(backend, "value"))
        await _until(lambda: _gone(backend, "list", True))
        assert await _scan(backend, "") == [("long", b"1")]
        assert await backend.slice("list", 0) == []
        assert await backend.length("longlist") == 1
        await backend.commit(Append("value", (b"now a list",)), Append("list", (b"3",)))
        assert await backend.slice("list", 0) == [b"3"]
        assert await backend.length("value") == 1

    @scenario
    async def test_the_last_lifetime_counts(self, make: MakeBackend) -> None:
        """Each write gives the key a new ttl, None included; truncating leaves it."""
        backend = make()
        keys = ("append", "touch", "touchlong", "truncate", "witness")
        # In one commit, so that no ttl can pass between the first writes and the second.
        await backend.commit(
            *(Append(key, (b"1", b"2"), _SOON) for key in keys),
            Put("put", b"1", _SOON),
            Put("put", b"2"),
            Append("append", ()),
            Touch("touch"),
            Touch("touchlong", _LONG),
            Truncate("truncate", 1),
        )
        await _until(lambda: _gone(backend, "witness", True))
        await _until(lambda: _gone(backend, "truncate", True))
        assert await backend.get("put") == b"2"
        assert [await backend.length(key) for key in keys[:3]] == [2, 2, 2]
        await backend.commit(Touch("put", _SOON), Touch("append", _SOON))
        await _until(lambda: _gone(backend, "put"))
        await _until(lambda: _gone(backend, "append", True))

    @scenario
    async def test_a_lifetime_of_nothing_ends_at_once(self, make: MakeBackend) -> None:
        """A ttl of zero or less removes the key."""
        backend = make()
        await backend.commit(Append("a", (b"1",)), Put("b", b"1"), Put("c", b"1"), Append("d", (b"1",)))
        await backend.commit(Append("a", (b"2",), 0), Put("b", b"2", -1), Touch("c", 0), Append("d", (), 0))
        assert await _scan(backend, "") == []
        assert [await backend.length("a"), await backend.length("d")] == [0, 0]

    @scenario
    async def test_scans_in_order(self, make: MakeBackend) -> None:
        """All values under the prefix, no list, no other key, ordered by code point."""
        backend = make()
        names = [*HOSTILE, *(f"many:{index}" for index in range(350)), "~", "ÿ", "中", "\uffff", "🦦🦦"]
        for prefix in ("", "p:", "p:*", "p:?", "p:[a-z]", "p:\\", "P:", "p", "q:"):
            await backend.commit(*(Put(prefix + name, name.encode()) for name in names))
            await backend.commit(Append(f"{prefix}list", (b"1",)), Put(f"{prefix}gone", b"1", ttl=0))
        everything = await _scan(backend, "")
        assert [key for key, _ in everything] == sorted(key for key, _ in everything)
        assert len({key for key, _ in everything}) == len(everything)
        for prefix in ("", "p:", "p:*", "p:?", "p:[a-z]", "p:\\", "P:", "p", "many:34", "p:é", "p:\0", "nothing"):
            wanted = [(key, value) for key, value in everything if key.startswith(prefix)]
            assert await _scan(backend, prefix) == wanted, prefix

    @scenario
    async def test_scans_while_others_write(self, make: MakeBackend) -> None:
        """What is not touched meanwhile is seen exactly once."""
        backend = make()
        await backend.commit(*(Put(f"key{index:04}", b"1") for index in range(500)))
        seen = []
        async for key, _ in backend.scan("key"):
            seen.append(key)
            if len(seen) == 50:
                await backend.commit(*(Delete(f"key{index:04}") for index in range(0, 500, 2)))
                await backend.commit(*(Put(f"key{index:04}x", b"1") for index in range(0, 500, 4)))
        untouched = [f"key{index:04}" for index in range(1, 500, 2)]
        assert [key for key in seen if key in set(untouched)] == untouched
        assert seen == sorted(set(seen))

    @scenario
    async def test_gives_a_lease_to_one(self, make: MakeBackend) -> None:
        """One owner at a time; the same one again, or one who replaces it, may have it."""
        backend = make()
        lease = await backend.acquire("lease", b"me", _LONG)
        assert lease == Lease("lease", b"me", _LONG)
        assert await backend.get("lease") == b"me"
        assert await backend.acquire("lease", b"you", _LONG) is None
        assert await backend.acquire("lease", b"you", _LONG, replacing=b"") is None
        assert await backend.acquire("lease", b"me", _LONG) == lease
        taken = await backend.acquire("lease", b"you", _LONG, replacing=b"me")
        assert taken is not None
        assert not await backend.renew(lease)
        await backend.release(lease)
        assert await backend.get("lease") == b"you"
        assert await backend.renew(taken)
        await backend.release(taken)
        await backend.release(taken)
        assert await backend.get("lease") is None
        assert not await backend.renew(taken)
        assert await backend.acquire("lease", b"me", _LONG, replacing=b"nobody") == lease

    @scenario
    async def test_one_of_many_gets_a_lease(self, make: MakeBackend) -> None:
        """Of many that ask at once, exactly one succeeds."""
        backend = make()
        taken = await asyncio.gather(*(backend.acquire("lease", b"%d" % index, _LONG) for index in range(20)))
        assert len([lease for lease in taken if lease]) == 1

    @scenario
    async def test_a_lease_runs_out(self, make: MakeBackend) -> None:
        """An owner who does not renew loses it; renewing and committing begin the lease's ttl anew."""
        backend = make()
        lost = await backend.acquire("lost", b"me", _SOON)
        assert lost
        await _until(lambda: _gone(backend, "lost"))
        assert not await backend.renew(lost)
        assert await backend.acquire("lost", b"you", _LONG)
        for name in ("renewed", "used", "kept"):
            assert await backend.acquire(name, b"me", _LONG)
        assert await backend.renew(Lease("renewed", b"me", _SOON))
        await backend.commit(Put("a", b"1"), lease=Lease("used", b"me", _SOON))
        await _until(lambda: _gone(backend, "renewed"))
        await _until(lambda: _gone(backend, "used"))
        assert await backend.get("kept") == b"me"

    @scenario
    async def test_a_lost_lease_writes_nothing(self, make: MakeBackend) -> None:
        """A commit with a lease that somebody else holds, or nobody, raises LeaseLost."""
        backend = make()
        lease = await backend.acquire("lease", b"me", _LONG)
        assert lease
        await backend.commit(Append("list", (b"1",)), lease=lease)
        await backend.acquire("lease", b"you", _LONG, replacing=b"me")
        with pytest.raises(LeaseLost, match="lease"):
            await backend.commit(Append("list", (b"2",)), Put("a", b"2"), lease=lease)
        await backend.release(Lease("lease", b"you", _LONG))
        with pytest.raises(LeaseLost):
            await backend.commit(Append("list", (b"3",)), lease=lease)
        with pytest.raises(LeaseLost):
            await backend.commit(lease=lease)
        assert await backend.slice("list", 0) == [b"1"]
        assert await _scan(backend, "") == []

    @scenario
    async def test_concurrent_appends_lose_nothing(self, make: MakeBackend) -> None:
        """Many tasks on two connections: every value is there, and those of one append are side by side."""
        backends = (make(), make()) if self.persistent else (make(),) * 2
        batches = [tuple(b"%d.%d" % (task, index) for index in range(5)) for task in range(100)]
        await asyncio.gather(*(backends[task % 2].commit(Append("list", batch)) for task, batch in enumerate(batches)))
        values = await backends[0].slice("list", 0)
        assert sorted(tuple(values[index : index + 5]) for index in range(0, 500, 5)) == sorted(batches)

    @scenario
    async def test_a_cancelled_commit_is_whole(self, make: MakeBackend) -> None:
        """Cancelling a task that commits writes all of it or none, and the backend works on."""
        backend = make()
        for index in range(30):
            task = asyncio.create_task(backend.commit(Put(f"a{index}", b"1"), Append(f"b{index}", (b"1", b"2"))))
            for _ in range(index % 6):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert await backend.get("nothing") is None
        await backend.commit(Put("last", b"1"))
        for index in range(30):
            written = await backend.get(f"a{index}") is not None
            assert await backend.length(f"b{index}") == (2 if written else 0)
        assert await backend.get("last") == b"1"

    @scenario
    async def test_opening_again(self, make: MakeBackend) -> None:
        """A backend that persists has everything still, lifetimes and leases included."""
        if not self.persistent:
            return
        async with _closing(make()) as backend:
            await backend.commit(Put("a", b"1"), Append("list", (b"1", b"2")), Put("soon", b"1", _SOON))
            assert await backend.acquire("lease", b"me", _LONG)
        async with _closing(make()) as backend:
            await _until(lambda: _gone(backend, "soon"))
            assert await _scan(backend, "") == [("a", b"1"), ("lease", b"me")]
            assert await backend.slice("list", 0) == [b"1", b"2"]
            assert await backend.acquire("lease", b"you", _LONG) is None

    @scenario
    async def test_closes(self, make: MakeBackend) -> None:
        """Closing twice is no error; any call after it is BackendError naming the store."""
        unused = make()
        await unused.close()
        backend = make()
        await backend.commit(Put("a", b"1"))
        await backend.close()
        await backend.close()
        lease = Lease("lease", b"me", _LONG)
        writes: tuple[Write, ...] = (Put("a", b"2"),)
        for call in (
            backend.get("a"),
            backend.length("a"),
            backend.slice("a", 0),
            backend.commit(*writes),
            backend.commit(),
            backend.acquire("lease", b"me", _LONG),
            backend.renew(lease),
            backend.release(lease),
            _scan(backend, ""),
        ):
            with pytest.raises(BackendError, match="is closed") as caught:
                await call
            assert backend.url in str(caught.value)


async def _scan(backend: Backend, prefix: str) -> list[tuple[str, bytes]]:
    return [found async for found in backend.scan(prefix)]


async def _gone(backend: Backend, key: str, is_list: bool = False) -> bool:
    return (await backend.length(key)) == 0 if is_list else (await backend.get(key)) is None


async def _until(condition: Callable[[], Awaitable[bool]]) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _PATIENCE
    while not await condition():
        assert loop.time() < deadline, "a lifetime did not end"
        await asyncio.sleep(0.002)


@asynccontextmanager
async def _closing(backend: Backend) -> AsyncIterator[Backend]:
    try:
        yield backend
    finally:
        await backend.close()
