"""Time variants of one thing in turns, so that what the machine does meanwhile hits all of them alike."""

import gc
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Measured:
    """What one variant took, in seconds."""

    times: list[float]

    @property
    def best(self) -> float:
        """The shortest."""
        return min(self.times)

    @property
    def p50(self) -> float:
        """The median."""
        return statistics.median(self.times)

    @property
    def p90(self) -> float:
        """What nine runs of ten stayed below."""
        return statistics.quantiles(self.times, n=10)[-1]


Variant = Callable[[], Awaitable[float]]
"""Runs once and returns the seconds of the part that counts."""


async def interleave(variants: Mapping[str, Variant], rounds: int) -> dict[str, Measured]:
    """Run every variant once a round, each round in another order; a first round is not counted."""
    times: dict[str, list[float]] = {name: [] for name in variants}
    names = list(variants)
    for number in range(rounds + 1):
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            gc.collect()
            seconds = await variants[name]()
            if number:
                times[name].append(seconds)
    return {name: Measured(taken) for name, taken in times.items()}


async def timed(work: Awaitable[object]) -> float:
    """Return how many seconds ``work`` takes."""
    started = time.perf_counter()
    await work
    return time.perf_counter() - started


def report(title: str, measured: Mapping[str, Measured], base: str, budget: float | None = None) -> None:
    """Print a table of ``measured`` with the ratios to ``base``; ``budget`` is the ratio of medians that is aimed at.

    The ratio of the best runs tells what remains of it on a machine that does nothing else.
    """
    aim = f", aim {budget:g}" if budget else ""
    print(f"\n{title}\n{'':36}{'best ms':>9}{'p50 ms':>9}{'p90 ms':>9}{'best':>8}{'p50':>7}  (ratio to {base}{aim})")
    for name, one in measured.items():
        ratio, best_ratio = one.p50 / measured[base].p50, one.best / measured[base].best
        missed = "  missed" if budget and name != base and ratio > budget else ""
        times = f"{one.best * 1000:9.2f}{one.p50 * 1000:9.2f}{one.p90 * 1000:9.2f}"
        print(f"  {name:34}{times}{best_ratio:8.2f}{ratio:7.2f}{missed}", flush=True)
