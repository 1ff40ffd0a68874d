"""The part of the conformance suite about Expect, the conditions of a commit."""

import asyncio

from swarmchat.backends.base import Append, Backend, Delete, Expect, ExpectLength, Lease, Put, Truncate
from swarmchat.backends.errors import Conflict, CorruptValue, LeaseLost, LengthConflict
from swarmchat.backends.testing.tools import BLOBS, LONG, SOON, MakeBackend, gone, refused, scan, scenario, until


class ExpectConformance:
    """Optimistic concurrency; the rest of the suite inherits it."""

    persistent = True
    """Whether what was written is still there after closing and opening again."""

    @scenario
    async def test_what_is_expected_decides(self, make: MakeBackend) -> None:
        """A commit lands only if every value is the expected one, to the byte; otherwise Conflict names the key."""
        backend = make()
        for blob in BLOBS:
            await backend.commit(Put("a", blob))
            await backend.commit(Expect("a", blob))
            for wrong in {None, blob + b"\0", blob[:-1], blob[:-1] + b"\1", b"other"} - {blob}:
                message = await refused(backend.commit(Put("b", b"1"), Expect("a", wrong)), Conflict)
                assert "'a'" in message
                assert backend.url in message
        assert "'b'" in await refused(backend.commit(Expect("b", b""), Delete("a")), Conflict)
        await backend.commit(Expect("b", None), Delete("a"))
        assert await scan(backend, "") == []

    @scenario
    async def test_what_is_expected_was_there_before(self, make: MakeBackend) -> None:
        """Expects see the state before all writes of their commit, in any position, on the same key too."""
        backend = make()
        await backend.commit(Put("a", b"1"), Expect("a", None), Put("a", b"2"))
        await backend.commit(Expect("a", b"2"), Put("a", b"3"), Expect("a", b"2"), Delete("a"), Expect("a", b"2"))
        await backend.commit(Append("a", (b"1",)), Expect("a", None), Expect("b", None))
        await backend.commit(Put("b", b"1"), Put("c", b"1"), Put("d", b"1"))
        right = [Expect("b", b"1"), Expect("c", b"1"), Expect("nothing", None)]
        for index, wrong in enumerate([Expect("b", b"2"), Expect("c", b"2"), Expect("nothing", b"2")]):
            checks = [*right[:index], wrong, *right[index + 1 :]]
            assert repr(wrong.key) in await refused(
                backend.commit(Put(wrong.key, b"2"), Append("a", (b"2",)), *checks, Delete("d")), Conflict
            )
        await refused(backend.commit(Expect("b", b"1"), Put("b", b"2"), Expect("b", b"2")), Conflict)
        assert await scan(backend, "") == [("b", b"1"), ("c", b"1"), ("d", b"1")]
        assert await backend.slice("a", 0) == [b"1"]

    @scenario
    async def test_what_is_expected_of_a_list(self, make: MakeBackend) -> None:
        """An Expect on a list is CorruptValue. Conditions are checked in order, and before the kinds of writes."""
        backend = make()
        await backend.commit(Append("list", (b"1",)), Put("a", b"1"))
        for value in (None, b"1", b""):
            assert "'list'" in await refused(
                backend.commit(Put("a", b"2"), Delete("list"), Expect("list", value)), CorruptValue
            )
            assert "'list'" in await refused(backend.commit(Expect("list", value), Expect("a", b"2")), CorruptValue)
        assert "'a'" in await refused(
            backend.commit(Put("list", b"2"), Expect("a", b"2"), Expect("list", None)), Conflict
        )
        assert await backend.slice("list", 0) == [b"1"]
        assert await backend.get("a") == b"1"

    @scenario
    async def test_the_length_of_a_list_decides(self, make: MakeBackend) -> None:
        """A commit lands only if the list is as long as expected before it; otherwise LengthConflict names the key."""
        backend = make()
        await backend.commit(ExpectLength("list", 0), Append("list", (b"0",)))
        await backend.commit(ExpectLength("list", 1), Append("list", (b"1", b"2")), ExpectLength("list", 1))
        for wrong in (0, 1, 2, 4):
            message = await refused(
                backend.commit(Append("list", (b"x",)), Put("a", b"1"), ExpectLength("list", wrong)), LengthConflict
            )
            assert "'list'" in message
            assert backend.url in message
        await backend.commit(Put("value", b"1"))
        assert "'value'" in await refused(backend.commit(ExpectLength("value", 0)), CorruptValue)
        assert "'value'" in await refused(
            backend.commit(Expect("value", b"2"), ExpectLength("list", 0), Delete("list")), Conflict
        )
        await refused(backend.commit(ExpectLength("list", 0), Expect("value", b"2")), LengthConflict)
        await backend.commit(ExpectLength("list", 3), Truncate("list", 1))
        await backend.commit(ExpectLength("list", 1), Delete("list"), ExpectLength("list", 1))
        await backend.commit(ExpectLength("list", 0), Delete("value"))
        assert await scan(backend, "") == []
        assert await backend.slice("list", 0) == []

    @scenario
    async def test_what_is_expected_lives_no_longer(self, make: MakeBackend) -> None:
        """Conditions treat an expired value or list as missing."""
        backend = make()
        await backend.commit(Put("at once", b"1", 0), Put("value", b"1", SOON), Append("list", (b"1",), SOON))
        await backend.commit(Expect("at once", None))

        async def both_expired() -> bool:
            try:
                await backend.commit(Expect("value", None), Expect("list", None), Put("done", b"1"))
            except (Conflict, CorruptValue):
                return False
            return True

        await until(both_expired)
        await refused(backend.commit(Expect("value", b"1")), Conflict)
        assert await scan(backend, "") == [("done", b"1")]

    @scenario
    async def test_a_refused_commit_does_not_renew_its_lease(self, make: MakeBackend) -> None:
        """It changes nothing. A lost lease is reported before conditions; a lease may itself be the expected value."""
        backend = make()
        lease = await backend.acquire("lease", b"me", LONG)
        short = Lease("lease", b"me", SOON)
        await refused(backend.commit(Put("a", b"1"), Expect("a", b"1"), lease=short), Conflict)
        await refused(backend.commit(Put("a", b"1"), Append("lease", (b"1",)), lease=short), CorruptValue)
        await backend.commit(Put("witness", b"1", 2 * SOON))
        await until(lambda: gone(backend, "witness"))
        await backend.commit(Put("a", b"1"), Expect("lease", b"me"), Expect("a", None), lease=lease)
        await refused(backend.commit(Put("a", b"2"), Expect("a", b"2"), lease=Lease("lease", b"you", LONG)), LeaseLost)
        assert await scan(backend, "") == [("a", b"1"), ("lease", b"me")]

    @scenario
    async def test_no_update_is_lost(self, make: MakeBackend) -> None:
        """Tasks on two connections read a number, add one and put it back: no addition is lost."""
        backends = (make(), make()) if self.persistent else (make(),) * 2
        conflicts = 0

        async def increment(backend: Backend) -> None:
            nonlocal conflicts
            done = 0
            while done < 25:
                number = await backend.get("number")
                # Let the others read the same number.
                await asyncio.sleep(0)
                try:
                    await backend.commit(Expect("number", number), Put("number", b"%d" % (int(number or 0) + 1)))
                    done += 1
                except Conflict:
                    conflicts += 1

        await asyncio.gather(*(increment(backends[task % 2]) for task in range(4)))
        assert await backends[0].get("number") == b"100"
        assert conflicts
