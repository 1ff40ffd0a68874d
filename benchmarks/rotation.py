"""Cutting a conversation to a window: the cost by length and window, its part of a turn, and other libraries.

Aims: 5 ms for 10,000 counted messages, and a cost that depends only on the window.
"""

import asyncio
import gc
import random
import statistics
import time
from bisect import bisect
from collections.abc import AsyncIterator, Mapping, Sequence
from itertools import accumulate, count
from typing import Any

from swarmchat.backends import Backend, open_backend
from swarmchat.swarm import Budget, GroupBuilder, Groups, Rotated, ScriptedModel, Session, build_context, counter_for

from benchmarks.corpus import CLIENT, MODEL, conversation, store
from benchmarks.setup import Setup
from benchmarks.tables import Aim, Table, times_table
from benchmarks.timing import Variant, interleave
from benchmarks.workers import MissingPeerError, worker

TITLE = "Rotation"
WINDOW = 8_000
LENGTHS = (1_000, 10_000, 100_000)
_QUESTION = "And how long does it take the other way round?"
_OURS = "swarmchat"
_KNOWN = ", counted before"
LIBRARIES: Mapping[str, tuple[str, dict[str, bool]]] = {
    _OURS: ("ours", {}),
    _OURS + _KNOWN: ("ours", {"counted": True}),
    "LangChain": ("langchain", {}),
    "LangChain" + _KNOWN: ("langchain", {"counted": True}),
    "LangChain, approximate": ("langchain", {"approximate": True}),
    "AutoGen": ("autogen", {}),
    "AutoGen" + _KNOWN: ("autogen", {"counted": True}),
    "litellm": ("litellm", {}),
}
QUICK = 3
"""How many of these are enough where it has to be quick."""
_ABOUT_CUTS = """Chats of which 16 % of the messages are results of tools, and which end within a turn: a question,
some 80 messages of calls and results, no answer yet, which alone are too long. Counted before: what each message costs
is known. All count with tiktoken, by the same rules, but for litellm, with its own, and
LangChain's approximate counter. *Valid* is a request that OpenAI's API takes, *question* whether the last question is
in it. Swarmchat leaves 70 % when it cuts, so that it need not cut in every turn; the others fill the window."""
_ABOUT_RESULTS = """Of {number} random chats of 30 to 200 messages, half of them cut off within a turn, in 1,500, 3,000
or 8,000 tokens: what is wrong with that which is left. *Too long* is more than 5 % over."""


async def run(setup: Setup) -> AsyncIterator[Table]:
    """Measure cuts with every message counted before, turns with a cut, and the cuts of other libraries."""
    yield await _lengths(setup)
    yield await _turns(setup)
    yield await _libraries(setup)
    yield await _results(setup)


async def _lengths(setup: Setup) -> Table:
    groups = {length: _counted(length) for length in LENGTHS}
    variants = {_name(length, WINDOW): _cut(groups[length], WINDOW) for length in LENGTHS}
    variants |= {_name(length, 128_000): _cut(groups[length], 128_000) for length in LENGTHS[1:]}
    base = _name(LENGTHS[0], WINDOW)
    aims = {_name(length, WINDOW): 1.25 for length in LENGTHS[1:]}
    gc.freeze()  # else each round would look through all of these groups for garbage
    measured = await interleave(variants, setup.rounds(50))
    gc.unfreeze()
    table = times_table("One cut, every message counted before", measured, base, aims=aims)
    worst = measured[_name(10_000, 128_000)].p50 * 1000
    table.aims.append(Aim("Rotation of 10,000 counted messages", worst, 5, "ms"))
    return table


def _name(length: int, window: int) -> str:
    return f"{length:,} messages to {window // 1000}k"


def _counted(length: int) -> Groups:
    groups = GroupBuilder(records=conversation(length)).groups
    for group in groups:
        group.tokens(counter_for(MODEL))
    return groups


def _cut(groups: Groups, window: int) -> Variant:
    """Return what cuts ``groups`` a few times, as the first cut after another variant's pays for an empty cache."""
    counter, budget = counter_for(MODEL), Budget(window)

    async def once() -> list[float]:
        taken = []
        for _ in range(5):
            started = time.perf_counter()
            context = build_context(groups, counter=counter, budget=budget)
            taken.append(time.perf_counter() - started)
            assert context.rotation
            assert context.tokens <= window
        return taken

    return once


async def _turns(setup: Setup) -> Table:
    """Compare a turn with a cut, all that follows from it included, with one that sends as much and has none."""
    backend = open_backend("memory:")
    variants = {}
    for window in (WINDOW, 128_000):
        low, high = await _messages_in(backend, window)
        variants[f"{window // 1000}k, no cut"] = _turn(backend, window, low, cuts=False)
        variants[f"{window // 1000}k, a cut"] = _turn(backend, window, high, cuts=True)
    measured = await interleave(variants, setup.rounds(10))
    await backend.close()
    rows = []
    for window in (f"{WINDOW // 1000}k", "128k"):
        plain, cut = measured[f"{window}, no cut"], measured[f"{window}, a cut"]
        figures = (plain.best, cut.best, cut.best - plain.best)
        rows.append((window, *(f"{seconds * 1000:.2f}" for seconds in figures), f"{cut.ratio(plain):.2f}"))
    about = "Turns of a session in memory whose model answers at once, after as many messages as a cut leaves."
    return Table("A turn with a cut", ("window", "no cut, best ms", "a cut, best ms", "more by ms", "×"), rows, about)


async def _messages_in(backend: Backend, window: int) -> tuple[int, int]:
    """Return after how many messages a session of ``window`` is as full as after a cut, and full enough for one."""
    session = await _open(backend, window, 10)
    budget = session.conversation.budget
    room = budget.available - (await session.context()).fixed_tokens
    await session.close()
    sums = list(accumulate(record.data["tokens"]["count"] for record in conversation(window // 20)))
    # In whole turns.
    low, high = (bisect(sums, share * room) // 2 * 2 for share in (budget.low, budget.high))
    return low, high + 2


_numbers = count()


async def _open(backend: Backend, window: int, length: int) -> Session:
    name = f"rotation-{next(_numbers)}"
    await store(backend, name, length)
    model = ScriptedModel(["About as long."], name=MODEL, context_window=window)
    return await Session.open(backend, model, client=CLIENT, name=name)


def _turn(backend: Backend, window: int, length: int, *, cuts: bool) -> Variant:
    async def once() -> list[float]:
        taken = []
        for _ in range(3):
            session = await _open(backend, window, length)
            await session.context()
            started = time.perf_counter()
            events = [event async for event in session.run_turn(_QUESTION)]
            taken.append(time.perf_counter() - started)
            assert any(isinstance(event, Rotated) for event in events) is cuts
            await session.close()
        return taken

    return once


async def _libraries(setup: Setup) -> Table:
    lengths = (1_000,) if setup.quick else (100, *LENGTHS)
    limit = 1 if setup.quick else 10
    rows = []
    missing = set()
    for name, (function, settings) in setup.sizes([*LIBRARIES.items()], QUICK):
        for length in lengths:
            chats = [{"chat": {"length": length, "seed": 1, "loop": min(length // 2, 80)}, "window": WINDOW}]
            try:
                results = await _ask(function, settings, chats, limit, setup.rounds(15))
            except MissingPeerError as error:
                missing.add(str(error))
                break
            if results is None:
                rows.append((name, f"{length:,}", f"none in {limit} s", "", "", "", "", ""))
                break
            rows.append((name, f"{length:,}", *_row([result[0] for result in results])))
    head = ("", "messages", "p50 ms", "kept", "tokens", "valid", "system", "question")
    about = _ABOUT_CUTS + _left_out(missing)
    return Table(f"One cut to {WINDOW:,} tokens, beside other libraries", head, rows, about)


async def _ask(
    function: str, settings: Mapping[str, bool], chats: Sequence[Mapping[str, Any]], limit: float, times: int
) -> list[list[dict[str, Any]]] | None:
    """Return what a library makes of ``chats``, some ``times``; None where once takes more than ``limit`` seconds."""
    async with worker(f"benchmarks.trimmers:{function}", chats=chats, **settings) as running:
        try:
            async with asyncio.timeout(limit):
                results = await running.run()
        except TimeoutError:
            running.kill()
            return None
        started = time.perf_counter()
        while len(results) < times and time.perf_counter() - started < limit / 3:
            results += await running.run()
        return results


def _row(results: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    one = results[-1]
    p50 = statistics.median(result["seconds"] for result in results) * 1000
    checks = (not one["complaint"], one["system"], one["question"])
    return f"{p50:,.2f}", f"{one['kept']:,}", f"{one['tokens']:,}", *("yes" if held else "**no**" for held in checks)


async def _results(setup: Setup) -> Table:
    rng = random.Random(7)
    number = 12 if setup.quick else 60
    chats = []
    for seed in range(number):
        length = rng.randint(30, 200)
        loop = rng.randint(4, length // 2) if seed % 2 else 0
        chats.append({"chat": {"length": length, "seed": seed, "loop": loop}, "window": (1500, 3000, 8000)[seed % 3]})
    rows = []
    missing = set()
    for name, (function, settings) in setup.sizes([*LIBRARIES.items()], QUICK):
        if "counted" in settings:
            continue
        try:
            results = await _ask(function, settings, chats, 120, 1)
        except MissingPeerError as error:
            missing.add(str(error))
            continue
        assert results
        lost = [[one["complaint"], not one["system"], not one["question"], one["over"]] for one in results[0]]
        rows.append((name, *(str(sum(map(bool, column))) for column in zip(*lost, strict=True))))
    head = ("", "invalid", "system message lost", "question lost", "too long")
    return Table("What is left of a chat", head, rows, _ABOUT_RESULTS.format(number=number) + _left_out(missing))


def _left_out(missing: set[str]) -> str:
    return f" Not installed: {', '.join(sorted(missing))}." if missing else ""
