"""The cost of one answer on the command line, as in a script: processor time and memory."""

import asyncio
import importlib.util
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from subprocess import PIPE

from benchmarks.server import instant_server
from benchmarks.setup import Setup
from benchmarks.start import PROGRAM, environment_in
from benchmarks.tables import Aim, Table, times_table
from benchmarks.timing import Measured, Variant, interleave

TITLE = "An answer on the command line"
_FLOOR = "python: import openai"
_QUESTION = "hi there"


async def run(setup: Setup) -> AsyncIterator[Table]:
    """Measure one answer of a server that answers at once, beside the import of the library that asks it."""
    environment = environment_in(setup.folder)
    with instant_server() as url:
        environment |= {"SWARMCHAT_BASE_URL": url, "SWARMCHAT_MODEL": "bench", "SWARMCHAT_API_KEY": "none"}
        commands = {
            _FLOOR: [sys.executable, "-c", "import openai"],
            "AsyncOpenAI.post": [sys.executable, "-c", _POST, url],
            **_swarmchat(),
            **_llm(environment, url),
        }
        sizes: dict[str, list[list[float]]] = {}
        variants = {name: _cost(command, environment, sizes, name) for name, command in commands.items()}
        measured = await interleave(variants, setup.rounds(10))
    about = (
        f'`swarmchat "{_QUESTION}"`, and a server that answers at once. `AsyncOpenAI.post` is a program that does '
        "nothing but send ready bytes and read the answer: what it takes more than the import is certificates that it "
        "does not need, the HTTP client, and the request. Ours collects no garbage while it starts and ends, which "
        "takes a quarter of the import; that pays for the HTTP client, Typer and 200 modules."
    )
    about += "" if "llm" in commands else " Not installed, and so left out: llm."
    plain = ("swarmchat, memory", "swarmchat, disk")
    table = times_table("Processor time", measured, _FLOOR, about=about, aims=dict.fromkeys(plain, 1.25))
    if "llm" in measured:
        table.aims.append(Aim(f"Processor time: {plain[1]}, × llm", measured[plain[1]].ratio(measured["llm"]), 1))
    yield table
    memory = {name: Measured(rounds[1:]) for name, rounds in sizes.items()}
    yield times_table("Memory at its largest", memory, _FLOOR, aims=dict.fromkeys(plain, 1.5), unit="MB")


def _swarmchat() -> dict[str, list[str]]:
    commands = {f"swarmchat, {name}": [*PROGRAM, "-b", name, _QUESTION] for name in ("memory", "disk")}
    return {**commands, "swarmchat, disk, a swarm with tools": [*commands["swarmchat, disk"], "-S", "helpdesk"]}


def _llm(environment: Mapping[str, str], url: str) -> dict[str, list[str]]:
    if not importlib.util.find_spec("llm"):
        return {}
    folder = Path(environment["LLM_USER_PATH"])
    folder.mkdir(exist_ok=True)
    entry = f"- model_id: bench\n  model_name: bench\n  api_base: {url}\n"
    (folder / "extra-openai-models.yaml").write_text(entry, "utf-8")
    return {"llm": [sys.executable, "-m", "llm", "-m", "bench", "--key", "none", _QUESTION]}


_POST = """
import asyncio, sys
from openai import AsyncOpenAI, AsyncStream
body = b'{"model":"bench","stream":true,"messages":[{"role":"user","content":"hi there"}]}'
async def main():
    async with AsyncOpenAI(base_url=sys.argv[1], api_key="none") as client:
        options = {"headers": {"Content-Type": "application/json"}}
        post = client.post(
            "/chat/completions", content=body, options=options,
            cast_to=object, stream=True, stream_cls=AsyncStream[object],
        )
        async for chunk in await post:
            pass
asyncio.run(main())
"""
_SPAWN = """
import os, sys
nowhere = os.open(os.devnull, os.O_RDWR)
streams = [(os.POSIX_SPAWN_DUP2, nowhere, stream) for stream in (0, 1)]
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=streams)
_, status, used = os.wait4(pid, 0)
assert status == 0
print(used.ru_utime + used.ru_stime, used.ru_maxrss)
"""
"""Runs a program and prints its processor time and memory. It is small: the system counts a parent's memory, too."""


def _cost(command: list[str], environment: dict[str, str], sizes: dict[str, list[list[float]]], name: str) -> Variant:
    """Return a variant that takes processor seconds; its megabytes go to ``sizes``."""
    spawn = [sys.executable, "-S", "-c", _SPAWN, *command]

    def once() -> float:
        printed = subprocess.run(spawn, env=environment, stdout=PIPE, text=True, check=True).stdout.split()
        # In kilobytes on Linux, in bytes on macOS.
        sizes.setdefault(name, []).append([int(printed[1]) / (1e6 if sys.platform == "darwin" else 1e3)])
        return float(printed[0])

    return lambda: asyncio.to_thread(once)
