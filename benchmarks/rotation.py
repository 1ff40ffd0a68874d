"""Cutting a long conversation to a window. Aim: 5 ms for 10,000 counted messages, and a cost by the window only."""

import time

from swarmchat.swarm.context import Budget, build_context
from swarmchat.swarm.groups import GroupBuilder
from swarmchat.swarm.tokens import counter_for

from benchmarks.corpus import MODEL, conversation
from benchmarks.timing import Variant, interleave, report

ROUNDS = 30


async def run() -> None:
    """Measure and print."""
    variants = {
        f"{length:,} messages to {window // 1000}k": _cut(length, window)
        for window in (8_000, 128_000)
        for length in (1_000, 10_000)
        if length * 20 > window
    }
    measured = await interleave(variants, ROUNDS)
    report("Rotation: one cut, every message counted before", measured, base="10,000 messages to 8k")


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
