"""Time several variants in turns, so that other load on the machine affects all of them alike."""

import gc
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Measured:
    """What one variant took, in seconds: one list for each round, of one figure or of several."""

    rounds: list[list[float]]

    @property
    def times(self) -> list[float]:
        """All of them."""
        return [seconds for one in self.rounds for seconds in one]

    @property
    def best(self) -> float:
        """The shortest."""
        return min(self.times)

    @property
    def p50(self) -> float:
        """The median."""
        return statistics.median(self.times)

    @property
    def p95(self) -> float:
        """What nineteen of twenty stayed below."""
        return statistics.quantiles(self.times, n=20, method="inclusive")[-1] if len(self.times) > 1 else self.best

    def ratio(self, base: "Measured") -> float:
        """Return how many times longer this took than ``base`` did in the same round: the median over the rounds."""
        pairs = zip(self.rounds, base.rounds, strict=True)
        return statistics.median(statistics.median(mine) / statistics.median(other) for mine, other in pairs)


Variant = Callable[[], Awaitable[float | list[float]]]
"""Runs once, or a few times, and returns the seconds of the part that counts."""


async def interleave(variants: Mapping[str, Variant], rounds: int, *, warm: bool = True) -> dict[str, Measured]:
    """Run every variant once a round, each round in another order; with ``warm`` a first round is not counted."""
    taken: dict[str, list[list[float]]] = {name: [] for name in variants}
    names = list(variants)
    for number in range(0 if warm else 1, rounds + 1):
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            gc.collect()
            seconds = await variants[name]()
            if number:
                taken[name].append(seconds if isinstance(seconds, list) else [seconds])
    return {name: Measured(one) for name, one in taken.items()}


async def timed(work: Awaitable[object]) -> float:
    """Return how many seconds ``work`` takes."""
    started = time.perf_counter()
    await work
    return time.perf_counter() - started
