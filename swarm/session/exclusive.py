"""Operations of a session that wait for each other."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from swarmchat.swarm.common.cancellation import run_to_completion


class Locked(Protocol):
    """A session: it has a lock."""

    lock: asyncio.Lock


_S = TypeVar("_S", bound=Locked)
_P = ParamSpec("_P")
_T = TypeVar("_T")
_Operation = Callable[Concatenate[_S, _P], Coroutine[Any, Any, _T]]


def exclusive(operation: _Operation[_S, _P, _T]) -> _Operation[_S, _P, _T]:
    """Have ``operation`` wait for other operations, and run to its end even if its caller is cancelled."""

    @wraps(operation)
    async def run(session: _S, /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        async with session.lock:
            return await run_to_completion(operation(session, *args, **kwargs))

    return run
