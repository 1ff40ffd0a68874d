"""Call functions that a swarm's author wrote: prompts, conditions, policies."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from inspect import isawaitable
from typing import Any, TypeVar

from swarmchat.backends import BackendError
from swarmchat.swarm.errors import HookError, SwarmError

_T = TypeVar("_T")


@contextmanager
def without_exits() -> Iterator[None]:
    """Raise RuntimeError in place of what would end the program without a word: ``sys.exit`` and its kind.

    A cancellation passes if the current task is cancelled, and not if the function has raised it by itself.
    """
    try:
        yield
    except Exception:
        raise
    except BaseException as error:
        if isinstance(error, asyncio.CancelledError | GeneratorExit) and _is_ending(error):
            raise
        if isinstance(error, SystemExit):
            raise RuntimeError(f"it called sys.exit({error.code!r})") from error
        raise RuntimeError(f"it raised {error!r:.200}") from error


def _is_ending(error: BaseException) -> bool:
    """Whether ``error`` is how asyncio stops the current task, or how Python ends what nobody waits for any more."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return True
    return task is None or (isinstance(error, asyncio.CancelledError) and task.cancelling() > 0)


async def call_author_function(label: str, function: Callable[..., _T | Awaitable[_T]], *arguments: Any) -> _T:
    """Call ``function``, async or not, and return its result. If it fails, raises HookError with ``label`` in it."""
    try:
        with without_exits():
            result = function(*arguments)
            return await result if isawaitable(result) else result
    except (SwarmError, BackendError):
        raise
    except Exception as error:
        raise HookError(f"{label} failed: {type(error).__name__}: {error}") from error
