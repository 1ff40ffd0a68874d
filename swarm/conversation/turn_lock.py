"""The lock of a session: one turn or other operation at a time, and never one inside another."""

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from swarmchat.swarm.common.cancellation import run_to_completion
from swarmchat.swarm.errors import DefinitionError

_turns: ContextVar[frozenset["TurnLock"]] = ContextVar("turns", default=frozenset())
"""The locks of the turns that the current code is a part of."""


class TurnLock:
    """Held by a turn, or by another operation of a session."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._holder: asyncio.Task[object] | None = None
        self.is_closed = False
        """Whether the session is closed, so that nothing can hold the lock."""

    def enter_tool(self) -> None:
        """Note that the current task, and what it starts, is a tool of the turn that holds the lock."""
        _turns.set(_turns.get() | {self})

    async def __aenter__(self) -> None:
        """Wait for the lock. Raises DefinitionError for a wait that would never end, and if the session is closed."""
        if self.is_closed:
            raise DefinitionError("the session is closed: open it again with Session.open(…)")
        if self._lock.locked() and (asyncio.current_task() is self._holder or self in _turns.get()):
            raise DefinitionError(
                "this was called during a turn of the same session, which would wait for itself: call it after the "
                "turn; a tool asks a model with ctx.ask"
            )
        await self._lock.acquire()
        self._holder = asyncio.current_task()

    async def __aexit__(self, *error: object) -> None:
        self._holder = None
        self._lock.release()


class Locked(Protocol):
    """What has a lock of its own."""

    lock: TurnLock


_P = ParamSpec("_P")
_T = TypeVar("_T")
_LockedT = TypeVar("_LockedT", bound=Locked)
_Operation = Callable[Concatenate[_LockedT, _P], Coroutine[Any, Any, _T]]


def exclusive(operation: _Operation[_LockedT, _P, _T]) -> _Operation[_LockedT, _P, _T]:
    """Have ``operation`` wait for other operations, and run to its end even if its caller is cancelled."""

    @wraps(operation)
    async def run(owner: _LockedT, /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        async with owner.lock:
            return await run_to_completion(operation(owner, *args, **kwargs))

    return run
