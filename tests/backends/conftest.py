"""What the Redis tests share: a proxy that fails as networks do, and certificates made on the spot."""

import asyncio
import contextlib
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest


@dataclass
class Proxy:
    """Stands before a server on the loopback interface. ``swallow`` names a command whose next reply gets lost."""

    target: int
    port: int = 0
    swallow: bytes | None = None
    swallowed: int = 0
    connections: int = 0
    _tasks: set["asyncio.Task[None]"] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        upstream_reader, upstream = await asyncio.open_connection("127.0.0.1", self.target)
        lost = False

        async def requests() -> None:
            nonlocal lost
            while data := await reader.read(65536):
                if self.swallow and self.swallow in data:
                    self.swallow, lost = None, True
                upstream.write(data)
            upstream.close()

        async def replies() -> None:
            while data := await upstream_reader.read(65536):
                if lost:
                    self.swallowed += 1
                    break
                writer.write(data)
            writer.close()
            upstream.close()

        pumps = [asyncio.ensure_future(requests()), asyncio.ensure_future(replies())]
        self._tasks.update(pumps)
        await asyncio.gather(*pumps, return_exceptions=True)
        for end in (writer, upstream):
            end.close()
            with contextlib.suppress(OSError):
                await end.wait_closed()

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def run_proxy(target: int, tls: ssl.SSLContext | None = None) -> AsyncIterator[Proxy]:
    proxy = Proxy(target)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0, ssl=tls)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        await proxy.stop()
        await asyncio.sleep(0)
        await server.wait_closed()


@pytest.fixture
def proxy():
    """A way to start a Proxy: ``async with proxy(port) as …``."""
    return run_proxy


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate for localhost and its key."""
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "cert.pem", folder / "key.pem"
    kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    command = ["openssl", "req", *kind, *name, "-keyout", key, "-out", certificate]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key
