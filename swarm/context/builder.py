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

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any

from swarmchat.swarm.common.encoding import encode_json
from swarmchat.swarm.context.groups import Group, Groups, Selection, after_cut, leading_system, turn_start, with_pins
from swarmchat.swarm.context.tokens import TokenCounter
from swarmchat.swarm.context.truncation import shorten_results
from swarmchat.swarm.errors import OverBudget


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


@dataclass(frozen=True)
class Rotation:
    """A cut: from here on, groups before ``first_kept`` (a seq) are left out. Counts are of conversation only.

    What it leaves out is looked at when it is asked for: a cut by itself costs what it keeps.
    """

    first_kept: int
    tokens_after: int
    uncut: Selection
    """What would be sent without it."""
    staying: frozenset[int]
    """The seqs of groups before ``first_kept`` that it does not leave out."""
    counter: TokenCounter

    @cached_property
    def left_out(self) -> tuple[Group, ...]:
        """The groups that this cut leaves out."""
        return tuple(group for group in self.uncut.before(self.first_kept) if group.seq not in self.staying)

    @cached_property
    def tokens_before(self) -> int:
        """What the conversation would cost without the cut."""
        return self.tokens_after + _cost(self.left_out, self.counter)

    @cached_property
    def dropped(self) -> tuple[int, ...]:
        """The seqs of the groups that this cut leaves out."""
        return tuple(group.seq for group in self.left_out)


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
        return tuple(group for group in rest if group.seq not in self.pinned) if self.pinned else rest


def build_context(
    groups: Groups,
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
    selection = after_cut(groups, first_kept)
    summary, pins, crowded_out = _fitting(summary, groups.within(pinned), room, selection, counter)
    held = frozenset(group.seq for group in pins)
    selection = with_pins(selection, pins)
    high, low = budget.high * room, int(budget.low * room)
    always = _cost([*summary, *pins], counter)
    total = _reach(selection, always, held, high, counter)
    rotation = None
    if total > high and selection:
        turn = _oldest_turn(selection, always, held, low, counter)
        selection, total, rotation = _cut(selection, turn, always, pins, low, counter)
    kept = [*selection]
    shortened = total > room
    if shortened:
        newest = _shortened_newest(kept, fixed + total, budget.available, counter)
        total += newest.tokens(counter) - kept[-1].tokens(counter)
        kept[-1] = newest
    kept = _unique_ids([*leading, *summary, *kept])
    sent = {group.seq for group in kept} if crowded_out else set()
    return RequestContext(
        messages=(*system, *chain.from_iterable(map(Group.encoded, kept)), *map(encode_json, tail)),
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
        crowded_out=tuple(seq for seq in crowded_out if seq not in sent),
    )


def _fitting(
    summary: Sequence[Group], pins: Sequence[Group], room: int, kept: Selection, counter: TokenCounter
) -> tuple[list[Group], list[Group], tuple[int, ...]]:
    """Return the summary and the pinned groups that there is room for, the newest turns of them, and what is not."""
    if not summary and not pins:
        return [], [], ()
    must = {group.seq: group for group in kept.newest_turn().staying()} if kept else {}
    must |= {group.seq: group for group in kept.newest()}
    left = min(room // 2, room - _cost(must.values(), counter))
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


def _reach(kept: Selection, total: int, held: frozenset[int], high: float, counter: TokenCounter) -> int:
    """Count from the newest group back, until it is more than ``high`` or all; return the sum.

    ``total`` is what those ``held`` cost, with what else is sent beside the conversation.
    """
    for group in reversed(kept):
        if group.seq not in held:
            total += group.tokens(counter)
            if total > high:
                break
    return total


def _oldest_turn(
    kept: Selection, total: int, held: frozenset[int], low: int, counter: TokenCounter
) -> tuple[int, int] | None:
    """Return with which seq the oldest turn begins down to which it is ``low`` at most, and that sum, as ``_reach``."""
    found = opening = None
    for group in reversed(kept):
        if opening is not None and not group.is_system:
            found, opening = opening, None
        if group.seq not in held:
            total += group.tokens(counter)
        if total > low:
            break
        if group.is_user or opening is not None:
            opening = group.seq, total
    return found


def _cut(
    kept: Selection,
    turn: tuple[int, int] | None,
    total: int,
    pins: Sequence[Group],
    target: int,
    counter: TokenCounter,
) -> tuple[Selection, int, Rotation | None]:
    """Leave out what is before ``turn``, a seq and what is sent from there on; without it, groups of the live turn.

    ``total`` is what ``pins``, which stay, and what is sent beside the conversation cost. Returns what is kept, its
    cost, and no rotation when nothing could go.
    """
    staying = list(pins)
    if turn is not None:
        first_kept, total = turn
    else:
        first_kept, total, questions = _cut_live(kept.newest_turn(), total, pins, target, counter)
        staying += questions
    stay = frozenset(group.seq for group in staying)
    if all(group.seq in stay for group in kept.before(first_kept)):
        return kept, total, None
    return kept.since(first_kept, staying), total, Rotation(first_kept, total, kept, stay, counter)


def _cut_live(
    live: Selection, total: int, pins: Sequence[Group], target: int, counter: TokenCounter
) -> tuple[int, int, list[Group]]:
    """Return from which group on the live turn is kept, what is sent then, and what of the turn stays before that."""
    held = {group.seq for group in pins}
    staying = [group for group in live.staying() if group.seq not in held]
    held.update(group.seq for group in staying)
    total += _cost(staying, counter)
    oldest = None
    for group in reversed(live):
        if group.seq in held:
            continue
        longer = total + group.tokens(counter)
        if oldest is not None and longer > target:
            return oldest, total, staying
        total, oldest = longer, group.seq
    return live.first.seq, total, []


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


def _cost(groups: Iterable[Group], counter: TokenCounter) -> int:
    return sum(group.tokens(counter) for group in groups)
