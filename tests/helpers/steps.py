"""The work of a function without a clock: its calls, and the characters that they are given; its CPU time."""

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import StringIO
from itertools import pairwise
from types import FrameType
from typing import Any

_CONSTANT = {"startswith", "endswith", "append", "write", "tell", "clear", "extend"}
"""Methods whose work does not depend on the length of their object."""


def steps(work: Callable[[], object]) -> int:
    """Run ``work``; return its calls plus the lengths of the texts that each of them gets, or is a method of."""
    count = 0

    def look(frame: FrameType, event: str, arg: Any) -> None:
        nonlocal count
        if event == "call":
            code = frame.f_code
            values = [frame.f_locals.get(name) for name in code.co_varnames[: code.co_argcount]]
            count += 1 + sum(len(value) for value in values if isinstance(value, str | bytes | bytearray))
        elif event == "c_call":
            count += 1
            owner = getattr(arg, "__self__", None)
            if arg.__name__ not in _CONSTANT:
                if isinstance(owner, str | bytes | bytearray):
                    count += len(owner)
                elif isinstance(owner, StringIO):
                    count += owner.tell()

    sys.setprofile(look)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def assert_linear(work: Callable[[int], object], size: int) -> None:
    """Fail unless ``work`` takes about twice as many steps for twice the ``size``, and again for four times."""
    work(1)
    counts = [steps(lambda size=each: work(size)) for each in (size, 2 * size, 4 * size)]  # type: ignore[misc]  # the default of a lambda
    assert all(more < 2.4 * less + 1000 for less, more in pairwise(counts)), counts


@contextmanager
def limited_to_cpu_seconds(seconds: float) -> Iterator[None]:
    """Raise AssertionError in a block that uses more CPU time, in the midst of a regular expression, too."""

    def stop(*_: object) -> None:
        raise AssertionError(f"it takes more than {seconds} s of CPU time")

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
