"""A TCP proxy in front of a Redis server that counts what passes: commands, round trips, bytes each way."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit, urlunsplit


@dataclass
class Traffic:
    """What passed since ``reset``. A round trip begins when a client sends after it was last answered."""

    commands: Counter[str] = field(default_factory=Counter)
    round_trips: int = 0
    sent: int = 0
    received: int = 0

    def reset(self) -> None:
        self.commands = Counter()
        self.round_trips = self.sent = self.received = 0

    def copy(self) -> "Traffic":
        return Traffic(Counter(self.commands), self.round_trips, self.sent, self.received)


@asynccontextmanager
async def counting_proxy(url: str) -> AsyncIterator[tuple[str, Traffic]]:
    """Listen in front of the server of ``url``; yields the URL to use in its place, and what passes."""
    parts, traffic, open_now = urlsplit(url), Traffic(), set[asyncio.Task[None]]()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        open_now.add(task)
        # Cancelled below; asyncio would report that as an error.
        with suppress(asyncio.CancelledError):
            await _pass_on(parts.hostname, parts.port, reader, writer, traffic)
        await _close(writer)
        open_now.discard(task)

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield urlunsplit(parts._replace(netloc=f"127.0.0.1:{port}")), traffic
    finally:
        server.close()
        for task in open_now:
            task.cancel()
        await asyncio.gather(*open_now, return_exceptions=True)


async def _pass_on(
    host: str | None, port: int | None, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, traffic: Traffic
) -> None:
    from_server, to_server = await asyncio.open_connection(host, port)
    commands = _Commands()
    answered = True

    async def ask() -> None:
        nonlocal answered
        while data := await reader.read(2**16):
            traffic.sent += len(data)
            traffic.commands.update(commands.add(data))
            traffic.round_trips += answered
            answered = False
            to_server.write(data)
            await to_server.drain()
        to_server.close()

    async def answer() -> None:
        nonlocal answered
        while data := await from_server.read(2**16):
            traffic.received += len(data)
            answered = True
            writer.write(data)
            await writer.drain()
        writer.close()

    try:
        with suppress(ConnectionError):
            await asyncio.gather(ask(), answer())
    finally:
        await _close(to_server)


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


class _Commands:
    """Takes what a client sends, piece by piece: arrays of byte strings, as clients write commands."""

    def __init__(self) -> None:
        self._waiting = b""

    def add(self, data: bytes) -> list[str]:
        """Return the names of the commands that ``data`` completes."""
        self._waiting += data
        names = []
        while command := self._next():
            names.append(command)
        return names

    def _next(self) -> str | None:
        head, end, _ = self._waiting.partition(b"\r\n")
        if not end:
            return None
        place, first = len(head) + 2, b""
        for index in range(int(head.removeprefix(b"*"))):
            line = self._waiting.find(b"\r\n", place)
            if line < 0:
                return None
            start, length = line + 2, int(self._waiting[place + 1 : line])
            place = start + length + 2
            if place > len(self._waiting):
                return None
            if not index:
                first = self._waiting[start : start + length]
        self._waiting = self._waiting[place:]
        return first.decode().upper()
