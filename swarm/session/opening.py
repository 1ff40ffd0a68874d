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
from swarmchat.swarm.common.mistakes import TEXT, Expected, check_value, instance_of, many, optional, shown
from swarmchat.swarm.conversation.hooks import Hooks
from swarmchat.swarm.conversation.settings import SessionSettings
from swarmchat.swarm.conversation.tracing import Tracing
from swarmchat.swarm.errors import DefinitionError
from swarmchat.swarm.models.base import Model
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

    def __init__(self, opening: Callable[[], Coroutine[Any, Any, _OpenedT]]) -> None:
        self._opening = opening
        self._session: _OpenedT | None = None

    def __await__(self) -> Generator[Any, Any, _OpenedT]:
        return self._opening().__await__()

    def __getattr__(self, name: str) -> Any:
        ways = "async with Session.open(…) as session, or session = await Session.open(…)"
        if name in ("ask_sync", "run_sync"):
            ways = "with Session.open(…) as session"
        raise AttributeError(f"the session is not open yet, so it has no {name!r}: write {ways}")

    async def __aenter__(self) -> _OpenedT:
        self._session = await self._opening()
        return self._session

    async def __aexit__(self, *error: object) -> None:
        if self._session is not None:
            await self._session.close()

    def __enter__(self) -> _OpenedT:
        loop = BackgroundLoop()
        try:
            self._session = loop.run(self._opening())
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

    @property
    def is_closed(self) -> bool:
        """Whether it has been stopped."""
        return self._loop.is_closed()

    def close(self) -> None:
        """Stop the loop and wait for the end of its thread."""
        self.run(self._loop.shutdown_asyncgens())
        self.run(self._loop.shutdown_default_executor())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def run_in(loop: BackgroundLoop | None, work: Coroutine[Any, Any, _T]) -> _T:
    """Run ``work`` in the ``loop`` of a session and return its result. Raises DefinitionError if it has none."""
    if not asyncio.iscoroutine(work):
        raise DefinitionError(f"run_sync: work is {shown(work)}, expected a call of an async method: session.undo()")
    if loop is None or loop.is_closed:
        work.close()
        if loop is not None:
            raise DefinitionError("the session is closed: open it again with Session.open(…)")
        raise DefinitionError("this needs a session that was opened with `with Session.open(…)`: use await here")
    return loop.run(work)


_ARGUMENTS = {
    "backend": Expected(
        "a URL such as disk:chats, or a backend from open_backend",
        lambda value: isinstance(value, str) or (hasattr(value, "commit") and not isinstance(value, type)),
    ),
    "model": Expected(
        "the name of a model, or a Model",
        lambda value: isinstance(value, str) or (hasattr(value, "stream") and not isinstance(value, type)),
    ),
    "client": TEXT,
    "name": optional(TEXT),
    "settings": optional(instance_of(SessionSettings, "SessionSettings(…)")),
    "models": optional(Expected("a function that returns the model for a name", callable)),
    "approver": optional(Expected("an async function of a tool and its call", callable)),
    "answerer": optional(Expected("an async function of a question", callable)),
    "tracing": optional(instance_of(Tracing, "Tracing()")),
    "hooks": many("Hooks objects", lambda value: isinstance(value, Hooks)),
}


def check_arguments(**arguments: object) -> None:
    """Raise DefinitionError for the first argument of ``Session.open`` that cannot be one."""
    for name, value in arguments.items():
        check_value("Session.open", name, value, _ARGUMENTS[name])


def make_model(name: str, swarm: Swarm, owned: list[Backend | Model]) -> Model:
    """Return the model ``name``, and add it to the ``owned`` objects, which are closed with the session."""
    from swarmchat.swarm.models.named import named_model

    model = named_model(name, swarm.demo)
    owned.append(model)
    return model


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
    return replace(info, swarm=swarm.name).resumed_with(None if settings is None else settings.resume_with)
