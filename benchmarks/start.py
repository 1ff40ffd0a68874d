"""The time from the command to its first output, compared with importing the libraries that it needs anyway."""

import asyncio
import importlib.util
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from subprocess import DEVNULL
from typing import Any

import pexpect
from swarmchat.backends import open_backend

from benchmarks.corpus import CLIENT, store
from benchmarks.server import ANSWER, instant_server
from benchmarks.sessions import fill
from benchmarks.setup import Setup
from benchmarks.stores import store_urls
from benchmarks.tables import Table, times_table
from benchmarks.timing import Variant, interleave

TITLE = "Start"
_PAUSE = 2.0
PROGRAM = [sys.executable, "-m", "swarmchat.cli"]
_LIBRARIES = "import typer, rich.console"
_PROMPT = f"{_LIBRARIES}, prompt_toolkit"
_BARE_PROMPT = "{}\nprint('you ❯')\ninput()"
"""A program that imports libraries and shows a prompt."""
_ABOUT_PROMPTS = """Processor time until the prompt can be typed at, on a pseudo-terminal: nothing waits meanwhile.
`python` is a program that imports what the prompt needs, prints one, and waits; it opens nothing. What ours takes more
is, by profile: two fifths for the making of 56 dataclasses, a third for the rest of 160 modules of our own, SQLite and
diskcache, and a quarter for the session that is opened, its lease, its list, and the prompt that is drawn. A swarm with
tools has ten modules more, and 34 rules of the demo model, whose patterns are compiled and checked."""
_ABOUT_REDIS = """The same with redis-py. It imports OpenTelemetry where that is installed, as it is here because other
libraries of this benchmark need it: some 20 ms of both rows."""


async def run(setup: Setup) -> AsyncIterator[Table]:
    """Measure what asks for nothing, the way to the first prompt, and that to the first answer."""
    environment = environment_in(setup.folder)
    yield await _help(setup, environment)
    async for table in _prompts(setup, environment):
        yield table
    if not setup.quick:
        yield await _answers(setup, environment)


def environment_in(folder: Path) -> dict[str, str]:
    """Return an environment with its home in ``folder``, and nothing of the user's settings."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("SWARMCHAT_", "OPENAI_"))}
    environment |= {"HOME": str(folder), "LLM_USER_PATH": str(folder / "llm"), "SWARMCHAT_CLIENT": CLIENT}
    environment |= {"TERM": "xterm", "NO_COLOR": "1", "PROMPT_TOOLKIT_NO_CPR": "1", "SWARMCHAT_DISCOVER": "false"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    return environment


async def _help(setup: Setup, environment: dict[str, str]) -> Table:
    bare = f"python: {_LIBRARIES}"
    commands = {f"swarmchat {words}": [*PROGRAM, *words.split()] for words in ("--version", "--help", "chat --help")}
    about = ""
    if importlib.util.find_spec("llm"):
        commands |= {
            f"llm {word}": [sys.executable, "-m", "llm", word] for word in setup.sizes(["--version", "--help"], 1)
        }
    else:
        about = "Not installed, and so left out: llm."
    variants = {bare: _process([sys.executable, "-c", _LIBRARIES], environment)}
    variants |= {name: _process(command, environment) for name, command in commands.items()}
    measured = await interleave(variants, setup.rounds(10), warm=not setup.quick)
    aims = {"swarmchat --version": 1.5, "swarmchat --help": 2, "swarmchat chat --help": 2}
    return times_table("Asking for nothing", measured, bare, about=about, aims=aims)


async def _prompts(setup: Setup, environment: dict[str, str]) -> AsyncIterator[Table]:
    """Yield the way to the first prompt, on disk and on Redis, beside programs that import what that takes."""
    length = 10_000 if setup.quick else 100_000
    with store_urls(setup.folder) as urls:
        for name, libraries in (("disk", _PROMPT), ("redis", f"{_PROMPT}, redis.asyncio")):
            chat = [*PROGRAM, "-m", "demo", "-b", urls[name]]
            backend = open_backend(urls[name])
            await store(backend, "long", length)
            await backend.close()
            bare = f"python: {libraries}"
            variants = {bare: _prompt([sys.executable, "-c", _BARE_PROMPT.format(libraries)], environment)}
            for records, session in setup.sizes([(length, "long"), (0, "short")], 1):
                variants[f"swarmchat, on {name}, {records:,} records"] = _prompt([*chat, "-s", session], environment)
            if name == "disk":
                helpdesk = [*chat, "-s", "helpdesk", "-S", "helpdesk"]
                variants["swarmchat, on disk, a swarm with tools"] = _prompt(helpdesk, environment)
                if not setup.quick:
                    variants["swarmchat, on disk, 3 MCP servers"] = await _with_servers(setup, environment)
                    variants["swarmchat, on disk, 10,000 sessions"] = await _with_sessions(setup, environment)
            measured = await interleave(variants, setup.rounds(15), warm=not setup.quick)
            title, about = f"First prompt on {name}", _ABOUT_PROMPTS if name == "disk" else _ABOUT_REDIS
            aims = dict.fromkeys(list(variants)[1:], 1.5)
            yield times_table(title, measured, bare, about=about, aims=aims)


async def _with_servers(setup: Setup, environment: dict[str, str]) -> Variant:
    """Return the first prompt with MCP servers in the user's settings, which start once it is there."""
    folder = setup.folder / "servers"
    settings = folder / ".config" / "swarmchat" / "config.toml"
    settings.parent.mkdir(parents=True)
    server = Path(__file__).parent.parent / "tests" / "helpers" / "mcp_server.py"
    started = f"command = {json.dumps(sys.executable)}\nargs = {json.dumps([str(server)])}\n"
    settings.write_text("".join(f"[mcp.server{number}]\n{started}" for number in range(3)), "utf-8")
    chat = [*PROGRAM, "-m", "demo", "-b", f"disk:{folder / 'disk'}"]
    return _prompt(chat, environment | {"HOME": str(folder)})


async def _with_sessions(setup: Setup, environment: dict[str, str]) -> Variant:
    """Return the first prompt of a new session beside 10,000 others of the client."""
    url = f"disk:{setup.folder / 'sessions'}"
    backend = open_backend(url)
    await fill(backend, 10_000)
    await backend.close()
    return _prompt([*PROGRAM, "-m", "demo", "-b", url], environment)


async def _answers(setup: Setup, environment: dict[str, str]) -> Table:
    with instant_server() as url:
        connected = environment | {"SWARMCHAT_BASE_URL": url, "SWARMCHAT_MODEL": "bench", "SWARMCHAT_API_KEY": "none"}
        chat = [*PROGRAM, "-b", "memory"]
        bare = "python: import openai"
        variants = {
            bare: _process([sys.executable, "-c", "import openai"], environment),
            "typed at once": _answer(chat, connected, 0),
            f"typed {_PAUSE:g} s after the prompt": _answer(chat, connected, _PAUSE),
        }
        measured = await interleave(variants, setup.rounds(10))
    about = (
        "From Enter to the first word, with a server that answers at once. What a request needs is imported from the "
        "moment on when the prompt is there: first openai and its connection, then what draws an answer."
    )
    return times_table("First answer", measured, bare, about=about, aims={"typed at once": 1.25})


def _process(command: list[str], environment: dict[str, str]) -> Variant:
    async def once() -> float:
        started = time.perf_counter()
        process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=DEVNULL)
        assert await process.wait() == 0
        return time.perf_counter() - started

    return once


def _prompt(command: list[str], environment: dict[str, str]) -> Variant:
    """Return what takes the processor seconds of a process until its prompt is there."""

    async def once() -> float:
        child = _chat(command, environment)
        seconds = _processor_seconds(child.pid)
        _leave(child)
        return seconds

    return once


def _processor_seconds(process: int) -> float:
    """Return what all threads of a process have taken so far, as the scheduler counts it, in nanoseconds."""
    threads = Path(f"/proc/{process}/task").glob("*/schedstat")
    return sum(int(thread.read_text("ascii").split()[0]) for thread in threads) / 1e9


def _answer(command: list[str], environment: dict[str, str], pause: float) -> Variant:
    async def once() -> float:
        child = _chat(command, environment)
        await asyncio.sleep(pause)
        started = time.perf_counter()
        child.send("hello\r")
        child.expect_exact(ANSWER.split()[0])
        seconds = time.perf_counter() - started
        child.expect_exact("you ❯")
        _leave(child)
        return seconds

    return once


def _chat(command: list[str], environment: dict[str, str]) -> Any:
    child = pexpect.spawn(command[0], command[1:], env=environment, encoding="utf-8", dimensions=(40, 120))
    child.delaybeforesend = None
    child.expect_exact("you ❯")
    return child


def _leave(child: Any) -> None:
    child.sendeof()
    child.expect(pexpect.EOF)
    child.close()
