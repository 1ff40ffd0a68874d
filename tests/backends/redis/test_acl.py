"""A Redis user that lacks a right: what is refused changes nothing, and once it is allowed, it happens once."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
import redis
from redis_server import RedisServer, start_redis
from swarmchat.backends import (
    Append,
    Backend,
    BackendUnavailable,
    Delete,
    Expect,
    ExpectLength,
    Lease,
    Put,
    Touch,
    Truncate,
    Write,
    open_backend,
)

COMMANDS = "get mget llen lrange scan eval evalsha exists type set pexpire persist rpush ltrim del".split()
"""The commands that the documentation lists."""
TAG = "swarmchat:1:{me}:"
LEASE = Lease(f"{TAG}lease", b"me", 600)
WRITES: dict[str, tuple[Write, ...]] = {
    "a turn": (
        ExpectLength(f"{TAG}log", 2),
        Append(f"{TAG}log", (b"3", b"4"), 60),
        Put(f"{TAG}entry", b"new", 60),
        Touch(f"{TAG}state", 60),
    ),
    "without lifetimes": (Append(f"{TAG}log", (b"3",)), Put(f"{TAG}entry", b"new"), Touch(f"{TAG}state")),
    "a repair": (Truncate(f"{TAG}log", 1), Append(f"{TAG}log", (b"2x",), 60), Delete(f"{TAG}state")),
    "only removals": (Expect(f"{TAG}entry", b"old"), Delete(f"{TAG}entry"), Truncate(f"{TAG}log", 0)),
    "a shorter list": (Truncate(f"{TAG}log", 1),),
    "lifetimes": (Touch(f"{TAG}log", 60), Touch(f"{TAG}state")),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with start_redis(tmp_path_factory.mktemp("acl")) as server:
        yield server


@pytest.fixture
def admin(server: RedisServer) -> Iterator[redis.Redis]:
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", "worker", "reset")
        allow(client, "on", ">s3cret", "~swarmchat:*", "-@all", "+@connection", *(f"+{name}" for name in COMMANDS))
        yield client


def allow(client: redis.Redis, *rules: str) -> None:
    client.execute_command("ACL", "SETUSER", "worker", *rules)


def prepare(client: redis.Redis, lease: Lease | None) -> None:
    """Store what the commits start from, and have the server forget the scripts."""
    client.flushdb()
    client.script_flush()
    client.rpush(f"{TAG}log", "1", "2")
    client.set(f"{TAG}entry", "old")
    client.set(f"{TAG}state", "1", px=50_000)
    if lease:
        client.set(lease.key, lease.owner, px=500_000)


def contents(client: redis.Redis, *, tokens: bool = True) -> dict[bytes, tuple[Any, bool]]:
    """All keys with their values, and whether they have a lifetime."""
    keys = [key for key in sorted(client.keys()) if tokens or b":commit:" not in key]
    return {
        key: (client.lrange(key, 0, -1) if client.type(key) == b"list" else client.get(key), client.pttl(key) > 0)
        for key in keys
    }


async def succeeds(call: Awaitable[Any], command: str = "") -> bool:
    """Whether the call is not refused for lack of a right. The refusal names the ``command``."""
    try:
        await call
    except BackendUnavailable as error:
        if not re.search(rf"\b{command}\b", str(error), re.IGNORECASE):
            raise
        return False
    return True


def run(server: RedisServer, scenario: Callable[[Backend], Awaitable[None]]) -> None:
    async def with_backend() -> None:
        backend = open_backend(f"redis://worker:s3cret@127.0.0.1:{server.port}/0")
        try:
            await scenario(backend)
        finally:
            await backend.close()

    asyncio.run(with_backend())


@pytest.mark.parametrize("lease", [None, LEASE], ids=["", "lease"])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_refused_commit_changes_nothing_and_its_retry_applies_it_once(
    server: RedisServer, admin: redis.Redis, command: str, lease: Lease | None
) -> None:
    async def scenario(backend: Backend) -> None:
        for name, writes in WRITES.items():
            prepare(admin, lease)
            await backend.commit(*writes, lease=lease)
            expected = contents(admin, tokens=False)
            prepare(admin, lease)
            before = contents(admin)
            allow(admin, f"-{command}")
            applied = await succeeds(backend.commit(*writes, lease=lease), command)
            allow(admin, f"+{command}")
            if not applied:
                assert contents(admin) == before, name
                await backend.commit(*writes, lease=lease)
            assert contents(admin, tokens=False) == expected, name

    run(server, scenario)


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "scan"])
def test_a_missing_right_is_found_when_the_lease_is_taken(
    server: RedisServer, admin: redis.Redis, command: str
) -> None:
    async def scenario(backend: Backend) -> None:
        prepare(admin, None)
        before = contents(admin)
        allow(admin, f"-{command}")
        with pytest.raises(BackendUnavailable, match=rf"'worker'.*(?i:{command}).*ACL"):
            await backend.acquire(LEASE.key, b"me", 60)
        assert contents(admin) == before

    run(server, scenario)


@pytest.mark.parametrize("pattern", ["log", "entry", "state", "lease", "commit:*"])
def test_a_key_that_may_not_be_written_refuses_the_whole_commit(
    server: RedisServer, admin: redis.Redis, pattern: str
) -> None:
    """With Redis 7, the user may even read it."""
    parts = [part for part in ("log", "entry", "state", "lease", "commit:*") if part != pattern]
    readable = [f"%R~{TAG}*"] if admin.info("server")["redis_version"] >= "7" else []
    allow(admin, "resetkeys", *(f"~{TAG}{part}" for part in parts), *readable)

    async def scenario(backend: Backend) -> None:
        prepare(admin, LEASE)
        before = contents(admin)
        assert not await succeeds(backend.commit(*WRITES["a turn"], lease=LEASE))
        assert contents(admin) == before

    run(server, scenario)
