"""Helpers of the conformance suite: run an async test, read all keys, and wait until a key has expired."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any

from swarmchat.backends.base import Backend
from swarmchat.backends.errors import BackendError

MakeBackend = Callable[[], Backend]

_Scenario = Callable[[Any, MakeBackend], Coroutine[Any, Any, None]]

SOON = 0.03
"""A lifetime that a test waits for."""
LONG = 600.0
"""A lifetime that no test outlives."""
BLOBS = (b"", b"\0", b"\r\n$-1\r\n", bytes(range(256)), "é🦦".encode(), b"\x80\x04\x95.", b"x" * 1_000_000)
"""Values that have to be returned unchanged."""

_PATIENCE = 20.0


def scenario(test: _Scenario) -> Callable[[Any, MakeBackend], None]:
    """Run an async test in an event loop of its own, and close the backends that it opened."""

    def run(self: Any, make_backend: MakeBackend) -> None:
        async def run_and_close() -> None:
            async with AsyncExitStack() as stack:

                def make() -> Backend:
                    backend = make_backend()
                    stack.push_async_callback(backend.close)
                    return backend

                await test(self, make)

        asyncio.run(run_and_close())

    # Not functools.wraps: pytest would look through it, and ask for a fixture called "make".
    run.__name__, run.__doc__ = test.__name__, inspect.getdoc(test)
    return run


async def scan(backend: Backend, prefix: str) -> list[tuple[str, bytes]]:
    """Return the keys and values that a scan yields."""
    return [pair async for pair in backend.scan(prefix)]


async def gone(backend: Backend, key: str, is_list: bool = False) -> bool:
    """Return whether there is no value ``key``, or no list."""
    return (await backend.length(key)) == 0 if is_list else (await backend.get(key)) is None


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait until ``condition`` returns True. Raises AssertionError when that takes far too long."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _PATIENCE
    while not await condition():
        assert loop.time() < deadline, "a lifetime did not end"
        await asyncio.sleep(0.002)


async def refused(call: Awaitable[object], kind: type[BackendError]) -> str:
    """Return the message of the error of ``kind`` that ``call`` raises. Raises AssertionError when it succeeds."""
    try:
        await call
    except kind as error:
        return str(error)
    raise AssertionError(f"{kind.__name__} was not raised")
