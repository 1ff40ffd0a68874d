"""From the command to its first words, against Python importing the libraries that a terminal program needs anyway."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from subprocess import DEVNULL

import pexpect
from swarmchat.backends import open_backend

from benchmarks.corpus import store
from benchmarks.setup import Setup
from benchmarks.tables import Table, times_table
from benchmarks.timing import Variant, interleave

TITLE = "Start"
RECORDS = 100_000
_PROGRAM = [sys.executable, "-m", "swarmchat.cli"]


async def run(setup: Setup) -> AsyncIterator[Table]:
    """Measure what asks for nothing, and the way to the first prompt."""
    folder = setup.folder
    environment = {**os.environ, "HOME": str(folder), "SWARMCHAT_CLIENT": "bench", "TERM": "xterm"}
    environment |= {"NO_COLOR": "1", "PROMPT_TOOLKIT_NO_CPR": "1", "SWARMCHAT_DISCOVER": "false"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    backend = open_backend(f"disk:{folder / 'start' / 'sessions'}")
    await store(backend, "long", RECORDS)
    await backend.close()
    bare = "python: import typer, rich.console"
    help_variants = {
        bare: _process([sys.executable, "-c", "import typer, rich.console"], environment),
        "swarmchat --version": _process([*_PROGRAM, "--version"], environment),
        "swarmchat --help": _process([*_PROGRAM, "--help"], environment),
    }
    measured = await interleave(help_variants, setup.rounds(10))
    yield times_table("Asking for nothing", measured, bare, aims={"swarmchat --version": 1.5, "swarmchat --help": 2})
    bare = "python: the same, prompt_toolkit"
    chat = [*_PROGRAM, "-m", "demo", "--data-dir", str(folder / "start"), "-s", "long"]
    prompt_variants = {
        bare: _process([sys.executable, "-c", "import typer, rich.console, prompt_toolkit"], environment),
        f"prompt after {RECORDS:,} records": _prompt(chat, environment),
    }
    measured = await interleave(prompt_variants, setup.rounds(10))
    yield times_table("First prompt, on disk", measured, bare, aims={f"prompt after {RECORDS:,} records": 1.5})


def _process(command: list[str], environment: dict[str, str]) -> Variant:
    async def once() -> float:
        started = time.perf_counter()
        process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=DEVNULL)
        assert await process.wait() == 0
        return time.perf_counter() - started

    return once


def _prompt(command: list[str], environment: dict[str, str]) -> Variant:
    async def once() -> float:
        started = time.perf_counter()
        child = pexpect.spawn(command[0], command[1:], env=environment, encoding="utf-8", dimensions=(40, 120))
        child.expect("you ❯")
        seconds = time.perf_counter() - started
        child.sendeof()
        child.expect(pexpect.EOF)
        child.close()
        return seconds

    return once
