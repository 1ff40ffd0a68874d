"""The Redis backend against real servers: the conformance suite, and who may use what how."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from hypothesis import given
from redis_server import RedisServer, free_port, start_redis
from swarmchat.backends import (
    Append,
    Backend,
    BackendFull,
    BackendUnavailable,
    Conflict,
    CorruptValue,
    Delete,
    Expect,
    Put,
    Touch,
    Truncate,
    UnknownBackend,
    open_backend,
)
from swarmchat.backends.redis.scripts import slot, slot_prefix
from swarmchat.backends.testing.model import HOSTILE, check_model
from swarmchat.backends.testing.model import keys as hostile_keys
from swarmchat.backends.testing.suite import BackendConformance, MakeBackend
from swarmchat.backends.testing.tools import until

LOG = "swarmchat:1:{me}:session:1:log"
STATE = "swarmchat:1:{me}:session:1:state"
BAN = "swarmchat:1:policy:helpdesk:rude:me"

USER = (
    "worker on >s3cret resetkeys ~swarmchat:* resetchannels -@all +@connection +get +mget +llen +lrange +scan +eval"
    " +evalsha +exists +type +set +pexpire +persist +rpush +ltrim +del"
    " +blmove"
)


@pytest.fixture
def make_backend(redis_url: str) -> MakeBackend:
    return lambda: open_backend(redis_url)


class TestRedis(BackendConformance):
    pass


@pytest.fixture(scope="module")
def guarded() -> Iterator[tuple[RedisServer, Path]]:
    """A server with a password, an ACL user and a socket file, whose path must be short."""
    with tempfile.TemporaryDirectory(prefix="swarmchat") as folder:
        socket = Path(folder) / "redis.sock"
        with start_redis(Path(folder), "--requirepass", "pässw@rd/1", "--unixsocket", str(socket)) as server:
            with redis.Redis(port=server.port, password="pässw@rd/1") as client:
                client.execute_command("ACL", "SETUSER", *USER.split())
            yield server, socket


class TestRedisOverASocketFile(BackendConformance):
    @pytest.fixture
    def make_backend(self, guarded: tuple[RedisServer, Path]) -> MakeBackend:
        server, socket = guarded
        with redis.Redis(port=server.port, password="pässw@rd/1") as client:
            client.flushall()
        return lambda: open_backend(f"unix://:p%C3%A4ssw%40rd%2F1@{socket}?db=3")

    def test_behaves_as_a_dict_of_values_and_lists(self, make_backend: MakeBackend) -> None:
        # The driver is the same as in TestRedis: only the way to the server and its database differ.
        check_model(make_backend, examples=10)


def run(url: str, *calls: Callable[[Backend], Awaitable[Any]]) -> Any:
    async def scenario() -> Any:
        backend = open_backend(url)
        result = None
        try:
            for call in calls:
                result = await call(backend)
        finally:
            await backend.close()
        return result

    return asyncio.run(scenario())


async def collect(backend: Backend, prefix: str) -> list[tuple[str, bytes]]:
    return [item async for item in backend.scan(prefix)]


def test_a_user_that_may_touch_our_keys_only_is_enough(guarded: tuple[RedisServer, Path]) -> None:
    async def everything(backend: Backend) -> None:
        lease = await backend.acquire(f"{STATE}:lease", b"me", 60)
        assert lease
        await backend.commit(Append(LOG, (b"1", b"2"), 60), Put(STATE, b"1"), Touch(LOG), Truncate(LOG, 1), lease=lease)
        await backend.commit(Put(BAN, b"1", 60), Delete(STATE), Expect(STATE, b"1"))
        assert await backend.renew(lease)
        await backend.release(lease)
        assert await collect(backend, "swarmchat:") == [(BAN, b"1")]
        assert (await backend.length(LOG), await backend.slice(LOG, 0)) == (1, [b"1"])

    server, _ = guarded
    url = f"redis://worker:s3cret@127.0.0.1:{server.port}/0"
    run(url, everything)
    with pytest.raises(BackendUnavailable, match=r"refuses the user 'worker'.*ACL"):
        run(url, lambda backend: backend.commit(Put("other:key", b"1")))
    with pytest.raises(BackendUnavailable, match="'worker'"):
        run(url, lambda backend: backend.get("other:key"))


@pytest.mark.parametrize("userinfo", ["", ":wr0ng@", "worker:wr0ng@", "nobody:wr0ng@"])
def test_a_refused_login_says_who_and_what_to_do(guarded: tuple[RedisServer, Path], userinfo: str) -> None:
    with pytest.raises(BackendUnavailable, match="check the name and the password") as caught:
        run(f"redis://{userinfo}127.0.0.1:{guarded[0].port}/0", lambda backend: backend.get("a"))
    assert repr(userinfo.partition(":")[0] or "default").strip("'") in str(caught.value)
    assert "wr0ng" not in str(caught.value)


def test_another_database_is_another_store(guarded: tuple[RedisServer, Path]) -> None:
    url = f"redis://:p%C3%A4ssw%40rd%2F1@127.0.0.1:{guarded[0].port}"
    run(f"{url}/1", lambda backend: backend.commit(Put("a", b"1")))
    assert run(f"{url}/2", lambda backend: backend.get("a")) is None
    assert run(f"{url}?db=1", lambda backend: backend.get("a")) == b"1"
    with pytest.raises(UnknownBackend, match=r"no database 99 .* name a lower one"):
        run(f"{url}/99", lambda backend: backend.get("a"))


def test_foreign_kinds_of_keys_are_left_alone(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.hset("theirs", "field", "value")
        client.lpush("list", "1")
        client.set(b"not \xff text", "1")
        for call in (
            lambda backend: backend.get("theirs"),
            lambda backend: backend.length("theirs"),
            lambda backend: backend.slice("theirs", 0, 0),
            lambda backend: backend.commit(Put("mine", b"1"), Put("theirs", b"1")),
            lambda backend: backend.commit(Put("mine", b"1"), Delete("theirs")),
            lambda backend: backend.commit(Put("mine", b"1"), Append("theirs", (b"1",))),
            lambda backend: backend.commit(Put("mine", b"1"), Touch("theirs", 1)),
            lambda backend: backend.commit(Put("mine", b"1"), Expect("theirs", None)),
            lambda backend: backend.acquire("theirs", b"me", 60),
            lambda backend: backend.get("list"),
        ):
            with pytest.raises(CorruptValue):
                run(redis_url, call)
        assert client.hgetall("theirs") == {b"field": b"value"}
        assert client.exists("mine") == 0
        assert run(redis_url, lambda backend: collect(backend, "")) == []


def test_the_token_of_a_commit_is_no_value_and_does_not_stay(redis_url: str) -> None:
    run(redis_url, lambda backend: backend.commit(Put(STATE, b"1")))
    assert run(redis_url, lambda backend: collect(backend, "")) == [(STATE, b"1")]
    with redis.Redis.from_url(redis_url) as client:
        (token,) = client.keys("*:commit:*")
        assert token.startswith(b"swarmchat:1:{me}:commit:")
        assert 50_000 < client.pttl(token) <= 60_000


def test_scripts_that_the_server_forgot_are_sent_again(redis_url: str) -> None:
    async def scenario() -> None:
        backend = open_backend(redis_url)
        with redis.Redis.from_url(redis_url) as client:
            for index in range(3):
                client.script_flush()
                await backend.commit(Append("list", (b"%d" % index,)))
                assert await backend.acquire("lease", b"me", 60)
        assert await backend.slice("list", 0) == [b"0", b"1", b"2"]
        await backend.close()

    asyncio.run(scenario())


def test_a_server_without_memory_is_full(tmp_path: Path) -> None:
    async def scenario(server: RedisServer) -> None:
        backend = open_backend(server.url)
        lease = await backend.acquire("lease", b"me", 60)
        assert lease
        await backend.commit(Append("list", (b"1",)), Put("a", b"1"))
        with server.client() as client:
            client.config_set("maxmemory", 1)
            for held in (None, lease):
                with pytest.raises(BackendFull, match="maxmemory") as caught:
                    await backend.commit(Append("list", (b"2",)), Put("a", b"2"), lease=held)
                assert backend.url in str(caught.value)
            assert await backend.slice("list", 0) == [b"1"]
            # Looking works; and a conflict, which no room would mend, is told first.
            await backend.commit(Expect("a", b"1"), Expect("nothing", None))
            with pytest.raises(Conflict):
                await backend.commit(Put("a", b"2"), Expect("a", b"0"))
            # Making room works.
            await backend.commit(Delete("nothing"), Delete("a"), lease=lease)
            assert await backend.get("a") is None
            client.config_set("maxmemory", 0)
        await backend.commit(Append("list", (b"2",)), lease=lease)
        await backend.close()

    with start_redis(tmp_path, "--maxmemory-policy", "noeviction") as server:
        asyncio.run(scenario(server))


def test_a_replica_takes_no_writes(tmp_path: Path) -> None:
    replica_of = ("--replicaof", "127.0.0.1", str(free_port()))
    with start_redis(tmp_path, *replica_of) as replica, pytest.raises(BackendUnavailable, match="accepts no writes"):
        run(f"{replica.url}?deadline=0.5", lambda backend: backend.commit(Put("a", b"1")))


def test_a_replica_that_becomes_the_primary_is_waited_for(tmp_path: Path) -> None:
    replica_of = ("--replicaof", "127.0.0.1", str(free_port()))
    with start_redis(tmp_path, *replica_of) as replica, replica.client() as client:

        async def refused() -> bool:
            return bool(client.info("commandstats").get("cmdstat_evalsha", {}).get("calls", 0) > 1)

        async def promote() -> None:
            await until(refused)
            client.replicaof("NO", "ONE")

        async def scenario(backend: Backend) -> bytes | None:
            await asyncio.gather(backend.commit(Put("a", b"1")), promote())
            return await backend.get("a")

        assert run(f"{replica.url}?deadline=30", scenario) == b"1"


@given(hostile_keys)
def test_a_token_lies_in_the_slot_of_its_commit(key: str) -> None:
    assert slot(f"{slot_prefix(key)}:commit:x") == slot(key)


@pytest.mark.parametrize(
    "key", [key for key in HOSTILE if key] + ["swarmchat:{a}b", "swarmchat:a}b{c", "swarmchat:{}a"]
)
def test_a_token_begins_as_its_commit(key: str) -> None:
    prefix = slot_prefix(key)
    assert slot(f"{prefix}:commit:x") == slot(key)
    assert prefix.startswith("swarmchat:") == key.startswith("swarmchat:")
