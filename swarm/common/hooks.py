"""Call functions that a swarm's author wrote: prompts, conditions, policies."""

from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any, TypeVar

from swarmchat.backends import BackendError
from swarmchat.swarm.errors import HookError, SwarmError

_T = TypeVar("_T")


async def call_hook(label: str, function: Callable[..., _T | Awaitable[_T]], *arguments: Any) -> _T:
    """Call ``function``, async or not, and return its result. If it fails, raises HookError with ``label`` in it."""
    try:
        result = function(*arguments)
        return await result if isawaitable(result) else result
    except (SwarmError, BackendError):
        raise
    except (Exception, SystemExit) as error:
        raise HookError(f"{label} failed: {type(error).__name__}: {error}") from error
