"""Ask a yes-or-no question at the terminal."""

import asyncio
import sys


def can_confirm() -> bool:
    """Whether somebody at a terminal can answer a question."""
    return sys.stdin.isatty() and sys.stderr.isatty()


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
