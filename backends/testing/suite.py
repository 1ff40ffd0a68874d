"""The contract of ``swarmchat.backends.base`` as tests: for every backend, shipped or not.

To test a backend, write a fixture and a class::

    @pytest.fixture
    def make_backend(tmp_path):
        return lambda: open_backend(f"mine:{tmp_path}")

    class TestMine(BackendConformance):
        pass

``make_backend()`` opens the same store each time within one test, and that store is empty when the test begins. Needs
pytest and hypothesis, but no plugin for async tests.
"""

import asyncio

import pytest
from swarmchat.backends.base import Append, Delete, Expect, Lease, Put, Touch, Truncate
from swarmchat.backends.errors import BackendError, CorruptValue, LeaseLost
from swarmchat.backends.testing.expect import ExpectConformance
from swarmchat.backends.testing.model import HOSTILE, check_model
from swarmchat.backends.testing.tools import BLOBS, LONG, SOON, MakeBackend, gone, scan, scenario, until
from swarmchat.backends.testing.wait import WaitConformance

__all__ = ["BackendConformance", "MakeBackend"]


class BackendConformance(ExpectConformance, WaitConformance):
    """Inherit, and provide the fixture ``make_backend``."""

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
        assert await scan(backend, "") == []
        await backend.commit()
        await backend.commit(Delete("a"), Truncate("a", 0), Truncate("a", 3), Touch("a", 5), Append("a", ()))
        assert await scan(backend, "") == []
        assert await backend.length("a") == 0

    @scenario
    async def test_knows_what_one_commit_can_write(self, make: MakeBackend) -> None:
        """A commit of keys that are said to be possible in one commit is possible; one key always is."""
        backend = make()
        assert backend.one_commit([])
        assert all(backend.one_commit([key, key]) for key in HOSTILE)
        for keys in (["a", "b"], ["{a}1", "{a}2"]):
            if backend.one_commit(keys):
                await backend.commit(*(Put(key, b"1") for key in keys))
                assert await backend.get_many(keys) == [b"1", b"1"]

    @scenario
    async def test_returns_the_bytes_it_was_given(self, make: MakeBackend) -> None:
        """Any bytes are returned unchanged, none and a megabyte too, as a value and in a list."""
        backend = make()
        for index, blob in enumerate(BLOBS):
            await backend.commit(Put(f"v{index}", b"old"), Put(f"v{index}", blob), Append("list", (blob,)))
            assert await backend.get(f"v{index}") == blob
        assert await backend.slice("list", 0) == list(BLOBS)

    @scenario
    async def test_keeps_hostile_keys_apart(self, make: MakeBackend) -> None:
        """No key is confused with another, whatever characters it has, as a value and as a list."""
        backend = make()
        await backend.commit(*(Put(key, key.encode()) for key in HOSTILE))
        await backend.commit(*(Append(f"list {key}", (key.encode(), b"2")) for key in HOSTILE))
        for key in HOSTILE:
            assert await backend.get(key) == key.encode()
            assert await backend.slice(f"list {key}", 0) == [key.encode(), b"2"]
        await backend.commit(*(Delete(key) for key in HOSTILE[::2]))
        assert [key for key, _ in await scan(backend, "")] == sorted(HOSTILE[1::2])

    @scenario
    async def test_reads_many_values_at_once(self, make: MakeBackend) -> None:
        """Values come in the order of the keys, ``None`` for a missing key and for a list, over more than one batch."""
        backend = make()
        numbers = [str(number) for number in range(2500)]
        await backend.commit(Append("list", (b"1",)), *(Put(key, key.encode()) for key in (*numbers, *HOSTILE)))
        await backend.commit(Put("0", b"", 0), Put("1", b""), Delete("2"))
        keys = [*reversed(numbers), "list", *HOSTILE, "missing", "7", "7"]
        changed = {"0": None, "1": b"", "2": None, "list": None, "missing": None}
        assert await backend.get_many(keys) == [changed.get(key, key.encode()) for key in keys]
        assert await backend.get_many([]) == []

    @scenario
    async def test_slices_as_python_does(self, make: MakeBackend) -> None:
        """All starts and stops, negative and out of range, on lists of zero, one and five values."""
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
        """Lists grow at their end and shrink to their first values, over more values than one page."""
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
            assert await scan(backend, "") == [("value", b"1")]
            assert await backend.slice("list", 0) == [b"1"]

    @scenario
    async def test_applies_writes_in_order(self, make: MakeBackend) -> None:
        """A later write of a commit sees what an earlier one did."""
        backend = make()
        await backend.commit(Put("a", b"1"), Put("a", b"2"), Put("b", b"1"), Delete("b"))
        await backend.commit(Delete("a"), Append("a", (b"1", b"2")), Truncate("a", 1), Append("a", (b"3",)))
        await backend.commit(Append("c", (b"1",)), Truncate("c", 0), Put("c", b"value"))
        await backend.commit(Put("d", b"1", ttl=0), Append("d", (b"list",)))
        assert await scan(backend, "") == [("c", b"value")]
        assert await backend.slice("a", 0) == [b"1", b"3"]
        assert await backend.slice("d", 0) == [b"list"]

    @scenario
    async def test_lifetimes_end(self, make: MakeBackend) -> None:
        """Values and whole lists expire when their ttl has passed; later writes start from nothing."""
        backend = make()
        await backend.commit(Put("value", b"1", SOON), Append("list", (b"1",)), Append("list", (b"2",), SOON))
        await backend.commit(Put("long", b"1", LONG), Append("longlist", (b"1",), LONG))
        await until(lambda: gone(backend, "value"))
        await until(lambda: gone(backend, "list", True))
        assert await scan(backend, "") == [("long", b"1")]
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
            *(Append(key, (b"1", b"2"), SOON) for key in keys),
            Put("put", b"1", SOON),
            Put("put", b"2"),
            Append("append", ()),
            Touch("touch"),
            Touch("touchlong", LONG),
            Truncate("truncate", 1),
        )
        await until(lambda: gone(backend, "witness", True))
        await until(lambda: gone(backend, "truncate", True))
        assert await backend.get("put") == b"2"
        assert [await backend.length(key) for key in keys[:3]] == [2, 2, 2]
        await backend.commit(Touch("put", SOON), Touch("append", SOON))
        await until(lambda: gone(backend, "put"))
        await until(lambda: gone(backend, "append", True))

    @scenario
    async def test_a_lifetime_of_nothing_ends_at_once(self, make: MakeBackend) -> None:
        """A ttl of zero or less removes the key."""
        backend = make()
        await backend.commit(Append("a", (b"1",)), Put("b", b"1"), Put("c", b"1"), Append("d", (b"1",)))
        await backend.commit(Append("a", (b"2",), 0), Put("b", b"2", -1), Touch("c", 0), Append("d", (), 0))
        assert await scan(backend, "") == []
        assert [await backend.length("a"), await backend.length("d")] == [0, 0]

    @scenario
    async def test_scans_in_order(self, make: MakeBackend) -> None:
        """A scan yields all values under the prefix, no list and no other key, ordered by code point."""
        backend = make()
        names = [*HOSTILE, *(f"many:{index}" for index in range(350)), "~", "ÿ", "中", "\uffff", "🦦🦦"]
        for prefix in ("", "p:", "p:*", "p:?", "p:[a-z]", "p:\\", "P:", "p", "q:"):
            await backend.commit(*(Put(prefix + name, name.encode()) for name in names))
            await backend.commit(Append(f"{prefix}list", (b"1",)), Put(f"{prefix}gone", b"1", ttl=0))
        everything = await scan(backend, "")
        assert [key for key, _ in everything] == sorted(key for key, _ in everything)
        assert len({key for key, _ in everything}) == len(everything)
        for prefix in ("", "p:", "p:*", "p:?", "p:[a-z]", "p:\\", "P:", "p", "many:34", "p:é", "p:\0", "nothing"):
            expected = [(key, value) for key, value in everything if key.startswith(prefix)]
            assert await scan(backend, prefix) == expected, prefix

    @scenario
    async def test_scans_while_others_write(self, make: MakeBackend) -> None:
        """Keys that nobody changes meanwhile are seen exactly once."""
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
        """One owner at a time: only the same one, or one that replaces it, can acquire it again."""
        backend = make()
        lease = await backend.acquire("lease", b"me", LONG)
        assert lease == Lease("lease", b"me", LONG)
        assert await backend.get("lease") == b"me"
        assert await backend.acquire("lease", b"you", LONG) is None
        assert await backend.acquire("lease", b"you", LONG, replacing=b"") is None
        assert await backend.acquire("lease", b"me", LONG) == lease
        replacement = await backend.acquire("lease", b"you", LONG, replacing=b"me")
        assert replacement is not None
        assert not await backend.renew(lease)
        await backend.release(lease)
        assert await backend.get("lease") == b"you"
        assert await backend.renew(replacement)
        await backend.release(replacement)
        await backend.release(replacement)
        assert await backend.get("lease") is None
        assert not await backend.renew(replacement)
        assert await backend.acquire("lease", b"me", LONG, replacing=b"nobody") == lease

    @scenario
    async def test_one_of_many_gets_a_lease(self, make: MakeBackend) -> None:
        """Of many callers at once, exactly one gets the lease."""
        backend = make()
        leases = await asyncio.gather(*(backend.acquire("lease", b"%d" % index, LONG) for index in range(20)))
        assert len([lease for lease in leases if lease]) == 1

    @scenario
    async def test_a_lease_runs_out(self, make: MakeBackend) -> None:
        """An owner that does not renew loses it; renewing and committing restart the lease's ttl."""
        backend = make()
        lost = await backend.acquire("lost", b"me", SOON)
        assert lost
        await until(lambda: gone(backend, "lost"))
        assert not await backend.renew(lost)
        assert await backend.acquire("lost", b"you", LONG)
        for name in ("renewed", "used", "untouched"):
            assert await backend.acquire(name, b"me", LONG)
        assert await backend.renew(Lease("renewed", b"me", SOON))
        await backend.commit(Put("a", b"1"), lease=Lease("used", b"me", SOON))
        await until(lambda: gone(backend, "renewed"))
        await until(lambda: gone(backend, "used"))
        assert await backend.get("untouched") == b"me"

    @scenario
    async def test_a_lost_lease_writes_nothing(self, make: MakeBackend) -> None:
        """A commit with a lease that another owner holds, or nobody, raises LeaseLost."""
        backend = make()
        lease = await backend.acquire("lease", b"me", LONG)
        assert lease
        await backend.commit(Append("list", (b"1",)), lease=lease)
        await backend.acquire("lease", b"you", LONG, replacing=b"me")
        with pytest.raises(LeaseLost, match="lease"):
            await backend.commit(Append("list", (b"2",)), Put("a", b"2"), lease=lease)
        await backend.release(Lease("lease", b"you", LONG))
        with pytest.raises(LeaseLost):
            await backend.commit(Append("list", (b"3",)), lease=lease)
        with pytest.raises(LeaseLost):
            await backend.commit(lease=lease)
        assert await backend.slice("list", 0) == [b"1"]
        assert await scan(backend, "") == []

    @scenario
    async def test_concurrent_appends_lose_nothing(self, make: MakeBackend) -> None:
        """Many tasks on two connections: no value is missing, and those of one append are adjacent."""
        backends = (make(), make()) if self.persistent else (make(),) * 2
        batches = [tuple(b"%d.%d" % (task, index) for index in range(5)) for task in range(100)]
        await asyncio.gather(*(backends[task % 2].commit(Append("list", batch)) for task, batch in enumerate(batches)))
        values = await backends[0].slice("list", 0)
        assert sorted(tuple(values[index : index + 5]) for index in range(0, 500, 5)) == sorted(batches)

    @scenario
    async def test_a_cancelled_commit_is_whole(self, make: MakeBackend) -> None:
        """A cancelled commit is written whole or not at all, and the backend stays usable."""
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
        """A persistent backend still has everything, lifetimes and leases included."""
        if not self.persistent:
            return
        before = make()
        await before.commit(Put("a", b"1"), Append("list", (b"1", b"2")), Put("soon", b"1", SOON))
        assert await before.acquire("lease", b"me", LONG)
        await before.close()
        after = make()
        await until(lambda: gone(after, "soon"))
        assert await scan(after, "") == [("a", b"1"), ("lease", b"me")]
        assert await after.slice("list", 0) == [b"1", b"2"]
        assert await after.acquire("lease", b"you", LONG) is None

    @scenario
    async def test_closes(self, make: MakeBackend) -> None:
        """Closing twice is no error; every later call raises BackendError naming the store."""
        unused = make()
        await unused.close()
        backend = make()
        await backend.commit(Put("a", b"1"))
        await backend.close()
        await backend.close()
        lease = Lease("lease", b"me", LONG)
        for call in (
            backend.get("a"),
            backend.length("a"),
            backend.slice("a", 0),
            backend.commit(Put("a", b"2")),
            backend.commit(),
            backend.commit(Expect("a", b"1")),
            backend.acquire("lease", b"me", LONG),
            backend.renew(lease),
            backend.release(lease),
            scan(backend, ""),
        ):
            with pytest.raises(BackendError, match="is closed") as caught:
                await call
            assert backend.url in str(caught.value)
