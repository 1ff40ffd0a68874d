"""The disk backend: the conformance suite, and what can happen to a folder."""

import asyncio
import os
import pickle
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import textwrap
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import diskcache
import pytest
import warm
from swarmchat.backends import (
    Append,
    Backend,
    BackendError,
    BackendFull,
    BackendUnavailable,
    CorruptValue,
    Delete,
    ExpectLength,
    LengthConflict,
    Put,
    Touch,
    UnknownBackend,
    open_backend,
)
from swarmchat.backends.disk import DiskBackend
from swarmchat.backends.disk_schema import SCHEMA
from swarmchat.backends.testing.suite import BackendConformance, MakeBackend


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def make_backend(folder: Path) -> MakeBackend:
    return lambda: open_backend(f"disk:{folder}")


class TestDisk(BackendConformance):
    pass


def run(folder: Path | str, *calls: Any, options: str = "") -> Any:
    """Open the folder, make each of ``calls`` with the backend, close it, and return the last result."""

    async def scenario() -> Any:
        backend = open_backend(f"disk:{folder}{options}")
        result = None
        try:
            for call in calls:
                result = await call(backend)
        finally:
            await backend.close()
        return result

    return asyncio.run(scenario())


def put(key: str, value: bytes = b"1") -> Any:
    return lambda backend: backend.commit(Put(key, value))


def get(key: str) -> Any:
    return lambda backend: backend.get(key)


@contextmanager
def database(folder: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(folder / "cache.db", isolation_level=None)
    try:
        yield connection
    finally:
        connection.close()


class Payload:
    """A pickle that runs code when it is read."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("read", [get("k"), lambda b: b.length("k"), lambda b: b.commit(Put("k", b"2"))])
def test_a_planted_pickle_is_refused_and_never_runs(folder: Path, tmp_path: Path, read: Any) -> None:
    mark = tmp_path / "it ran"
    run(folder, put("k"))
    with database(folder) as connection:
        planted = pickle.dumps(Payload(mark))
        connection.execute("UPDATE Cache SET value = ?, mode = 4 WHERE key = ?", (planted, b"kk"))
    with pytest.raises(CorruptValue, match="did not write"):
        run(folder, read)
    assert not mark.exists()
    # The trap is real: diskcache itself walks into it.
    with diskcache.Cache(folder) as cache:
        cache.get(b"kk")
    assert mark.exists()


def test_planted_keys_and_files_are_refused(folder: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"not for you")
    run(folder, put("a"), put("b"))
    with database(folder) as connection:
        connection.execute("UPDATE Cache SET mode = 2, filename = '../secret', value = NULL WHERE key = ?", (b"ka",))
        connection.execute("UPDATE Cache SET raw = 0 WHERE key = ?", (b"kb",))
    for call in (get("a"), lambda backend: collect(backend, "")):
        with pytest.raises(CorruptValue):
            run(folder, call)
    with database(folder) as connection:
        connection.execute("DELETE FROM Cache WHERE key = ?", (b"ka",))
    with pytest.raises(CorruptValue):
        run(folder, lambda backend: collect(backend, ""))


async def collect(backend: Backend, prefix: str) -> list[tuple[str, bytes]]:
    return [item async for item in backend.scan(prefix)]


def test_everything_is_in_one_database_that_only_the_owner_may_read(folder: Path) -> None:
    def check() -> None:
        files = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
        assert files == {"cache.db": 0o600, "cache.db-wal": 0o600, "cache.db-shm": 0o600}
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700

    async def write(backend: Backend) -> None:
        await backend.commit(Put("large", b"x" * 2_000_000), Append("list", (b"y" * 100_000,)))
        await asyncio.to_thread(check)

    before = os.umask(0)
    try:
        run(folder, write)
    finally:
        os.umask(before)


@pytest.mark.parametrize(("options", "level"), [("", 1), ("?durability=normal", 1), ("?durability=full", 2)])
def test_durability_sets_the_pragma(folder: Path, options: str, level: int) -> None:
    async def synchronous(backend: DiskBackend) -> int:
        await backend.get("opened")
        ((value,),) = await backend._run(lambda rows: rows._sql("PRAGMA synchronous").fetchall())
        return int(value)

    run(folder, put("a"), options="?durability=full" if level == 1 else "")
    assert run(folder, synchronous, options=options) == level


def test_nothing_is_ever_evicted(folder: Path) -> None:
    async def fill(backend: Backend) -> None:
        for first in range(0, 20_000, 2000):
            await backend.commit(*(Put(f"{index:05}", b"x" * 200) for index in range(first, first + 2000)))
        await backend.commit(Put("more", b"1"))

    run(folder, fill)
    items = run(folder, lambda backend: collect(backend, ""))
    assert len(items) == 20_001
    # diskcache's own maintenance, in the settings that the file holds, takes nothing either.
    with diskcache.Cache(folder) as cache:
        assert cache.cull() == 0


def test_what_has_run_out_leaves_the_file(folder: Path) -> None:
    async def scenario() -> None:
        now = 1000.0
        backend = DiskBackend(str(folder), clock=lambda: now)
        await backend.commit(Append("list", (b"1", b"2"), 5), Put("a", b"1", 5), Append("kept", (b"1",), 100))
        now = 1010.0
        await backend.commit(Append("kept", (b"2",)))
        assert await backend._run(lambda rows: len(rows)) == 3
        # A list may become a value as soon as it has run out, and leaves nothing behind.
        await backend.commit(Append("list", (b"1", b"2"), 5))
        now = 1020.0
        lease = await backend.acquire("list", b"me", 50)
        assert lease
        await backend.release(lease)
        await backend.commit(Delete("kept"))
        assert await backend._run(lambda rows: len(rows)) == 0
        await backend.close()

    asyncio.run(scenario())


def test_a_list_that_lost_rows_is_reported(folder: Path) -> None:
    run(folder, lambda backend: backend.commit(Append("list", (b"0", b"1", b"2"))))
    with database(folder) as connection:
        connection.execute("DELETE FROM Cache WHERE value = ?", (b"1",))
    with pytest.raises(CorruptValue, match="lost 1 "):
        run(folder, lambda backend: backend.slice("list", 0))
    assert run(folder, lambda backend: backend.slice("list", -1)) == [b"2"]


WRITER = """
import asyncio, sys
from swarmchat.backends import Append, open_backend

async def main(folder, name, batches):
    backend = open_backend(f"disk:{folder}?timeout=60")
    for batch in range(batches):
        await backend.commit(Append("list", tuple(f"{name} {batch} {part}".encode() for part in range(5))))
        print(batch, flush=True)
    await backend.close()

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""


def start_writer(folder: Path, name: str, batches: int) -> "warm.Piped | subprocess.Popen[str]":
    return warm.start_python("-c", WRITER, folder, name, str(batches), stdin=subprocess.DEVNULL)


def test_several_processes_append_at_once(folder: Path) -> None:
    writers = [start_writer(folder, name, 100) for name in "abcd"]
    for writer in writers:
        _, problems = writer.communicate(timeout=60)
        assert (writer.returncode, problems) == (0, "")
    values = run(folder, lambda backend: backend.slice("list", 0))
    batches = [tuple(values[index : index + 5]) for index in range(0, len(values), 5)]
    wanted = [tuple(f"{name} {batch} {part}".encode() for part in range(5)) for name in "abcd" for batch in range(100)]
    assert sorted(batches) == sorted(wanted)


@pytest.mark.parametrize("acknowledged", [1, 40, 150])
def test_what_was_acknowledged_survives_kill_9(folder: Path, acknowledged: int) -> None:
    writer = start_writer(folder, "a", 1_000_000)
    assert writer.stdout
    for _ in range(acknowledged):
        assert writer.stdout.readline()
    writer.send_signal(signal.SIGKILL)
    last = int((writer.communicate()[0].splitlines() or [acknowledged - 1])[-1])
    values = run(folder, lambda backend: backend.slice("list", 0))
    assert len(values) % 5 == 0
    assert len(values) >= 5 * (last + 1)
    assert values == [f"a {index // 5} {index % 5}".encode() for index in range(len(values))]
    with database(folder) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.mark.parametrize("damage", ["not a database", "header", "middle"])
def test_a_damaged_file_is_reported_and_left_alone(folder: Path, damage: str) -> None:
    run(folder, lambda backend: backend.commit(*(Put(f"{index:04}", b"x" * 400) for index in range(500))))
    path = folder / "cache.db"
    content = bytearray(path.read_bytes())
    if damage == "not a database":
        content = bytearray(b"something else entirely\n" * 500)
    elif damage == "header":
        content[:64] = b"\xff" * 64
    else:
        content[8192:-4096] = b"\xff" * (len(content) - 8192 - 4096)
    path.write_bytes(content)
    with pytest.raises(CorruptValue, match=r"damaged.*away") as caught:
        run(folder, lambda backend: collect(backend, ""))
    assert str(folder) in str(caught.value)
    if damage == "middle":
        assert path.stat().st_size == len(content)
        assert b"\xff" * 4096 in path.read_bytes()
    else:
        assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("name", "value"),
    [(b"\xff", 1), ("_con", 1), ("find", 1), ("sqlite_synchronous", "1; SELECT 1"), ("sqlite_x", None)],
)
def test_a_damaged_setting_is_reported_and_left_alone(folder: Path, name: str | bytes, value: object) -> None:
    run(folder, put("a"))
    with database(folder) as connection:
        connection.execute("INSERT OR REPLACE INTO Settings VALUES (?, ?)", (name, value))
    before = (folder / "cache.db").read_bytes()
    with pytest.raises(CorruptValue, match="is damaged"):
        run(folder, get("a"))
    assert (folder / "cache.db").read_bytes() == before


def test_a_setting_of_no_effect_is_put_right(folder: Path) -> None:
    run(folder, put("a"))
    with database(folder) as connection:
        connection.execute("UPDATE Settings SET value = x'ff' WHERE key = 'statistics'")
    assert run(folder, get("a")) == b"1"
    with database(folder) as connection:
        assert connection.execute("SELECT value FROM Settings WHERE key = 'statistics'").fetchall() == [(0,)]


def test_the_length_of_a_list_is_checked(folder: Path) -> None:
    run(folder, lambda backend: backend.commit(Append("l", (b"1",))))
    with database(folder) as connection:
        connection.execute("UPDATE Cache SET value = x'ffffffffffffffffffff' WHERE tag = 'list'")
    for call in (lambda b: b.length("l"), lambda b: b.slice("l", 0), lambda b: b.commit(Append("l", (b"2",)))):
        with pytest.raises(CorruptValue, match="damaged list: 'l'"):
            run(folder, call)


def test_reading_waits_for_nobody_who_writes(folder: Path) -> None:
    run(folder, put("a"))
    with database(folder) as connection:
        connection.execute("BEGIN IMMEDIATE")
        assert run(folder, get("a")) == b"1"
        assert run(folder, lambda backend: collect(backend, "")) == [("a", b"1")]


def test_a_newer_version_is_refused_untouched(folder: Path) -> None:
    run(folder, put("a"))
    with database(folder) as connection:
        connection.execute("UPDATE Settings SET value = ? WHERE key = 'swarmchat_schema'", (SCHEMA + 1,))
    before = (folder / "cache.db").read_bytes()
    with pytest.raises(CorruptValue, match=f"data version {SCHEMA + 1}.*update swarmchat"):
        run(folder, put("a"))
    assert (folder / "cache.db").read_bytes() == before


def test_another_programs_database_is_refused_untouched(folder: Path) -> None:
    folder.mkdir()
    with database(folder) as connection:
        connection.execute("CREATE TABLE bookmarks (address TEXT)")
    before = (folder / "cache.db").read_bytes()
    with pytest.raises(CorruptValue, match="another program's database"):
        run(folder, put("a"))
    assert (folder / "cache.db").read_bytes() == before


def test_another_programs_cache_is_refused_untouched(folder: Path) -> None:
    with diskcache.Cache(folder) as cache:
        cache["theirs"] = 1
    before = (folder / "cache.db").read_bytes()
    with pytest.raises(CorruptValue, match="another program"):
        run(folder, put("a"))
    assert (folder / "cache.db").read_bytes() == before


@pytest.mark.parametrize("place", ["file/below", "/proc/store", "/dev/null"])
def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BackendUnavailable, match="cannot be opened") as caught:
        run(tmp_path / place, get("a"))
    assert str(tmp_path / place) in str(caught.value)


def test_a_database_that_cannot_be_written_is_named(folder: Path) -> None:
    async def scenario() -> None:
        backend = DiskBackend(str(folder))
        await backend.commit(Put("a", b"1"))
        # Root may write where the mode says nobody may; this binds root too.
        await backend._run(lambda rows: rows._sql("PRAGMA query_only = 1"))
        with pytest.raises(BackendUnavailable, match="cannot be written") as caught:
            await backend.commit(Put("a", b"2"))
        assert str(folder) in str(caught.value)
        assert await backend.get("a") == b"1"
        await backend.close()

    asyncio.run(scenario())


def test_a_folder_called_cache_db_is_unavailable(folder: Path) -> None:
    (folder / "cache.db").mkdir(parents=True)
    with pytest.raises(BackendUnavailable):
        run(folder, get("a"))


@pytest.mark.parametrize("is_open", [True, False])
def test_a_locked_database_is_reported_soon(folder: Path, is_open: bool) -> None:
    run(folder, put("a"))
    with database(folder) as other:

        async def lock(backend: Backend) -> None:
            if is_open:
                await backend.get("a")
            other.execute("BEGIN IMMEDIATE")

        with pytest.raises(BackendUnavailable, match=r"locked by another process") as caught:
            run(folder, lock, put("a", b"2"), options="?timeout=0.05")
        assert str(folder) in str(caught.value)
        other.execute("ROLLBACK")
    assert run(folder, get("a"), put("a", b"2"), get("a")) == b"2"


def test_reads_do_not_wait_for_a_writer(folder: Path) -> None:
    async def scenario() -> None:
        backend = DiskBackend(str(folder), timeout=0.05)
        await backend.commit(Put("a", b"1"), Append("list", (b"1",)))
        with database(folder) as other:
            other.execute("BEGIN IMMEDIATE")
            assert await backend.get("a") == b"1"
            assert await backend.slice("list", -1) == [b"1"]
            other.execute("ROLLBACK")
        await backend.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("put_back", [True, False], ids=["an older copy", "nothing"])
def test_a_folder_that_is_replaced_under_an_open_store_is_noticed(folder: Path, put_back: bool) -> None:
    async def replace(backend: Backend) -> None:
        await backend.commit(Append("list", (b"1",)))
        shutil.copytree(folder, folder.with_name("copy"))
        await backend.commit(Append("list", (b"2",)))
        shutil.rmtree(folder)
        if put_back:
            folder.with_name("copy").rename(folder)
        with pytest.raises(LengthConflict):
            await backend.commit(ExpectLength("list", 2), Append("list", (b"3",)))
        await backend.commit(ExpectLength("list", put_back), Append("list", (b"4",)))

    run(folder, replace)
    assert run(folder, lambda backend: backend.slice("list", 0)) == [b"1", b"4"][not put_back :]


def test_a_full_database_keeps_what_it_has(folder: Path) -> None:
    async def scenario() -> None:
        backend = DiskBackend(str(folder))
        await backend.commit(Put("a", b"1"), Append("list", (b"1",)))
        await backend._run(lambda rows: rows._sql("PRAGMA max_page_count = 1"))
        with pytest.raises(BackendFull, match="make room") as caught:
            await backend.commit(Append("list", (b"2",)), Put("big", b"x" * 100_000))
        assert str(folder) in str(caught.value)
        assert await backend.slice("list", 0) == [b"1"]
        assert await backend.get("big") is None
        await backend.commit(Delete("list"), Touch("a"))
        await backend._run(lambda rows: rows._sql("PRAGMA max_page_count = 1000000"))
        await backend.commit(Put("big", b"x" * 100_000))
        await backend.close()

    asyncio.run(scenario())


LIMITED = """
import asyncio, resource, signal, sys
from swarmchat.backends import BackendFull, Put, open_backend

async def main(url):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    for limit in (300_000, 1):
        backend = open_backend(url)
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            await backend.commit(Put("big", b"x" * 3_000_000))
        except BackendFull as error:
            print("full:", error)
            if limit > 1:
                assert await backend.get("a") == b"1"
        await backend.close()

asyncio.run(main(sys.argv[1]))
"""


def test_a_disk_that_takes_no_more_is_full_open_or_not(folder: Path) -> None:
    run(folder, put("a"))
    done = warm.run_python("-c", LIMITED, f"disk:{folder}")
    assert done.stderr == ""
    assert done.stdout.count("full: disk:") == 2
    assert run(folder, get("a")) == b"1"


@pytest.mark.parametrize(
    "url",
    [
        "disk:",
        "disk:?durability=full",
        "disk:a\0b",
        "disk:/tmp/x?durability=most",
        "disk:/tmp/x?timeout=soon",
        "disk:/tmp/x?timeout=-1",
        "disk:/tmp/x?timeout=nan",
        "disk:/tmp/x?size=3",
    ],
)
def test_invalid_urls(url: str) -> None:
    with pytest.raises(UnknownBackend):
        open_backend(url)


def test_a_path_too_long_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(UnknownBackend, match="another folder"):
        run(tmp_path / ("x" * 300), get("a"))


@pytest.mark.parametrize("name", ["$SWARMCHAT_SOME", "a b%20#c", "ünïcode", "~", "with\nline"])
def test_a_path_is_taken_as_it_is_written(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWARMCHAT_SOME", str(tmp_path / "elsewhere"))
    run(tmp_path / name, put("a"))
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert run(tmp_path / name, get("a")) == b"1"


def test_a_tilde_at_the_start_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    run("~/store", put("a"))
    assert (tmp_path / "store" / "cache.db").exists()


def test_a_relative_path_stays_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        monkeypatch.chdir(tmp_path)
        backend = open_backend("disk:store")
        monkeypatch.chdir("/")
        await backend.commit(Put("a", b"1"))
        assert backend.url == f"disk:{tmp_path / 'store'}"
        await backend.close()

    asyncio.run(scenario())
    assert (tmp_path / "store").exists()


def test_an_unclosed_backend_does_not_keep_the_interpreter(folder: Path) -> None:
    program = textwrap.dedent("""
        import asyncio, sys
        from swarmchat.backends import Put, open_backend
        async def main():
            backend = open_backend(sys.argv[1])
            await backend.commit(Put("a", b"1"))
            asyncio.ensure_future(backend.commit(Put("b", b"1")))
            return backend
        kept = asyncio.run(main())
    """)
    subprocess.run([sys.executable, "-c", program, f"disk:{folder}"], timeout=60, check=True)
    assert run(folder, get("a")) == b"1"


def test_only_bytes_can_be_stored(folder: Path) -> None:
    for value in ("text", {"a": 1}, None):
        with pytest.raises(TypeError, match="must be bytes"):
            run(folder, lambda backend, value=value: backend.commit(Put("a", value)))
    assert run(folder, get("a")) is None


def test_calls_after_closing_name_the_store(folder: Path) -> None:
    calls: list[Coroutine[Any, Any, Any]] = []

    async def scenario() -> None:
        backend = open_backend(f"disk:{folder}")
        await backend.close()
        calls.append(backend.get("a"))
        with pytest.raises(BackendError, match="is closed"):
            await calls[0]

    asyncio.run(scenario())
    assert not folder.exists()
