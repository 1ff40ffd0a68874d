"""What is sent to the model: derived from the log for each request, never stored.

The rules, in the order in which they bind:

1. System messages come first and are never left out. A summary of what was compacted comes behind them, then what is
   pinned, in its place. These two give way where they would take more than half of the room, or the room of what must
   be sent.
2. Whole groups (see ``groups``) are kept or left out.
3. What goes: whole turns, oldest first; then the oldest groups inside the live turn; then the middle of oversized
   tool results. The live user message and the newest group stay. If those do not fit, ``OverBudget``.
4. The context may grow to the high mark and is then cut to the low mark, so that between two cuts each request
   begins with the whole of the one before it and the provider's prompt cache is hit.
5. The same log and settings give the same context, byte for byte.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from swarmchat.swarm.errors import OverBudget
from swarmchat.swarm.groups import Group, leading_system, turn_start
from swarmchat.swarm.protected import within
from swarmchat.swarm.records import encode_json
from swarmchat.swarm.shorten import shorten_results
from swarmchat.swarm.tokens import TokenCounter


@dataclass(frozen=True, slots=True)
class Budget:
    """How many tokens a context may have.

    Raises ValueError for a window or mark that makes no sense.
    """

    window: int
    """What the request and its answer may have together."""
    reserve: int = 0
    """What is kept free for the answer."""
    high: float = 0.9
    """Share of the room for conversation that may fill up before it is cut."""
    low: float = 0.7
    """Share of that room that a cut leaves."""
    correction: float = 1.0
    """How many tokens the server counts for one of ours."""

    def __post_init__(self) -> None:
        if not self.window > 0 or not 0 <= self.reserve < self.window:
            raise ValueError(f"a context window of {self.window} tokens with {self.reserve} kept for the answer")
        if not 0 < self.low <= self.high <= 1 or not self.correction > 0:
            raise ValueError(
                f"marks {self.low} and {self.high}, correction {self.correction}: expected 0 < low <= high <= 1"
            )

    @property
    def available(self) -> int:
        """Tokens for everything that is sent, as we count them."""
        return int((self.window - self.reserve) / self.correction)


@dataclass(frozen=True, slots=True)
class Rotation:
    """A cut: from here on, groups before ``first_kept`` (a seq) are left out. Counts are of conversation only."""

    first_kept: int
    tokens_before: int
    tokens_after: int
    dropped: tuple[int, ...]
    """The seqs of the groups that this cut leaves out."""


@dataclass(frozen=True, slots=True)
class RequestContext:
    """The messages of one request, as JSON, and how they came about."""

    messages: tuple[bytes, ...]
    tokens: int
    """What the request costs as we count: messages, tools and the start of the reply."""
    fixed_tokens: int
    """The part of it that is not conversation."""
    available: int
    system: int
    """How many of the messages are the agent's own system messages."""
    tools: tuple[Mapping[str, Any], ...]
    """The definitions of the tools that are offered with them."""
    kept: tuple[Group, ...]
    shortened: bool
    """Whether tool results were cut to make the newest group fit."""
    rotation: Rotation | None
    """Set when this context leaves out more than the one before it."""
    leading: int = 0
    """How many of the groups are system messages of the log's, before any conversation."""
    summary: int = 0
    """How many groups behind those stand for what was compacted."""
    pinned: frozenset[int] = frozenset()
    """The seqs of the groups that are sent because they are pinned."""
    crowded_out: tuple[int, ...] = ()
    """The seqs of the groups that are pinned, or sum up, and for which there is no room."""

    @property
    def conversation(self) -> tuple[Group, ...]:
        """The groups that can be left out one day."""
        rest = self.kept[self.leading + self.summary :]
        return tuple(group for group in rest if group.seq not in self.pinned)


def build_context(
    groups: Sequence[Group],
    *,
    counter: TokenCounter,
    budget: Budget,
    system: Sequence[bytes] = (),
    tools: Sequence[Mapping[str, Any]] = (),
    first_kept: int = 0,
    tail: Sequence[Mapping[str, Any]] = (),
    summary: Sequence[Group] = (),
    pinned: Sequence[tuple[int, int]] = (),
) -> RequestContext:
    """Return the context for the next request.

    ``system`` holds the agent's system messages as JSON, ``first_kept`` what the last cut said, ``tail`` messages
    that this request ends with and the log does not hold. ``summary`` stands for what was compacted, ``pinned`` says
    from which seq to which turns are pinned. Raises OverBudget when the system messages and tools, or they with what
    must be kept, do not fit. Nothing passed in is changed.
    """
    leading = leading_system(groups)
    fixed = counter.fixed(system, tools) + sum(group.tokens(counter) for group in leading)
    fixed += sum(counter.message(message) for message in tail)
    room = budget.available - fixed
    if room < 0:
        raise OverBudget(
            f"the system prompt and the tools take {fixed:,} tokens, the context window leaves "
            f"{budget.available:,}: shorten the prompt, or give a larger --max-context",
            needed=fixed,
            available=budget.available,
        )
    kept = after_cut(groups[len(leading) :], first_kept)
    before_cut = {group.seq for group in kept}
    pins = [group for group in groups[len(leading) :] if pinned and within(group.seq, pinned)]
    summary, pins, crowded_out = _fitting(summary, pins, room, kept, counter)
    held = frozenset(group.seq for group in pins)
    kept = [group for group in groups[len(leading) :] if group.seq in held or group.seq in before_cut]
    total = before = _cost([*summary, *kept], counter)
    rotation = None
    if kept and before > budget.high * room:
        kept, rotation = _cut(kept, int(budget.low * room), before, counter, held)
        total = rotation.tokens_after if rotation else before
    shortened = total > room
    if shortened:
        newest = _shortened_newest(kept, fixed + total, budget.available, counter)
        total += newest.tokens(counter) - kept[-1].tokens(counter)
        kept[-1] = newest
    kept = _unique_ids([*leading, *summary, *kept])
    return RequestContext(
        messages=(*system, *(message for group in kept for message in group.encoded()), *map(encode_json, tail)),
        tokens=fixed + total,
        fixed_tokens=fixed,
        available=budget.available,
        system=len(system),
        tools=tuple(tools),
        kept=tuple(kept),
        shortened=shortened,
        rotation=rotation,
        leading=len(leading),
        summary=len(summary),
        pinned=held,
        crowded_out=tuple(seq for seq in crowded_out if all(group.seq != seq for group in kept)),
    )


def conversation_tokens(groups: Sequence[Group], counter: TokenCounter, first_kept: int = 0) -> int:
    """Return what the conversation among ``groups`` costs before any further cut."""
    return _cost(after_cut(groups[len(leading_system(groups)) :], first_kept), counter)


def after_cut(groups: Sequence[Group], first_kept: int) -> list[Group]:
    """Return the groups from ``first_kept`` on. A cut inside a turn keeps its question and its instructions."""
    kept = [group for group in groups if group.seq >= first_kept]
    left_out = groups[: len(groups) - len(kept)]
    starts_with = next((group for group in kept if not group.is_system), None)
    if not left_out or starts_with is None or starts_with.is_user:
        return kept
    turn = left_out[turn_start(left_out, len(left_out)) :]
    return [group for group in turn if group.is_user or group.is_system] + kept


def _fitting(
    summary: Sequence[Group], pins: Sequence[Group], room: int, kept: Sequence[Group], counter: TokenCounter
) -> tuple[list[Group], list[Group], tuple[int, ...]]:
    """Return the summary and the pinned groups that there is room for, the newest turns of them, and what is not."""
    if not summary and not pins:
        return [], [], ()
    must = [group for group in kept[turn_start(kept, len(kept)) : -1] if group.is_user or group.is_system]
    left = min(room // 2, room - _cost([*must, *kept[-1:]], counter))
    crowded: list[int] = []
    if _cost(summary, counter) > left:
        crowded += [group.seq for group in summary]
        summary = []
    left -= _cost(summary, counter)
    end = len(pins)
    while end > 0:
        start = turn_start(pins, end)
        cost = _cost(pins[start:end], counter)
        if cost > left:
            break
        left -= cost
        end = start
    return list(summary), list(pins[end:]), (*crowded, *(group.seq for group in pins[:end]))


def _cut(
    groups: list[Group], target: int, total: int, counter: TokenCounter, held: frozenset[int]
) -> tuple[list[Group], Rotation | None]:
    """Leave out whole turns, then groups of the live turn, oldest first, until ``target`` is met or nothing may go.

    ``total`` is what ``groups``, at least one, cost, with what is sent beside them; those ``held`` stay. Returns what
    is kept, and no rotation when nothing could go.
    """

    def cost(part: Sequence[Group]) -> int:
        return _cost([group for group in part if group.seq not in held], counter)

    before = total
    start = turn_start(groups, len(groups))
    total = before - cost(groups[:start])
    while start > 0:
        earlier = turn_start(groups, start)
        longer = total + cost(groups[earlier:start])
        if longer > target:
            break
        start, total = earlier, longer
    dropped = [group for group in groups[:start] if group.seq not in held]
    kept = [group for group in groups[:start] if group.seq in held] + groups[start:]
    first_kept = groups[start].seq
    if total > target:
        # Only the live turn is left.
        rest = [group for group in groups[start:] if not (group.is_user or group.is_system or group.seq in held)]
        for oldest, following in pairwise(rest):
            if total <= target:
                break
            total -= oldest.tokens(counter)
            dropped.append(oldest)
            first_kept = following.seq
        kept = [
            group for group in kept if group.is_user or group.is_system or group.seq >= first_kept or group.seq in held
        ]
    if not dropped:
        return kept, None
    return kept, Rotation(first_kept, before, total, tuple(group.seq for group in dropped))


def _shortened_newest(kept: Sequence[Group], needed: int, available: int, counter: TokenCounter) -> Group:
    """Return the newest group with its results cut so that all fits. Raises OverBudget when that cannot be."""
    newest = kept[-1]
    room = newest.tokens(counter) - (needed - available)
    short = shorten_results(newest, room, counter) if newest.calls else None
    if short is None:
        raise OverBudget(
            f"the last message and what belongs to it take {needed:,} tokens with the system prompt, the context "
            f"window leaves {available:,}: send less at once, or give a larger --max-context",
            needed=needed,
            available=available,
        )
    return short


def _unique_ids(groups: list[Group]) -> list[Group]:
    """Give calls whose id another call in the context has an id of their own."""
    seen: set[str] = set()
    for index, group in enumerate(groups):
        if group.calls:
            if len(set(group.calls)) < len(group.calls) or not seen.isdisjoint(group.calls):
                groups[index] = group = group.with_ids(seen)
            seen.update(group.calls)
    return groups


def _cost(groups: Sequence[Group], counter: TokenCounter) -> int:
    return sum(group.tokens(counter) for group in groups)
