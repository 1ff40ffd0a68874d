"""Handle signals in the event loop, so that interrupted work can be saved."""

import asyncio
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

_Result = TypeVar("_Result")

EXIT_CODES = {"SIGINT": 130, "SIGTERM": 143, "SIGHUP": 129}


class Interrupted(Exception):
    """A signal ended the program. ``exit_code`` is 128 plus the signal's number, as in shells."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.exit_code = EXIT_CODES[name]


@contextmanager
def on_signals(react: Callable[[str], None], *names: str) -> Iterator[None]:
    """Call ``react`` with the name of each signal of ``names`` that arrives. Cannot be nested for the same signal.

    If the event loop does not support signals (Windows), Python still raises KeyboardInterrupt.
    """
    loop = asyncio.get_running_loop()
    previous = {}
    for name in names:
        number = getattr(signal, name, None)
        if number is None:
            continue
        handler = signal.getsignal(number)
        try:
            loop.add_signal_handler(number, react, name)
        except (NotImplementedError, RuntimeError, ValueError):
            continue
        previous[number] = handler
    try:
        yield
    finally:
        for number, handler in previous.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)


def ignore_interrupts() -> None:
    """Ignore Ctrl-C from now on, while the program exits."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


async def run_until_signal(work: Coroutine[Any, Any, _Result], *names: str) -> _Result:
    """Run ``work`` and return its result; a signal of ``names`` cancels it and raises Interrupted."""
    task = asyncio.ensure_future(work)
    received: list[str] = []

    def cancel(name: str) -> None:
        received.append(name)
        task.cancel()

    with on_signals(cancel, *names):
        try:
            result = await task
        except asyncio.CancelledError:
            if not received:
                raise
    if received:
        raise Interrupted(received[0])
    return result
