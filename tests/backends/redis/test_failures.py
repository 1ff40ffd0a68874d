"""The Redis backend when the network, the server or a reply is lost. Servers of our own: they get hurt."""

import asyncio
import gc
import os
import subprocess
import time
import traceback
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import redis
from redis_server import RedisServer, free_port, redis_binary, start_redis
from swarmchat.backends import (
    Append,
    Backend,
    BackendError,
    BackendUnavailable,
    Conflict,
    Expect,
    Lease,
    LeaseLost,
    Put,
    open_backend,
)
from swarmchat.backends.testing.tools import until

StartProxy = Callable[..., AbstractAsyncContextManager[Any]]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with start_redis(tmp_path) as server:
        yield server


def test_a_commit_whose_reply_is_lost_lands_once(server: RedisServer, proxy: StartProxy) -> None:
    async def scenario() -> None:
        async with proxy(server.port) as between:
            backend = open_backend(f"redis://127.0.0.1:{between.port}/0")
            lease = await backend.acquire("{a}lease", b"me", 60)
            assert lease
            await backend.commit(Append("{a}list", (b"0",)))
            for index in range(1, 6):
                between.swallow = b"EVALSHA"
                await backend.commit(Append("{a}list", (b"%d" % index,)), lease=lease)
            assert between.swallowed == 5
            assert await backend.slice("{a}list", 0) == [b"%d" % index for index in range(6)]
            await backend.close()

    asyncio.run(scenario())


def test_a_lost_lease_is_reported_though_the_reply_was_lost(server: RedisServer, proxy: StartProxy) -> None:
    async def scenario() -> None:
        async with proxy(server.port) as between:
            backend = open_backend(f"redis://127.0.0.1:{between.port}/0")
            await backend.commit(Put("a", b"1"))
            between.swallow = b"EVALSHA"
            with pytest.raises(LeaseLost):
                await backend.commit(Put("a", b"2"), lease=Lease("lease", b"me", 60))
            assert between.swallowed == 1
            assert await backend.get("a") == b"1"
            await backend.close()

    asyncio.run(scenario())


def test_a_commit_that_has_landed_succeeds_though_it_expects_what_it_replaced(
    server: RedisServer, proxy: StartProxy
) -> None:
    async def scenario() -> None:
        async with proxy(server.port) as between:
            backend = open_backend(f"redis://127.0.0.1:{between.port}/0")
            lease = await backend.acquire("lease", b"me", 60)
            await backend.commit(Put("a", b"0"))
            for index in range(6):
                between.swallow = b"EVALSHA"
                before, after = b"%d" % index, b"%d" % (index + 1)
                held = lease if index % 2 else None
                await backend.commit(Expect("a", before), Put("a", after), Append("list", (after,)), lease=held)
            assert between.swallowed == 6
            assert await backend.get("a") == b"6"
            assert await backend.slice("list", 0) == [b"%d" % index for index in range(1, 7)]
            await backend.close()

    asyncio.run(scenario())


def test_a_conflict_is_reported_though_the_reply_was_lost(server: RedisServer, proxy: StartProxy) -> None:
    async def scenario() -> None:
        async with proxy(server.port) as between:
            backend = open_backend(f"redis://127.0.0.1:{between.port}/0")
            await backend.commit(Put("a", b"1"))
            for writes in ((), (Put("a", b"2"),)):
                between.swallow = b"EVALSHA"
                with pytest.raises(Conflict):
                    await backend.commit(Expect("a", b"0"), *writes)
            assert between.swallowed == 2
            assert await backend.get("a") == b"1"
            await backend.close()

    asyncio.run(scenario())


def test_lease_calls_and_reads_survive_a_lost_reply(server: RedisServer, proxy: StartProxy) -> None:
    async def scenario() -> None:
        async with proxy(server.port) as between:
            backend = open_backend(f"redis://127.0.0.1:{between.port}/0")
            for attempt in range(2):
                between.swallow = b"EVAL"
                lease = await backend.acquire("lease", b"%d" % attempt, 60)
                assert lease
                between.swallow = b"EVAL"
                assert await backend.renew(lease)
                between.swallow = b"GET"
                assert await backend.get("lease") == b"%d" % attempt
                between.swallow = b"EVAL"
                await backend.release(lease)
                assert await backend.get("lease") is None
            between.swallow = b"SCAN"
            assert [item async for item in backend.scan("")] == []
            assert between.swallowed == 9
            await backend.close()

    asyncio.run(scenario())


def test_a_hung_server_is_reported_within_the_deadline(server: RedisServer) -> None:
    async def scenario() -> None:
        backend = open_backend(f"{server.url}?deadline=0.6&timeout=0.25")
        await backend.commit(Append("list", (b"1",)))
        with server.stopped():
            for call in (backend.get("a"), backend.commit(Append("list", (b"2",))), backend.acquire("l", b"me", 9)):
                began = time.monotonic()
                with pytest.raises(BackendUnavailable, match=r"did not answer|cannot be reached") as caught:
                    await call
                # Generous: the bound is half a second, this machine may be busy.
                assert time.monotonic() - began < 5
                assert server.url in str(caught.value)
        await backend.commit(Append("list", (b"3",)))
        values = await backend.slice("list", 0)
        # Whether the second landed is unknown, but it did so once at most.
        assert values in ([b"1", b"3"], [b"1", b"2", b"3"])
        await backend.close()

    asyncio.run(scenario())


def test_many_calls_on_a_hung_server_all_end(server: RedisServer) -> None:
    async def scenario() -> None:
        backend = open_backend(f"{server.url}?deadline=0.4&timeout=0.2")
        with server.stopped():
            results = await asyncio.gather(*(backend.get("a") for _ in range(100)), return_exceptions=True)
        assert {type(result) for result in results} == {BackendUnavailable}
        assert await backend.get("a") is None
        await backend.close()

    asyncio.run(scenario())


def test_no_server_is_reported(proxy: StartProxy) -> None:
    async def scenario() -> None:
        url = f"redis://127.0.0.1:{free_port()}/0"
        backend = open_backend(url)
        with pytest.raises(BackendUnavailable, match="is the server running") as caught:
            await backend.get("a")
        assert url in str(caught.value)
        await backend.close()

    asyncio.run(scenario())


def test_a_name_that_does_not_resolve_and_a_missing_socket_are_reported(tmp_path: Path) -> None:
    async def scenario(url: str) -> None:
        backend = open_backend(url)
        with pytest.raises(BackendUnavailable, match=r"cannot be reached|did not answer"):
            await backend.get("a")
        await backend.close()

    asyncio.run(scenario("redis://nowhere.invalid/0?deadline=3"))
    asyncio.run(scenario(f"unix://{tmp_path}/missing.sock"))


def test_a_restarted_server_is_found_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        port = free_port()
        options = ("--appendonly", "yes", "--appendfsync", "always")
        backend = open_backend(f"redis://127.0.0.1:{port}/0")
        for index in range(3):
            with start_redis(tmp_path, *options, port=port):
                await asyncio.gather(*(backend.get("a") for _ in range(5)))
                await backend.commit(Append("list", (b"%d" % index,)))
        with pytest.raises(BackendUnavailable):
            await backend.get("a")
        with start_redis(tmp_path, *options, port=port):
            assert await backend.slice("list", 0) == [b"0", b"1", b"2"]
        await backend.close()

    asyncio.run(scenario())


def test_a_call_waits_out_a_short_restart(tmp_path: Path) -> None:
    async def scenario() -> None:
        port = free_port()
        backend = open_backend(f"redis://127.0.0.1:{port}/0")
        call = asyncio.create_task(backend.commit(Put("a", b"1")))
        await asyncio.sleep(0)
        with start_redis(tmp_path, port=port):
            await call
            assert await backend.get("a") == b"1"
            await backend.close()

    asyncio.run(scenario())


async def wait_for_refusals(client: redis.Redis, code: str, number: int = 2) -> None:
    """Return once the server has refused so many commands with the error ``code``."""

    async def refused() -> bool:
        return int(client.info("errorstats").get(f"errorstat_{code}", {}).get("count", 0)) >= number

    await until(refused)


def write_and_read(backend: Backend) -> Awaitable[Any]:
    """Whatever a session does, at once."""
    return asyncio.gather(
        backend.commit(Append("{a}list", (b"2",))),
        backend.get("{a}value"),
        backend.slice("{a}list", 0, 1),
        backend.acquire("{a}lease", b"me", 60),
    )


def test_a_server_that_loads_its_data_is_waited_for(tmp_path: Path) -> None:
    async def scenario() -> None:
        port = free_port()
        backend = open_backend(f"redis://127.0.0.1:{port}/0?deadline=60")
        with start_redis(tmp_path, port=port) as server, server.client() as client:
            # While it loads, a server answers after every 2 MB.
            await backend.commit(*(Put(f"{index}", os.urandom(50_000)) for index in range(300)))
            await backend.commit(Append("{a}list", (b"1",)), Put("{a}value", b"1"))
            client.save()
        # Microseconds for each key.
        slow = ("--key-load-delay", "5000")
        command = [redis_binary(), "--port", str(port), "--dir", str(tmp_path), "--save", "", *slow]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)  # noqa: ASYNC220  # it returns at once
        try:
            with server.client() as client:
                await until(lambda: _is_loading(client))
                await write_and_read(backend)
                await wait_for_refusals(client, "LOADING")
            assert await backend.slice("{a}list", 0) == [b"1", b"2"]
            await backend.close()
        finally:
            process.kill()
            process.wait()

    asyncio.run(scenario())


def test_a_replica_without_its_primary_is_waited_for(tmp_path: Path) -> None:
    """MASTERDOWN: until it is the primary itself."""
    replica_of = ("--replicaof", "127.0.0.1", str(free_port()), "--replica-serve-stale-data", "no")

    async def scenario(replica: RedisServer) -> None:
        backend = open_backend(f"{replica.url}?deadline=60")
        with replica.client() as client:
            call = asyncio.ensure_future(write_and_read(backend))
            await wait_for_refusals(client, "MASTERDOWN", 8)
            assert not call.done()
            client.replicaof("NO", "ONE")
            await call
        assert await backend.slice("{a}list", 0) == [b"2"]
        await backend.close()
        with replica.client() as client:
            client.replicaof("127.0.0.1", str(free_port()))
        away = open_backend(f"{replica.url}?deadline=0.5")
        with pytest.raises(BackendUnavailable, match="not ready"):
            await away.get("a")
        await away.close()

    with start_redis(tmp_path, *replica_of) as replica:
        asyncio.run(scenario(replica))


def test_another_server_that_takes_over_behind_the_same_address_is_found(tmp_path: Path, proxy: StartProxy) -> None:
    """READONLY: the old primary has become a replica; the name now leads to the new one, but not this connection."""
    for name in ("old", "new"):
        (tmp_path / name).mkdir()

    async def scenario(old: RedisServer, new: RedisServer) -> None:
        async with proxy(old.port) as between:
            backend = open_backend(f"redis://127.0.0.1:{between.port}/0?deadline=60")
            await backend.commit(Append("{a}list", (b"1",)), Put("{a}value", b"1"))
            with old.client() as before, new.client() as after:
                await until(lambda: _has(after, "{a}value"))
                after.replicaof("NO", "ONE")
                before.replicaof("127.0.0.1", str(new.port))
                call = asyncio.ensure_future(write_and_read(backend))
                # More often than a lost connection is tried again: each call also loses those that another one closes.
                await wait_for_refusals(before, "READONLY", 12)
                assert not call.done()
                between.target = new.port
                await call
            assert await backend.slice("{a}list", 0) == [b"1", b"2"]
            await backend.close()

    port = free_port()
    replica = start_redis(tmp_path / "new", "--replicaof", "127.0.0.1", str(port))
    with start_redis(tmp_path / "old", port=port) as old, replica as new:
        asyncio.run(scenario(old, new))


async def _is_loading(client: redis.Redis) -> bool:
    try:
        client.ping()
    except redis.BusyLoadingError:
        return True
    except redis.ConnectionError:
        pass
    return False


async def _has(client: redis.Redis, key: str) -> bool:
    return bool(client.exists(key))


def test_a_server_busy_with_a_script_is_waited_for(tmp_path: Path) -> None:
    async def scenario(server: RedisServer) -> None:
        backend = open_backend(f"{server.url}?deadline=60")
        await backend.commit(Append("{a}list", (b"1",)))
        with server.client() as client, server.client() as other:
            script = asyncio.create_task(asyncio.to_thread(_run_endless_script, client))
            await until(lambda: _is_busy(other))
            call = asyncio.ensure_future(write_and_read(backend))
            for _ in range(50):
                await asyncio.sleep(0)
            other.script_kill()
            await script
            await call
        assert await backend.slice("{a}list", 0) == [b"1", b"2"]
        await backend.close()

    with start_redis(tmp_path, "--lua-time-limit", "1") as server:
        asyncio.run(scenario(server))


def _run_endless_script(client: redis.Redis) -> None:
    with pytest.raises(redis.RedisError):
        client.eval("while true do end", 0)


async def _is_busy(client: redis.Redis) -> bool:
    try:
        client.ping()
    except redis.RedisError as error:
        return "BUSY" in str(error)
    return False


def test_closing_ends_the_calls_under_way(server: RedisServer) -> None:
    async def scenario() -> None:
        backend = open_backend(f"{server.url}?deadline=5&timeout=4")
        await backend.get("a")
        with server.stopped():
            call = asyncio.create_task(backend.get("a"))
            # Turns of the loop enough to have sent the request.
            for _ in range(50):
                await asyncio.sleep(0)
            await backend.close()
        with pytest.raises(BackendError, match="is closed"):
            await call

    asyncio.run(scenario())


# Python before 3.11.3 may lose a connection whose opening is cancelled: the server's list shows what is open.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_closed_backend_leaves_no_connection(server: RedisServer) -> None:
    """Whatever was cancelled, and however far the connections were."""

    async def scenario(pause: float, *, gather: bool) -> None:
        backend = open_backend(server.url)
        waits = [asyncio.create_task(backend.wait(f"list {number}", 5)) for number in range(12)]
        await asyncio.sleep(pause)
        for wait in waits[::2]:
            wait.cancel()
        if gather:
            await asyncio.gather(*waits[::2], return_exceptions=True)
        await backend.close()
        await asyncio.gather(*waits, return_exceptions=True)
        await until(alone)

    async def alone() -> bool:
        return all(each["id"] == own for each in client.client_list())

    with server.client() as client:
        own = str(client.client_id())
        for pause in (0, 0.001, 0.002, 0.005, 0.01, 0.02):
            for gather in (False, True):
                asyncio.run(scenario(pause, gather=gather))
    gc.collect()


SECRETS = ["s3cret/w@rd", "pässwörd", "a b#c?d&e"]


@pytest.mark.parametrize("secret", SECRETS)
def test_no_error_shows_the_password(server: RedisServer, secret: str) -> None:
    """Neither the message nor the whole traceback, in either spelling, even when the server quotes it."""

    async def gossip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65536)
        reply = f"-ERR unknown command `AUTH`, with args beginning with: `{secret}`, \r\n"
        writer.write(reply.encode())
        await reader.read()
        writer.close()

    async def scenario() -> None:
        chatty = await asyncio.start_server(gossip, "127.0.0.1", 0)
        chatty_port = chatty.sockets[0].getsockname()[1]
        quoted = quote(secret, safe="")
        urls = [
            f"redis://:{quoted}@127.0.0.1:{chatty_port}/0",
            f"redis://127.0.0.1:{chatty_port}/0?username=me&password={quoted}",
            f"redis://me:{quoted}@127.0.0.1:{server.port}/0",
            f"redis://me:{quoted}@127.0.0.1:{free_port()}/0?deadline=0.2",
            f"unix://:{quoted}@/nowhere/redis.sock?deadline=0.2",
            f"redis+cluster://:{quoted}@127.0.0.1:{server.port}?deadline=0.5",
            f"redis+sentinel://:{quoted}@127.0.0.1:{server.port}/svc?deadline=0.5&sentinel_password={quoted}",
        ]
        for url in urls:
            backend = open_backend(url)
            assert secret not in repr(vars(backend))
            with pytest.raises(BackendError) as caught:
                await backend.commit(Put("a", b"1"))
            shown = "".join(traceback.format_exception(caught.value)) + backend.url
            assert secret not in shown
            assert quoted not in shown
            assert "***" in str(caught.value)
            await backend.close()
        chatty.close()
        await chatty.wait_closed()

    asyncio.run(scenario())
