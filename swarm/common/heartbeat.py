"""Repeat a call in the background, to renew leases and lifetimes before they expire."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from swarmchat.backends import BackendError


class Heartbeat:
    """Calls ``beat`` every ``interval`` seconds between ``start`` and ``stop``. A backend that fails is tried again."""

    def __init__(self, beat: Callable[[], Awaitable[object]], interval: float, name: str) -> None:
        self._beat = beat
        self._interval = interval
        self._name = name
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to beat; does nothing if it has begun."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=self._name)

    async def stop(self) -> None:
        """Return once no call is running and none will follow."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            with suppress(BackendError):
                await self._beat()
