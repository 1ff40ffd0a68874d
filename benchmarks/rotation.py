"""Cutting a long conversation to a window. Aim: 5 ms for 10,000 counted messages, and a cost by the window only."""

import time
from collections.abc import AsyncIterator

from swarmchat.swarm.context import Budget, build_context
from swarmchat.swarm.groups import GroupBuilder
from swarmchat.swarm.tokens import counter_for

from benchmarks.corpus import MODEL, conversation
from benchmarks.setup import Setup
from benchmarks.tables import Aim, Table, times_table
from benchmarks.timing import Variant, interleave

TITLE = "Rotation"


async def run(setup: Setup) -> AsyncIterator[Table]:
    """Measure a cut with every message counted before."""
    variants = {
        f"{length:,} messages to {window // 1000}k": _cut(length, window)
        for window in (8_000, 128_000)
        for length in (1_000, 10_000)
        if length * 20 > window
    }
    measured = await interleave(variants, setup.rounds(30))
    table = times_table("One cut, every message counted before", measured, base="10,000 messages to 8k")
    worst = measured["10,000 messages to 128k"].p50 * 1000
    table.aims.append(Aim("Rotation of 10,000 counted messages", worst, 5, "ms"))
    yield table


def _cut(length: int, window: int) -> Variant:
    """Return what cuts a conversation of ``length`` messages; the groups and their counts are there, as in a chat."""
    counter = counter_for(MODEL)
    budget = Budget(window)
    groups = GroupBuilder(records=conversation(length)).groups
    for group in groups:
        group.tokens(counter)

    async def once() -> float:
        started = time.perf_counter()
        context = build_context(groups, counter=counter, budget=budget)
        seconds = time.perf_counter() - started
        assert context.rotation
        assert context.tokens <= window
        return seconds

    return once
