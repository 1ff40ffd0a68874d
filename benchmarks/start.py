"""From the command to its first words, against Python importing the libraries that a terminal program needs anyway."""

import asyncio
import os
import sys
import time
from pathlib import Path
from subprocess import DEVNULL

import pexpect
from swarmchat.backends import open_backend

from benchmarks.corpus import store
from benchmarks.timing import Variant, interleave, report

ROUNDS = 10
RECORDS = 100_000
_PROGRAM = [sys.executable, "-m", "swarmchat.cli"]


async def run(folder: Path) -> None:
    """Measure and print."""
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
    report("Start", await interleave(help_variants, ROUNDS), base=bare, budget=2)
    bare = "python: the same, prompt_toolkit"
    chat = [*_PROGRAM, "-m", "demo", "--data-dir", str(folder / "start"), "-s", "long"]
    prompt_variants = {
        bare: _process([sys.executable, "-c", "import typer, rich.console, prompt_toolkit"], environment),
        f"prompt after {RECORDS:,} records": _prompt(chat, environment),
    }
    report("First prompt, on disk", await interleave(prompt_variants, ROUNDS), base=bare, budget=1.5)


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
