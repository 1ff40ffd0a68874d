"""The parts of the benchmark, in the order in which they run and appear on the page."""

from collections.abc import AsyncIterator
from typing import Protocol

from benchmarks import (
    command_line,
    crowd,
    long_run,
    prefix,
    rendering,
    rotation,
    sessions,
    start,
    storage,
    traffic,
    turn_kinds,
    turns,
)
from benchmarks.setup import Setup
from benchmarks.tables import Table


class Part(Protocol):
    """A module that measures one thing."""

    TITLE: str

    def run(self, setup: Setup) -> AsyncIterator[Table]:
        """Measure, and yield each table as soon as it is complete."""


PARTS: dict[str, Part] = {
    "start": start,
    "command_line": command_line,
    "turns": turns,
    "turn_kinds": turn_kinds,
    "sessions": sessions,
    "crowd": crowd,
    "traffic": traffic,
    "rotation": rotation,
    "prefix": prefix,
    "storage": storage,
    "rendering": rendering,
    "long_run": long_run,
}
