"""Finish a write even if the task that asked for it is cancelled."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

_T = TypeVar("_T")


async def run_to_completion(work: Coroutine[Any, Any, _T]) -> _T:
    """Run ``work`` to its end and return its result; a cancellation is raised only after that.

    For writes: a caller that is cancelled in the middle still knows whether the write took place. An error of
    ``work`` is raised instead of the cancellation.
    """
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            # Unlike an await of the task itself, this does not pass the cancellation on.
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    result = task.result()
    if cancelled is not None:
        raise cancelled
    return result
