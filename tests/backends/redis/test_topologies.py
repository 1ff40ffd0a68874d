"""The Redis backend through TLS, on a cluster and behind sentinels."""

import asyncio
import gc
import re
import ssl
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
from redis_server import (
    RedisServer,
    cluster_info,
    cluster_url,
    free_port,
    redis_binary,
    run_cluster,
    run_redis,
    start_redis,
)
from swarmchat.backends import (
    Append,
    Backend,
    BackendError,
    BackendUnavailable,
    Conflict,
    CorruptValue,
    Expect,
    LeaseLost,
    Put,
    UnknownBackend,
    open_backend,
)
from swarmchat.backends.redis.backend import RedisBackend
from swarmchat.backends.redis.report import RedisReport, report_on
from swarmchat.backends.redis.scripts import slot
from swarmchat.backends.redis.url import parse_redis_url
from swarmchat.backends.testing.tools import until
from swarmchat.swarm import Agent, Operator, OperatorDesk, ScriptedModel, Session, Swarm

StartProxy = Callable[..., AbstractAsyncContextManager[Any]]


async def collect(backend: Backend, prefix: str) -> list[tuple[str, bytes]]:
    return [item async for item in backend.scan(prefix)]


def test_tls(tmp_path: Path, proxy: StartProxy, certificate: tuple[Path, Path]) -> None:
    path, key = certificate
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path, key)

    async def scenario(server: RedisServer) -> None:
        async with proxy(server.port, tls=context) as tunnel:
            for host, options in (
                ("localhost", f"ssl_ca_certs={path}"),
                ("127.0.0.1", f"ssl_ca_certs={path}&ssl_check_hostname=false"),
                ("127.0.0.1", "ssl_cert_reqs=none"),
            ):
                backend = open_backend(f"rediss://{host}:{tunnel.port}/1?{options}")
                await backend.commit(Append("list", (b"x" * 100_000,)))
                assert len(await backend.slice("list", -1)) == 1
                await backend.close()
            for host, options in (("localhost", ""), ("127.0.0.1", f"?ssl_ca_certs={path}")):
                backend = open_backend(f"rediss://{host}:{tunnel.port}/1{options}")
                with pytest.raises(BackendUnavailable, match=r"(?i)certificate|ssl"):
                    await backend.get("a")
                await backend.close()

    with start_redis(tmp_path) as server:
        asyncio.run(scenario(server))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[RedisServer]]:
    """Two masters that share the slots."""
    with run_cluster(tmp_path_factory.mktemp("cluster"), range(8192), range(8192, 16384)) as servers:
        yield servers


def test_a_report_on_a_cluster(cluster: list[RedisServer]) -> None:
    async def ask() -> RedisReport:
        backend = RedisBackend(parse_redis_url(cluster_url(cluster)))
        try:
            return await report_on(backend)
        finally:
            await backend.close()

    report = asyncio.run(ask())
    assert report.mode == "cluster"
    assert re.fullmatch(r"(Redis|Valkey) \d+\.\d+\.\d+", report.program or "")
    assert (report.appendonly, report.save, report.policy, report.maxmemory) == (False, "", "noeviction", 0)
    assert report.ahead is not None
    assert abs(report.ahead) < 60


def test_a_cluster(cluster: list[RedisServer]) -> None:
    async def scenario() -> None:
        backend = open_backend(cluster_url(cluster))
        keys = []
        for index in range(40):
            tag = f"swarmchat:1:{{client{index}}}:"
            lease = await backend.acquire(f"{tag}lease", b"me", 60)
            assert lease
            await backend.commit(Append(f"{tag}log", (b"1", b"2")), Put(f"{tag}state", b"%d" % index), lease=lease)
            await backend.commit(Expect(f"{tag}state", b"%d" % index), Put(f"{tag}state", b"%d" % index))
            with pytest.raises(Conflict):
                await backend.commit(Expect(f"{tag}state", None), Put(f"{tag}state", b"no"), lease=lease)
            await backend.commit(Put(f"swarmchat:1:policy:{index}", b"1"), Put(f"swarmchat:1:policy:{index}", b"2"))
            assert await backend.slice(f"{tag}log", -1) == [b"2"]
            assert await backend.renew(lease)
            await backend.release(lease)
            with pytest.raises(LeaseLost):
                await backend.commit(Put(f"{tag}state", b"no"), lease=lease)
            with pytest.raises(CorruptValue):
                await backend.get(f"{tag}log")
            keys += [(f"{tag}state", b"%d" % index), (f"swarmchat:1:policy:{index}", b"2")]
        assert await collect(backend, "swarmchat:") == sorted(keys)
        assert await collect(backend, "swarmchat:1:{client7}") == [("swarmchat:1:{client7}:state", b"7")]
        await backend.close()
        for server in cluster:
            with server.client() as client:
                assert client.dbsize() > 10

    asyncio.run(scenario())


def test_an_operator_takes_a_conversation_on_a_cluster(cluster: list[RedisServer]) -> None:
    async def scenario() -> None:
        backend = open_backend(cluster_url(cluster))
        swarm = Swarm("shop", [Agent("clerk", handoffs=["support"])], operators=[Operator("support")])
        async with OperatorDesk(backend, swarm, "Anna") as desk:
            assert await desk.tickets() == []
            for client in "ann", "ben", "eve":
                async with await Session.open(backend, ScriptedModel(["Yes?"]), swarm, client=client) as session:
                    await session.ask("hello")
                    await session.go_to("support")
            assert await desk.wait(5)
            waiting = await desk.tickets()
            assert [ticket.client for ticket in waiting] == ["ann", "ben", "eve"]
            for ticket in waiting:
                case = await desk.take(ticket.client, ticket.session)
                await case.say("Hello.")
                await case.give_back("done")
            assert await desk.tickets() == []
        await backend.close()

    asyncio.run(scenario())


@contextmanager
def migrating(cluster: list[RedisServer], number: int) -> Iterator[Callable[[], None]]:
    """Begin to move a slot of the first server to the second one; what is yielded ends that."""
    with cluster[0].client() as source, cluster[1].client() as target:
        ids = [client.execute_command("CLUSTER", "MYID").decode() for client in (source, target)]

        def finish() -> None:
            for key in source.execute_command("CLUSTER", "GETKEYSINSLOT", number, 1000):
                source.execute_command("MIGRATE", "127.0.0.1", cluster[1].port, key, 0, 5000)
            for client in (target, source):
                client.execute_command("CLUSTER", "SETSLOT", number, "NODE", ids[1])

        target.execute_command("CLUSTER", "SETSLOT", number, "IMPORTING", ids[0])
        source.execute_command("CLUSTER", "SETSLOT", number, "MIGRATING", ids[1])
        yield finish


_REDIRECTIONS = ("ASK", "MOVED", "TRYAGAIN")


async def is_redirected(cluster: list[RedisServer], times: int) -> bool:
    """Whether the servers have sent so many calls elsewhere since they were asked to forget."""
    redirected = 0
    for server in cluster:
        with server.client() as client:
            errors = client.info("errorstats")
            redirected += sum(int(errors.get(f"errorstat_{name}", {"count": 0})["count"]) for name in _REDIRECTIONS)
    return redirected >= times


@pytest.mark.parametrize(("moved", "known"), [(0, True), (1, True), (3, True), (3, False)])
def test_a_slot_in_migration_is_waited_for(tmp_path: Path, moved: int, known: bool) -> None:
    """Whether all its keys are still there, some have moved, or all have; and when the target had no slots before."""
    keys = ["{a}lease", "{a}log", "{a}state"]
    number = slot("{a}")
    halves = (range(16384), range(0)) if not known else (range(number + 1), range(number + 1, 16384))

    async def scenario(cluster: list[RedisServer]) -> None:
        backend = open_backend(f"{cluster_url(cluster[:1])}?deadline=60")
        lease = await backend.acquire(keys[0], b"me", 60)
        assert lease
        await backend.commit(Append(keys[1], (b"1",)), Put(keys[2], b"1"), lease=lease)
        with migrating(cluster, number) as finish, cluster[0].client() as source:
            for key in keys[:moved]:
                source.execute_command("MIGRATE", "127.0.0.1", cluster[1].port, key, 0, 5000)
            for server in cluster:
                with server.client() as client:
                    client.config_resetstat()
            call = asyncio.create_task(
                backend.commit(Expect(keys[2], b"1"), Append(keys[1], (b"2",)), Put(keys[2], b"2"), lease=lease)
            )
            # The client of redis-py gives up after 16; after the fifth MOVED, it takes itself for closed.
            await until(lambda: is_redirected(cluster, 20 if known else 5))
            assert not call.done()
            finish()
        await call
        assert await backend.slice(keys[1], 0) == [b"1", b"2"]
        assert await backend.get(keys[2]) == b"2"
        await backend.close()
        # redis-py warns of connections that are still open.
        del backend, call
        gc.collect()

    with run_cluster(tmp_path, *halves) as cluster:
        asyncio.run(scenario(cluster))


def test_a_cluster_that_is_down_is_waited_for(tmp_path: Path) -> None:
    """CLUSTERDOWN: a slot has no server for a while."""

    async def scenario(server: RedisServer) -> None:
        backend = open_backend(f"{cluster_url([server])}?deadline=60")
        await backend.commit(Append("list", (b"1",)))
        with server.client() as client:
            client.execute_command("CLUSTER", "DELSLOTS", 0)
            await until(lambda: is_down(server))
            client.config_resetstat()
            call = asyncio.gather(backend.commit(Append("list", (b"2",))), backend.get("a"))
            # The two calls of other errors would end after five attempts each.
            await until(lambda: is_asked_for_slots(server, 12))
            assert not call.done()
            client.execute_command("CLUSTER", "ADDSLOTS", 0)
            await call
        assert await backend.slice("list", 0) == [b"1", b"2"]
        await backend.close()

    with run_cluster(tmp_path, range(16384)) as (server,):
        asyncio.run(scenario(server))


async def is_asked_for_slots(server: RedisServer, times: int) -> bool:
    with server.client() as client:
        return client.info("commandstats").get("cmdstat_cluster", {"calls": 0})["calls"] >= times


async def is_down(server: RedisServer) -> bool:
    return "cluster_state:fail" in cluster_info(server)


def test_a_slot_that_stays_in_migration_is_reported(tmp_path: Path) -> None:
    async def scenario(cluster: list[RedisServer]) -> None:
        backend = open_backend(f"{cluster_url(cluster)}?deadline=1")
        with migrating(cluster, slot("a")), pytest.raises(BackendUnavailable, match=r"slot .* is being moved"):
            await backend.commit(Put("a", b"1"))
        await backend.close()

    with run_cluster(tmp_path, range(16384), range(0)) as cluster:
        asyncio.run(scenario(cluster))


def test_a_commit_across_slots_is_refused_before_it_is_sent(cluster: list[RedisServer]) -> None:
    async def scenario() -> None:
        backend = open_backend(cluster_url(cluster[:1]))
        with pytest.raises(BackendError, match=r"'a:1' and 'b:1' in one commit.*\{hash tag\}"):
            await backend.commit(Put("a:1", b"1"), Put("b:1", b"1"))
        with pytest.raises(BackendError, match=r"'a:1' and 'b:1' in one commit"):
            await backend.commit(Put("a:1", b"1"), Expect("b:1", None))
        assert await backend.get("a:1") is None
        await backend.close()
        with pytest.raises(BackendError, match="is closed"):
            await backend.get("a:1")

    asyncio.run(scenario())


def test_a_plain_server_is_no_cluster(tmp_path: Path) -> None:
    async def scenario(server: RedisServer) -> None:
        backend = open_backend(f"redis+cluster://127.0.0.1:{server.port}")
        with pytest.raises(BackendUnavailable, match="cluster"):
            await backend.get("a")
        await backend.close()
        backend = open_backend(f"redis+cluster://127.0.0.1:{free_port()}?deadline=0.5")
        with pytest.raises(BackendUnavailable, match=r"cannot be reached .*is the server running"):
            await backend.get("a")
        await backend.close()

    with start_redis(tmp_path) as server:
        asyncio.run(scenario(server))


def test_a_plain_url_to_a_cluster_says_so(cluster: list[RedisServer]) -> None:
    async def scenario() -> None:
        backend = open_backend(cluster[0].url)
        # The slots of the two lie in different halves.
        with pytest.raises(UnknownBackend, match=r"redis\+cluster://"):
            await asyncio.gather(backend.get("a:1"), backend.get("b:1"), backend.get("foo"), backend.get("bar"))
        await backend.close()

    asyncio.run(scenario())


@pytest.fixture
def sentinel(tmp_path: Path) -> Iterator[tuple[RedisServer, RedisServer]]:
    """A server and the sentinel that watches it under the name "chat"."""
    with start_redis(tmp_path) as server:
        port = free_port()
        settings = tmp_path / "sentinel.conf"
        settings.write_text(
            f"port {port}\nbind 127.0.0.1\ndir {tmp_path}\nsentinel monitor chat 127.0.0.1 {server.port} 1\n"
            "sentinel down-after-milliseconds chat 60000\n"
        )
        with run_redis([redis_binary(), str(settings), "--sentinel"], port) as watcher:
            yield server, watcher


def test_sentinels_point_to_the_server(sentinel: tuple[RedisServer, RedisServer]) -> None:
    server, watcher = sentinel

    async def scenario() -> None:
        dead = free_port()
        backend = open_backend(f"redis+sentinel://127.0.0.1:{dead},127.0.0.1:{watcher.port}/chat/2")
        await backend.commit(Append("list", (b"1", b"2")), Put("a", b"1"))
        assert await backend.slice("list", 0) == [b"1", b"2"]
        assert await collect(backend, "") == [("a", b"1")]
        await backend.close()
        with redis.Redis(port=server.port, db=2) as client:
            assert client.llen("list") == 2
        unknown = open_backend(f"redis+sentinel://127.0.0.1:{watcher.port}/nobody")
        with pytest.raises(BackendUnavailable, match="nobody"):
            await unknown.get("a")
        await unknown.close()
        away = open_backend(f"redis+sentinel://127.0.0.1:{dead}/chat?deadline=0.5")
        with pytest.raises(BackendUnavailable, match="none of the reachable sentinels knows a server 'chat'") as caught:
            await away.get("a")
        assert " object at 0x" not in str(caught.value)
        await away.close()

    asyncio.run(scenario())
