"""Opening a session: awaited, with ``async with``, or with ``with`` from a program without an event loop."""

import asyncio
import threading
from collections.abc import Coroutine, Generator
from typing import Any, Generic, Protocol, TypeVar


class Opened(Protocol):
    """What is opened: a ``Session``."""

    background: "BackgroundLoop | None"

    async def close(self) -> None:
        """Close it."""
        ...


_T = TypeVar("_T")
_OpenedT = TypeVar("_OpenedT", bound=Opened)


class SessionOpening(Generic[_OpenedT]):
    """What ``Session.open`` returns: ``await`` it, or use it with ``async with`` or ``with``."""

    def __init__(self, opening: Coroutine[Any, Any, _OpenedT]) -> None:
        self._opening = opening
        self._session: _OpenedT | None = None

    def __await__(self) -> Generator[Any, Any, _OpenedT]:
        return self._opening.__await__()

    async def __aenter__(self) -> _OpenedT:
        self._session = await self._opening
        return self._session

    async def __aexit__(self, *error: object) -> None:
        if self._session is not None:
            await self._session.close()

    def __enter__(self) -> _OpenedT:
        loop = BackgroundLoop()
        try:
            self._session = loop.run(self._opening)
        except BaseException:
            loop.close()
            raise
        self._session.background = loop
        return self._session

    def __exit__(self, *error: object) -> None:
        if self._session is not None and (loop := self._session.background) is not None:
            try:
                loop.run(self._session.close())
            finally:
                loop.close()


class BackgroundLoop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="swarmchat", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run ``work`` in the loop and return its result; cancel it if the caller is interrupted."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        """Stop the loop and wait for the end of its thread."""
        self.run(self._loop.shutdown_asyncgens())
        self.run(self._loop.shutdown_default_executor())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
