"""Call functions that a swarm's author wrote: prompts, conditions, policies."""

from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any, TypeVar

from swarmchat.backends import BackendError
from swarmchat.swarm.errors import HookError, SwarmError

_T = TypeVar("_T")


async def call_hook(what: str, function: Callable[..., _T | Awaitable[_T]], *arguments: Any) -> _T:
    """Return what ``function``, async or not, returns. Raises HookError, naming ``what`` it is, when it fails."""
    try:
        made = function(*arguments)
        return await made if isawaitable(made) else made
    except (SwarmError, BackendError):
        raise
    except Exception as error:
        raise HookError(f"{what} failed: {type(error).__name__}: {error}") from error
