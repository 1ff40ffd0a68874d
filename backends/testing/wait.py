"""The part of the conformance suite about ``wait``."""

import asyncio

from swarmchat.backends.base import Append, Backend, Delete, Put
from swarmchat.backends.errors import BackendError, CorruptValue
from swarmchat.backends.testing.tools import LONG, SOON, MakeBackend, gone, refused, scenario, until


class WaitConformance:
    """Tests of waiting for a list, for every backend."""

    persistent: bool

    @scenario
    async def test_waits_for_a_list(self, make: MakeBackend) -> None:
        """A wait returns at once for a list with values, and after its timeout without any; it changes nothing."""
        backend = make()
        await backend.commit(Append("list", (b"1", b"2")), Append("{list}2", (b"1",)), Put("value", b"1"))
        assert await backend.wait("list", LONG)
        assert await backend.wait("list", 0)
        assert not await backend.wait("missing", 0)
        assert not await backend.wait("missing", SOON)
        assert "value" in await refused(backend.wait("value", LONG), CorruptValue)
        assert await backend.slice("list", 0) == [b"1", b"2"]

    @scenario
    async def test_an_append_wakes_all_who_wait(self, make: MakeBackend) -> None:
        """Also those of another connection; a commit that appends nothing to the list wakes nobody for good."""
        backend, writer = self._two(make)
        waits = [asyncio.create_task(each.wait("list", LONG)) for each in (backend, backend, writer)]
        other = asyncio.create_task(backend.wait("other", LONG))
        await asyncio.sleep(SOON)
        await writer.commit(Put("value", b"1"), Append("list", ()))
        await asyncio.sleep(SOON)
        assert not any(wait.done() for wait in waits)
        await writer.commit(Append("list", (b"1", b"2"), LONG))
        assert await asyncio.gather(*waits) == [True] * 3
        assert not other.done()
        await writer.commit(Append("other", (b"1",)))
        assert await other
        assert await backend.slice("list", 0) == [b"1", b"2"]

    @scenario
    async def test_a_list_that_woke_keeps_its_lifetime(self, make: MakeBackend) -> None:
        """Waiting for a list does not make it live longer."""
        backend, writer = self._two(make)
        wait = asyncio.create_task(backend.wait("list", LONG))
        await asyncio.sleep(SOON)
        await writer.commit(Append("list", (b"1",), 10 * SOON))
        assert await wait
        await until(lambda: gone(backend, "list", is_list=True))
        assert not await backend.wait("list", 0)

    @scenario
    async def test_other_calls_go_on_during_many_waits(self, make: MakeBackend) -> None:
        """Waits occupy nothing that other calls need, and a cancelled one leaves nothing behind."""
        backend = make()
        waits = [asyncio.create_task(backend.wait(f"list {number % 3}", LONG)) for number in range(60)]
        await asyncio.sleep(SOON)
        await backend.commit(Put("value", b"1"))
        assert await backend.get_many(["value"] * 3) == [b"1"] * 3
        for wait in waits[::2]:
            wait.cancel()
        await asyncio.gather(*waits[::2], return_exceptions=True)
        await backend.commit(*(Append(f"list {number}", (b"1",)) for number in range(3)))
        assert await asyncio.gather(*waits[1::2]) == [True] * 30
        assert [await backend.slice(f"list {number}", 0) for number in range(3)] == [[b"1"]] * 3
        await backend.commit(*(Delete(f"list {number}") for number in range(3)))

    @scenario
    async def test_a_closed_backend_ends_its_waits(self, make: MakeBackend) -> None:
        """With the error of every call on a closed backend."""
        backend = make()
        wait = asyncio.create_task(backend.wait("list", LONG))
        await asyncio.sleep(SOON)
        await backend.close()
        await refused(wait, BackendError)
        await refused(backend.wait("list", 0), BackendError)

    def _two(self, make: MakeBackend) -> tuple[Backend, Backend]:
        """Return two connections to the store, or one twice."""
        backend = make()
        return backend, make() if self.persistent else backend
