"""Rotation: choose the oldest groups to drop from a conversation that outgrows its room, by the rules of
``builder``."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from swarmchat.swarm.context.groups import Group, Selection, cost_of
from swarmchat.swarm.context.tokens import TokenCounter
from swarmchat.swarm.context.truncation import SMALLEST_ANSWER


@dataclass(frozen=True)
class Rotation:
    """A cut: groups before the seq ``first_kept`` are no longer sent. Token counts exclude the fixed part.

    The dropped groups are computed on demand, so that making a cut takes no time for them.
    """

    first_kept: int
    tokens_after: int
    uncut: Selection
    """The groups that would be sent without the cut."""
    staying: frozenset[int]
    """The seqs of groups before ``first_kept`` that are still sent."""
    counter: TokenCounter
    is_counted: bool = True
    """Whether ``uncut`` is all that was sent before: of a long log, only the part that can be sent is read."""

    @cached_property
    def left_out(self) -> tuple[Group, ...]:
        """The groups that this cut drops."""
        return tuple(group for group in self.uncut.before(self.first_kept) if group.seq not in self.staying)

    @cached_property
    def tokens_before(self) -> int:
        """Tokens of the conversation without the cut."""
        return self.tokens_after + cost_of(self.left_out, self.counter)

    @cached_property
    def dropped(self) -> tuple[int, ...]:
        """The seqs of the groups that this cut drops."""
        return tuple(group.seq for group in self.left_out)


def conversation_tokens(
    selection: Selection, total: int, pinned: frozenset[int], high: float, counter: TokenCounter
) -> int:
    """Return the tokens of the conversation; counting stops at the first sum above ``high``.

    ``total`` is the cost of the pinned groups (their seqs are ``pinned``) and the summary.
    """
    rest = (group for group in reversed(selection) if group.seq not in pinned) if pinned else reversed(selection)
    return total + cost_of(rest, counter, high - total)


def oldest_fitting_turn(
    selection: Selection, total: int, pinned: frozenset[int], low: int, counter: TokenCounter
) -> tuple[int, int] | None:
    """Find the oldest turn that still fits into ``low`` tokens. Returns its first seq and the running total."""
    oldest = candidate = None
    for group in reversed(selection):
        if candidate is not None and not group.is_system:
            oldest, candidate = candidate, None
        if group.seq not in pinned:
            total += group.tokens(counter)
        if total > low:
            break
        if group.is_user or candidate is not None:
            candidate = group.seq, total
    return oldest


def cut(
    selection: Selection,
    turn: tuple[int, int] | None,
    total: int,
    pins: Sequence[Group],
    low: int,
    room: int,
    counter: TokenCounter,
) -> tuple[Selection, int, Rotation | None]:
    """Drop the groups before ``turn``, given by its first seq and the total; without one, groups of the newest turn.

    ``total`` is the cost of ``pins``, which stay, and of the summary. Returns the groups that stay, their cost, and
    the cut: ``None`` if nothing can be dropped.
    """
    staying: list[Group] = []
    newest = selection.newest_turn()
    if turn is None or turn[0] >= newest.first.seq:
        longer = _with_turn_before(selection, newest, total, pins, room, counter)
        if longer is not None:
            first_kept, total, staying = longer
        elif turn is not None:
            first_kept, total = turn
        else:
            first_kept, total, staying = _cut_newest_turn(newest, total, pins, low, counter)
    else:
        first_kept, total = turn
    staying = [*pins, *staying]
    stay = frozenset(group.seq for group in staying)
    if all(group.seq in stay for group in selection.before(first_kept)):
        return selection, total, None
    return selection.since(first_kept, staying), total, Rotation(first_kept, total, selection, stay, counter)


def _with_turn_before(
    selection: Selection, newest: Selection, total: int, pins: Sequence[Group], room: int, counter: TokenCounter
) -> tuple[int, int, list[Group]] | None:
    """Keep the turn before the ``newest`` one beside it, or the end of that turn, if that fits into ``room``.

    Returns the first seq to keep, the total, and the earlier groups of that turn that stay; ``None`` if only less fits.
    The total is above ``room`` if its last answer has to be shortened.
    """
    pinned = {group.seq for group in pins}
    turn: list[Group] = []
    for group in reversed(selection):
        if group.seq >= newest.first.seq:
            total += 0 if group.seq in pinned else group.tokens(counter)
            if total > room:
                return None
        elif any(each.is_user for each in turn) and not group.is_system:
            break
        else:
            turn.insert(0, group)
    turn = [group for group in turn if group.seq not in pinned]
    if not turn:
        return None
    if total + cost_of(turn, counter) <= room:
        return turn[0].seq, total + cost_of(turn, counter), []
    questions = [group for group in turn if group.stays]
    rest = [group for group in turn if group not in questions]
    total += cost_of(questions, counter)
    oldest = None
    for group in reversed(rest):
        tokens = group.tokens(counter)
        if total + tokens > room and (oldest is not None or group.calls or room - total < SMALLEST_ANSWER):
            break
        total, oldest = total + tokens, group
        if total > room:
            break
    if oldest is None:
        return None
    return oldest.seq, total, [group for group in questions if group.seq < oldest.seq]


def _cut_newest_turn(
    live: Selection, total: int, pins: Sequence[Group], target: int, counter: TokenCounter
) -> tuple[int, int, list[Group]]:
    """Cut inside the newest turn. Returns the first seq to keep, the total, and the earlier groups that stay."""
    pinned_seqs = {group.seq for group in pins}
    staying = [group for group in live.staying() if group.seq not in pinned_seqs]
    pinned_seqs.update(group.seq for group in staying)
    total += cost_of(staying, counter)
    oldest = None
    for group in reversed(live):
        if group.seq in pinned_seqs:
            continue
        longer = total + group.tokens(counter)
        if oldest is not None and longer > target:
            return oldest, total, staying
        total, oldest = longer, group.seq
    return live.first.seq, total, []
