"""A process that is stopped beyond its lease, or beyond the lifetime of its session, and then continued."""

import asyncio
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import warm
from chats import open_session, say
from swarmchat.backends import open_backend
from swarmchat.backends.testing.tools import gone, until
from swarmchat.swarm.models.scripted import ScriptedModel
from swarmchat.swarm.persistence import keys

SLEEPER = Path(__file__).parents[2] / "helpers" / "sleeper.py"
LOG = keys.session_log("ann", "s")


@pytest.fixture(params=["disk", "redis"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    found: str = f"disk:{tmp_path / 'store'}" if request.param == "disk" else request.getfixturevalue("redis_url")
    return found


@contextmanager
def asleep(url: str, lifetime: float) -> Iterator["warm.Piped | subprocess.Popen[str]"]:
    """A process that has asked its first question and is about to sleep, until its lease has run out at the least."""
    process = warm.start_python(SLEEPER, url, str(lifetime), stdin=subprocess.DEVNULL)
    try:
        assert process.stdout
        assert process.stdout.readline() == "one\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def wake(process: "warm.Piped | subprocess.Popen[str]") -> list[str]:
    process.send_signal(signal.SIGCONT)
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return printed.splitlines()


@pytest.mark.parametrize("goes_on", [True, False], ids=["another went on", "nobody came"])
def test_a_process_that_slept_beyond_its_lease(url: str, goes_on: bool) -> None:
    async def scenario() -> None:
        backend = open_backend(url)
        with asleep(url, 600) as process:
            await until(lambda: gone(backend, keys.session_lease("ann", "s")))
            if goes_on:
                async with await open_session(backend, ScriptedModel(["elsewhere"])) as other:
                    await say(other, "from elsewhere")
            printed = await asyncio.to_thread(wake, process)
        if goes_on:
            assert printed == ["SessionBusy", "SessionBusy", "first, from elsewhere"]
        else:
            assert printed == ["two", "three", "first, second, third"]
        await backend.close()

    asyncio.run(scenario())


def test_a_process_that_slept_beyond_the_lifetime_of_its_session(url: str) -> None:
    async def scenario() -> None:
        backend = open_backend(url)
        with asleep(url, 1.5) as process:
            await until(lambda: gone(backend, keys.session_index("ann", "s")))
            assert await backend.length(LOG) == 0
            printed = await asyncio.to_thread(wake, process)
        assert printed == ["two", "three", "first, second, third"]
        await backend.close()

    asyncio.run(scenario())
