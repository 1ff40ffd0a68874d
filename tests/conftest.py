"""What every test shares: a real Redis server of this worker's own, and a home that is not the user's."""

import gc
import os
from pathlib import Path

import pytest
import warm
from hypothesis import settings
from redis_server import RedisServer, shared_redis

# The first example of a process may load a vocabulary, and a test machine may be busy: neither is a finding.
# The same inputs in each run: a change fails by what it changed. Random ones are for runs that look for faults.
settings.register_profile("swarmchat", deadline=None, max_examples=25, derandomize=True)
settings.register_profile("random", deadline=None, max_examples=500)
settings.register_profile("long", deadline=None, max_examples=20_000)
settings.load_profile("swarmchat")

# Modules and tests live to the end: the garbage collector would look through all of them again and again.
gc.disable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the installs, which take longest: at the end, all but one process would wait for them."""
    items.sort(key=lambda item: item.path.name != "test_packaging.py")


def pytest_collection_finish() -> None:
    """Have the garbage collector look at what the tests themselves make."""
    gc.collect()
    gc.freeze()
    # An event loop makes and drops thousands of objects in a test.
    gc.set_threshold(20_000, 20, 20)
    gc.enable()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Two processes more than there are processors: tests at a terminal, of kills and of delays mostly wait."""
    return (os.cpu_count() or 1) + 2


def pytest_configure(config: pytest.Config) -> None:
    """Start the process that programs are forked from while workers collect the tests: one for all of them."""
    if config.getoption("numprocesses", None):
        warm.begin()


def pytest_unconfigure() -> None:
    """End the process that programs were forked from."""
    warm.end()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory):
    """A real redis-server with the append-only file on. Fails, never skips, when none can be had."""
    with shared_redis(tmp_path_factory.mktemp("redis"), os.environ.get("PYTEST_XDIST_WORKER", "")) as server:
        yield server


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """The URL of an empty database of the shared server."""
    return redis_server.flushed_url()


@pytest.fixture(params=["memory", "disk", "redis"])
def backend_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty store of each kind: sessions behave the same on all of them."""
    if request.param == "memory":
        return "memory:"
    if request.param == "disk":
        return f"disk:{tmp_path / 'store'}"
    url: str = request.getfixturevalue("redis_url")
    return url
