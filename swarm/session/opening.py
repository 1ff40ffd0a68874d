"""Opening a session: awaited, with ``async with``, or with ``with`` from a program without an event loop."""

import asyncio
import random
import threading
from collections.abc import Callable, Coroutine, Generator
from dataclasses import replace
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar

from swarmchat.backends import Backend
from swarmchat.swarm.agents.agent import Swarm
from swarmchat.swarm.conversation.settings import SessionSettings
from swarmchat.swarm.persistence.records import timestamp
from swarmchat.swarm.persistence.session_index import SessionInfo, find_session, free_name


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


async def find_or_make(
    backend: Backend,
    client: str,
    name: str | None,
    swarm: Swarm,
    settings: SessionSettings | None,
    clock: Callable[[], datetime],
    rng: random.Random | None,
) -> SessionInfo:
    """Return the entry of the session ``name``, or a new one."""
    info = await find_session(backend, client, name) if name is not None else None
    if info is None:
        now = timestamp(clock())
        new_name = name if name is not None else await free_name(backend, client, rng or random.SystemRandom())
        info = SessionInfo(new_name, new_name, client, created=now, updated=now)
    stored = info.resume_with if settings is None or settings.resume_with is None else settings.resume_with
    return replace(info, swarm=swarm.name, resume_with=stored)
