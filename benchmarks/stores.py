"""The backends to measure: memory, disk, and the benchmark's own Redis server."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from swarmchat.backends import Backend, open_backend

from tests.helpers.redis_server import start_redis


@contextmanager
def store_urls(folder: Path) -> Iterator[dict[str, str]]:
    """Run a Redis server that writes its append-only file once a second, as most do; yields each backend's URL."""
    redis_folder = folder / "redis"
    redis_folder.mkdir()
    with start_redis(redis_folder, "--appendonly", "yes", "--appendfsync", "everysec") as server:
        yield {"memory": "memory:", "disk": f"disk:{folder / 'disk'}", "redis": server.url}


@asynccontextmanager
async def open_stores(folder: Path) -> AsyncIterator[dict[str, Backend]]:
    """Open each backend of ``store_urls``, empty."""
    with store_urls(folder) as urls:
        stores = {name: open_backend(url) for name, url in urls.items()}
        try:
            yield stores
        finally:
            for backend in stores.values():
                await backend.close()
