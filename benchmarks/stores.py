"""The backends that are measured: memory, disk, and a Redis server of the benchmark's own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from swarmchat.backends import Backend, open_backend

from tests.redis_server import start_redis


@asynccontextmanager
async def open_stores(folder: Path) -> AsyncIterator[dict[str, Backend]]:
    """Open each backend, empty. Redis writes its append-only file once a second, as servers mostly do."""
    redis_folder = folder / "redis"
    redis_folder.mkdir()
    with start_redis(redis_folder, "--appendonly", "yes", "--appendfsync", "everysec") as server:
        stores = {
            "memory": open_backend("memory:"),
            "disk": open_backend(f"disk:{folder / 'disk'}"),
            "redis": open_backend(server.url),
        }
        try:
            yield stores
        finally:
            for backend in stores.values():
                await backend.close()
