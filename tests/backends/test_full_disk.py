"""The disk backend on a disk that is full or read-only: everything can be read, and sessions can be deleted."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import warm
from small_disk import SmallDisk, small_disk
from swarmchat.backends import (
    Append,
    Backend,
    BackendError,
    BackendFull,
    BackendUnavailable,
    Delete,
    Put,
    open_backend,
)
from swarmchat.swarm import delete_session
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.session_index import SessionInfo

LOG = keys.session_log("ann", "s")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk") as mounted:
        yield mounted


def run(disk: SmallDisk, *calls: Callable[[Backend], Awaitable[Any]]) -> Any:
    async def scenario() -> Any:
        backend = open_backend(f"disk:{disk.path}/store?timeout=1")
        try:
            return [await call(backend) for call in calls][-1]
        finally:
            await backend.close()

    return asyncio.run(scenario())


async def write(backend: Backend) -> None:
    await backend.commit(Put("a", b"1"), Append("list", (b"1", b"2")))


async def read(backend: Backend) -> None:
    assert await backend.get("a") == b"1"
    assert await backend.get_many(["a", "b"]) == [b"1", None]
    assert await backend.slice("list", 0) == [b"1", b"2"]
    assert [found async for found in backend.scan("")] == [("a", b"1")]


async def write_and_die(url: str) -> None:
    backend = open_backend(url)
    await write(backend)
    os._exit(0)


def die(disk: SmallDisk) -> None:
    """Write in a process that ends without closing the store: its journal stays."""
    imports = (
        f"import asyncio, sys; sys.path[:0] = {[str(Path(__file__).parent), *sys.path]}; import test_full_disk as t"
    )
    done = warm.run_python("-c", f"{imports}; asyncio.run(t.write_and_die('disk:{disk.path}/store'))")
    assert (done.returncode, done.stderr) == (0, "")
    assert (disk.path / "store/cache.db-wal").stat().st_size


@pytest.mark.parametrize("prepare", [lambda disk: run(disk, write), die], ids=["closed", "killed"])
@pytest.mark.parametrize("state", ["full", "read-only"])
def test_what_is_stored_can_be_read(disk: SmallDisk, state: str, prepare: Callable[[SmallDisk], Any]) -> None:
    prepare(disk)
    if state == "full":
        disk.fill()
    else:
        disk.remount("ro")

    async def refused(backend: Backend) -> None:
        with pytest.raises(BackendFull if state == "full" else BackendUnavailable, match="can still be read"):
            await backend.commit(Put("a", b"2" * 100_000))

    run(disk, read, refused, read)

    async def make_room(backend: Backend) -> None:
        if state == "full":
            disk.make_room()
        else:
            disk.remount("rw")

    async def write_again(backend: Backend) -> None:
        await backend.commit(Put("a", b"2"))
        assert await backend.get("a") == b"2"

    run(disk, read, make_room, write_again)


def test_a_store_that_never_was_cannot_be_read(disk: SmallDisk) -> None:
    async def refused(backend: Backend) -> None:
        with pytest.raises(BackendFull):
            await backend.get("a")

    disk.fill()
    run(disk, refused)


def test_an_open_store_is_read_beside_a_writer_that_the_full_disk_stopped(disk: SmallDisk) -> None:
    async def scenario() -> None:
        writer, reader = (open_backend(f"disk:{disk.path}/store") for _ in range(2))
        await write(writer)
        disk.fill()
        with pytest.raises(BackendFull):
            await writer.commit(Put("b", b"2" * 1_000_000))
        await read(reader)
        await read(writer)
        await reader.close()
        await writer.close()

    asyncio.run(scenario())


@pytest.mark.parametrize(("number", "size"), [(2000, 500), (20, 100_000)])
def test_a_session_is_deleted_from_a_full_disk_and_its_room_is_free(disk: SmallDisk, number: int, size: int) -> None:
    """Its records lie between those of another session, and are more than fits into what is kept for deleting."""
    info = SessionInfo("s", "s", "ann", created="", updated="")

    async def fill(backend: Backend) -> None:
        await backend.commit(info.put(None))
        for _ in range(0, number, 10):
            records = tuple(os.urandom(size) for _ in range(10))
            await backend.commit(Append(LOG, records), Append("other", records))

    async def delete(backend: Backend) -> None:
        await delete_session(backend, info)

    async def look(backend: Backend) -> None:
        assert await backend.get(keys.session_index("ann", "s")) is None
        assert (await backend.length(LOG), await backend.length("other")) == (0, number)
        await backend.commit(Append("other", (b"1",)))

    run(disk, fill)
    disk.fill()
    run(disk, delete)
    run(disk, look)
    assert os.statvfs(disk.path).f_bavail * 4096 > 0.8 * number * size
    assert (disk.path / "store/reserve").stat().st_mode & 0o777 == 0o600


def test_deleting_what_is_not_there_needs_room_too_and_says_so(disk: SmallDisk) -> None:
    """The reserve is gone, as after a store was copied without it."""

    async def delete(backend: Backend) -> None:
        with pytest.raises(BackendError, match="no room left"):
            await backend.commit(Delete("list"))

    run(disk, write)
    (disk.path / "store/reserve").unlink()
    disk.fill()
    run(disk, delete, read)
