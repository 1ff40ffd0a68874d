"""Ask a yes-or-no question at the terminal."""

import asyncio
import sys

import typer
from swarmchat.cli.errors import UsageError


def can_confirm() -> bool:
    """Whether somebody at a terminal can answer a question."""
    return sys.stdin.isatty() and sys.stderr.isatty()


async def must_confirm(question: str, yes: bool) -> None:
    """Ask ``question`` unless ``yes`` is set; exit if the answer is no. Raises UsageError without a terminal."""
    if yes:
        return
    if not can_confirm():
        raise UsageError("cannot ask for confirmation without a terminal: pass --yes")
    if not await confirm(question):
        raise typer.Exit(1)


async def confirm(question: str) -> bool:
    """Ask ``question`` on standard error; return whether the answer is yes."""
    print(f"{question} [y/N], then Enter: ", end="", file=sys.stderr, flush=True)
    return (await _read_line()).strip().lower() in ("y", "yes")


async def _read_line() -> str:
    """Return a line from the terminal. Unlike ``input``, it can be cancelled, by Ctrl-C for example."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    try:
        loop.add_reader(sys.stdin.fileno(), ready.set)
    except NotImplementedError:
        # On Windows, Ctrl-C interrupts a read.
        return sys.stdin.readline()
    try:
        await ready.wait()
    finally:
        loop.remove_reader(sys.stdin.fileno())
    return sys.stdin.readline()
