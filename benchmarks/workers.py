"""Run variants in separate processes, so that no library is slowed by the imports or garbage of another.

``python -m benchmarks.workers MODULE:FUNCTION JSON`` runs such a process. FUNCTION is an async context manager that
takes the JSON's values as arguments and yields the function to run: it has no parameters and returns seconds, or any
other JSON value. Each line on standard input is a request, answered with one line of JSON.
"""

import asyncio
import importlib
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

_LIMIT = 2**26  # bytes of one answer
_QUIET = {
    "OPENAI_API_KEY": "none",
    "OPENAI_AGENTS_DISABLE_TRACING": "1",
    "LANGSMITH_TRACING": "false",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
}


class MissingPeerError(Exception):
    """A library to compare with is not installed."""


class Worker:
    """A process that runs one variant."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def run(self, times: int = 1) -> list[Any]:
        """Run it ``times`` times, one after the other; return what each run returned."""
        answer: list[Any] = await self._ask(f"run {times}")
        return answer

    async def memory(self) -> int:
        """Return the resident memory of the process, in bytes."""
        return int(await self._ask("memory"))

    async def __call__(self) -> list[float]:
        """Run it five times, as one round of ``interleave``."""
        return [float(seconds) for seconds in await self.run(5)]

    def kill(self) -> None:
        """End the process, whatever it is doing."""
        self._process.kill()

    async def _ask(self, request: str) -> Any:
        assert self._process.stdin
        self._process.stdin.write(f"{request}\n".encode())
        return await _answer(self._process)


@asynccontextmanager
async def worker(make: str, **settings: object) -> AsyncIterator[Worker]:
    """Start a process for the variant that ``make`` (``MODULE:FUNCTION``) gives with ``settings``, which must be JSON.

    Raises MissingPeerError where a library is not installed.
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-m", "benchmarks.workers", make, json.dumps(settings)]
    process = await asyncio.create_subprocess_exec(
        *command, stdin=PIPE, stdout=PIPE, env=environment | _QUIET, limit=_LIMIT
    )
    try:
        if missing := (await _answer(process)).get("missing"):
            raise MissingPeerError(missing)
        yield Worker(process)
    finally:
        assert process.stdin
        process.stdin.close()
        await process.wait()


def resident_memory() -> int:
    """Return the resident memory of this process, in bytes."""
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def _answer(process: Process) -> Any:
    assert process.stdout
    line = await process.stdout.readline()
    if not line:
        raise RuntimeError(f"a worker of the benchmark ended with {await process.wait()}; what it said stands above")
    return json.loads(line)


async def _serve(make: str, settings: dict[str, Any]) -> None:
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print is no answer
    module, _, name = make.partition(":")
    try:
        variant = getattr(importlib.import_module(module), name)(**settings)
        async with variant as once:
            print("{}", file=answers, flush=True)
            while line := await asyncio.to_thread(sys.stdin.readline):
                what, _, number = line.strip().partition(" ")
                answer = resident_memory() if what == "memory" else [await once() for _ in range(int(number))]
                print(json.dumps(answer), file=answers, flush=True)
    except ModuleNotFoundError as error:
        print(json.dumps({"missing": error.name}), file=answers, flush=True)


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1], json.loads(sys.argv[2])))
