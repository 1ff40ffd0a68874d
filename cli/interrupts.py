"""Signals as cancellations, so that whatever is interrupted can store what it has."""

import asyncio
import signal
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

EXIT_CODES = {"SIGINT": 130, "SIGTERM": 143, "SIGHUP": 129}


class Interrupted(Exception):
    """A signal ended the program. ``exit_code`` is the shell's custom: 128 and the signal's number."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.exit_code = EXIT_CODES[name]


@contextmanager
def cancelled_by(task: "asyncio.Task[Any]", *names: str) -> Iterator[list[str]]:
    """Cancel ``task`` when one of the signals ``names`` comes; yields the list of those that came.

    Two nested uses for one signal restore each other. Where an event loop takes no signals (Windows), Python's own
    KeyboardInterrupt remains.
    """
    loop = asyncio.get_running_loop()
    came: list[str] = []

    def on_signal(name: str) -> None:
        came.append(name)
        task.cancel()

    previous = {}
    for name in names:
        number = getattr(signal, name, None)
        if number is None:
            continue
        previous[number] = signal.getsignal(number)
        try:
            loop.add_signal_handler(number, on_signal, name)
        except (NotImplementedError, RuntimeError, ValueError):
            del previous[number]
    try:
        yield came
    finally:
        for number, handler in previous.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)


async def run_interruptible(work: Coroutine[Any, Any, Any], *names: str) -> list[str]:
    """Run ``work`` until it ends or one of the signals ``names`` cancels it; return the signals that came.

    Raises what ``work`` raises, but for the cancellation by a signal.
    """
    task = asyncio.ensure_future(work)
    with cancelled_by(task, *names) as came:
        try:
            await task
        except asyncio.CancelledError:
            if not came:
                raise
    return came
