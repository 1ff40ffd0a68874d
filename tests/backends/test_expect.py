"""Expect between processes; the conformance suite has the rest."""

import asyncio
import subprocess
from pathlib import Path

import pytest
import warm
from swarmchat.backends import Conflict, open_backend

COUNTER = """
import asyncio, sys
from swarmchat.backends import Append, Conflict, Expect, Put, open_backend

async def main(url, times):
    backend = open_backend(url)
    # Both begin together.
    await backend.commit(Append("ready", (b"1",)))
    while await backend.length("ready") < 2:
        await asyncio.sleep(0.002)
    for _ in range(times):
        while True:
            number = await backend.get("number")
            try:
                added = b"%d" % (int(number or 0) + 1)
                await backend.commit(Append("log", (added,)), Put("number", added), Expect("number", number))
                break
            except Conflict:
                pass
    await backend.close()

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


@pytest.mark.parametrize("kind", ["disk", "redis"])
def test_two_processes_lose_no_update(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    url = f"disk:{tmp_path / 'store'}?timeout=60" if kind == "disk" else request.getfixturevalue("redis_url")
    processes = [warm.start_python("-c", COUNTER, url, "100", stdin=subprocess.DEVNULL) for _ in range(2)]
    for process in processes:
        _, problems = process.communicate(timeout=60)
        assert (process.returncode, problems) == (0, "")

    async def stored() -> tuple[bytes | None, list[bytes]]:
        backend = open_backend(url)
        values = await backend.get("number"), await backend.slice("log", 0)
        await backend.close()
        return values

    assert asyncio.run(stored()) == (b"200", [b"%d" % number for number in range(1, 201)])


def test_a_conflict_is_worth_trying_again() -> None:
    assert Conflict.exit_code == 75
