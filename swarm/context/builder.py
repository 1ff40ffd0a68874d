"""Selects the messages of a request so that they fit into the context window.

The selection is derived from the log for each request and never stored. The rules, strictest first:

1. System messages come first and are always sent. The summary of a compaction follows, then pinned turns in their
   original order. Summary and pins are dropped if they would take more than half of the room, or the room of messages
   that must be sent.
2. A group (see ``groups``) is sent whole or not at all.
3. Dropped are whole turns, oldest first; then the oldest groups of the newest turn; then the middle of oversized tool
   results. The newest user message and the newest group are always sent: if they do not fit, ``OverBudget`` is raised.
   The turn before the newest one stays if it fits into the room at all, or else its end, shortened if it must be.
4. The context grows up to the high mark and is then cut to the low mark. Between two cuts, each request begins with
   the whole previous request, so the provider's prompt cache is hit.
5. The same log and settings give the same context, byte for byte.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from operator import attrgetter
from typing import Any

from swarmchat.swarm.common.encoding import encode_json
from swarmchat.swarm.context.groups import (
    Group,
    Groups,
    Selection,
    after_cut,
    cost_of,
    encoded,
    leading_system,
    turn_start,
    with_pins,
)
from swarmchat.swarm.context.rotation import Rotation, conversation_tokens, cut, oldest_fitting_turn
from swarmchat.swarm.context.tokens import TokenCounter
from swarmchat.swarm.context.truncation import shortened_group
from swarmchat.swarm.errors import OverBudget


def marks(window: int) -> tuple[float, float]:
    """Return the high and the low mark for ``window``, in tokens: shares of the room for conversation.

    Each cut costs a request that no prompt cache knows, and a turn takes much of a small window: 4,000 tokens cut to
    0.7 would be cut every third request. A large window is left fuller.
    """
    return 0.95, round(min(0.7, max(0.5, 0.95 - 0.45 * sqrt(16_000 / window))), 2)


@dataclass(frozen=True, slots=True)
class Budget:
    """The token limits of a context. Raises ValueError for limits that contradict each other."""

    window: int
    """Tokens for the request and its answer together."""
    reserve: int = 0
    """Tokens that stay free for the answer."""
    high: float = 0.9
    """Share of the room for conversation at which a cut is made."""
    low: float = 0.7
    """Share of that room that is filled after a cut."""
    correction: float = 1.0
    """Tokens that the server counts for each token counted here."""
    overhead: int = 0
    """Tokens that the server adds once for tools."""
    least_reserve: int | None = None
    """Tokens that stay free for the answer where what must be sent leaves no more; ``None``: ``reserve``."""

    def __post_init__(self) -> None:
        if not self.window > 0 or not 0 <= self.reserve < self.window:
            raise ValueError(f"a context window of {self.window} tokens with {self.reserve} kept for the answer")
        if not 0 < self.low <= self.high <= 1 or not self.correction > 0:
            raise ValueError(
                f"marks {self.low} and {self.high}, correction {self.correction}: expected 0 < low <= high <= 1"
            )

    @property
    def available(self) -> int:
        """Tokens for the whole request, as counted here."""
        return max(1, int((self.window - self.reserve - self.overhead) / self.correction))


@dataclass(frozen=True, slots=True)
class RequestContext:
    """The messages of one request as JSON, and how they were selected."""

    messages: tuple[bytes, ...]
    tokens: int
    """Tokens of the request as counted here: messages, tools and the start of the reply."""
    fixed_tokens: int
    """Tokens of system messages, tools and the start of the reply."""
    available: int
    system: int
    """How many of the messages are the agent's own system messages."""
    tools: tuple[Mapping[str, Any], ...]
    """The definitions of the tools that are offered."""
    groups: tuple[Group, ...]
    """The groups whose messages are sent."""
    echoes: Mapping[int, Mapping[str, Any]]
    """What providers attached to answers, by the index of the message: see ``Answer.echo``."""
    shortened: bool
    """Whether tool results were cut to make the newest group fit."""
    rotation: Rotation | None
    """The cut that this context makes, if it makes one."""
    leading: int = 0
    """Number of groups at the start that are system messages from the log."""
    summary: int = 0
    """Number of groups after those that hold the summary of a compaction."""
    pinned: frozenset[int] = frozenset()
    """The seqs of the groups that are sent because they are pinned."""
    crowded_out: tuple[int, ...] = ()
    """The seqs of pinned and summary groups that do not fit."""

    @property
    def conversation(self) -> tuple[Group, ...]:
        """The groups that later cuts can drop."""
        rest = self.groups[self.leading + self.summary :]
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

    Args:
        groups: The conversation in memory.
        counter: Counts the tokens.
        budget: The token limits.
        system: The agent's system messages, as JSON.
        tools: The definitions of the tools that are offered.
        first_kept: The seq of the first group that the last cut kept.
        tail: Messages at the end of this request that are not in the log. They give way to what must be sent.
        summary: The groups that replace the compacted conversation.
        pinned: The first and last seq of each pinned turn.

    Raises OverBudget if the groups that must be sent do not fit. Changes none of its arguments.
    """
    leading = leading_system(groups)
    fixed = counter.fixed(system, tools) + sum(group.tokens(counter) for group in leading)
    selection = after_cut(groups, first_kept)
    tail = _fitting_tail(tail, budget.available - fixed, selection, counter)
    fixed += sum(counter.message(message) for message in tail)
    room = _room(budget, fixed)
    summary, pins, crowded_out = _fitting_extras(summary, groups.within(pinned), room, selection, counter)
    pinned_seqs = frozenset(group.seq for group in pins)
    selection = with_pins(selection, pins)
    high, low = budget.high * room, int(budget.low * room)
    always = cost_of([*summary, *pins], counter)
    total = conversation_tokens(selection, always, pinned_seqs, high, counter)
    rotation = None
    if total > high and selection:
        turn = oldest_fitting_turn(selection, always, pinned_seqs, low, counter)
        selection, total, rotation = cut(selection, turn, always, pins, low, room, counter)
    chosen = [*selection]
    shortened = total > room
    if shortened:
        index, short = shortened_group(chosen, pinned_seqs, fixed + total, budget.available, counter)
        total += short.tokens(counter) - chosen[index].tokens(counter)
        chosen[index] = short
    chosen = _unique_ids([*leading, *summary, *chosen])
    sent = {group.seq for group in chosen} if crowded_out else set()
    return RequestContext(
        messages=(*system, *encoded(chosen), *map(encode_json, tail)),
        tokens=fixed + total,
        fixed_tokens=fixed,
        available=budget.available,
        system=len(system),
        tools=tuple(tools),
        groups=tuple(chosen),
        echoes=_echoes(chosen, len(system)),
        shortened=shortened,
        rotation=rotation,
        leading=len(leading),
        summary=len(summary),
        pinned=pinned_seqs,
        crowded_out=tuple(seq for seq in crowded_out if seq not in sent),
    )


_ECHO = attrgetter("echo")


def _echoes(groups: Sequence[Group], index: int) -> dict[int, Mapping[str, Any]]:
    """Return the echoes of ``groups``, whose first message has ``index``, by the index of the message."""
    echoes: dict[int, Mapping[str, Any]] = {}
    if not any(map(_ECHO, groups)):
        return echoes
    for group in groups:
        if group.echo:
            echoes[index] = group.echo
        index += 1 + len(group.calls)
    return echoes


def _room(budget: Budget, fixed: int) -> int:
    """Return the tokens for conversation beside ``fixed`` ones. Raises OverBudget if none are left."""
    if fixed > budget.available:
        raise OverBudget(
            f"the system prompt and the tools take {fixed:,} tokens, the context window leaves "
            f"{budget.available:,}: shorten the prompt, or set a larger --max-context",
            needed=fixed,
            available=budget.available,
        )
    return budget.available - fixed


def _fitting_tail(
    tail: Sequence[Mapping[str, Any]], room: int, selection: Selection, counter: TokenCounter
) -> Sequence[Mapping[str, Any]]:
    """Return the last messages of ``tail`` that fit beside what must be sent."""
    if not tail:
        return tail
    must = (
        {group.seq: group for group in (*selection.newest_turn().staying(), *selection.newest())} if selection else {}
    )
    room -= cost_of(must.values(), counter)
    while tail and sum(counter.message(message) for message in tail) > room:
        tail = tail[1:]
    return tail


def _fitting_extras(
    summary: Sequence[Group], pins: Sequence[Group], room: int, selection: Selection, counter: TokenCounter
) -> tuple[list[Group], list[Group], tuple[int, ...]]:
    """Return the summary and the newest pinned turns that fit, and the seqs of the groups that do not."""
    if not summary and not pins:
        return [], [], ()
    must = {group.seq: group for group in selection.newest_turn().staying()} if selection else {}
    must |= {group.seq: group for group in selection.newest()}
    left = min(room // 2, room - cost_of(must.values(), counter))
    crowded: list[int] = []
    if cost_of(summary, counter) > left:
        crowded += [group.seq for group in summary]
        summary = []
    left -= cost_of(summary, counter)
    end = len(pins)
    while end > 0:
        start = turn_start(pins, end)
        cost = cost_of(pins[start:end], counter)
        if cost > left:
            break
        left -= cost
        end = start
    return list(summary), list(pins[end:]), (*crowded, *(group.seq for group in pins[:end]))


def _unique_ids(groups: list[Group]) -> list[Group]:
    """Rename call ids that occur twice in the context."""
    seen: set[str] = set()
    for index, group in enumerate(groups):
        if group.calls:
            if len(set(group.calls)) < len(group.calls) or not seen.isdisjoint(group.calls):
                groups[index] = group = group.with_ids(seen)
            seen.update(group.calls)
    return groups
