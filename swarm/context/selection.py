"""Which of the groups in memory are kept: some that stand alone, and all from a place on.

A selection is made, walked from its newest group and cut without a look at what it leaves out, so what a cut costs
depends on the window and not on how long the conversation is.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice

from swarmchat.swarm.context.groups import Group, Groups, leading_system, turn_start


@dataclass(frozen=True, slots=True)
class Selection:
    """The groups ``apart``, by rising seq and all before those from the place ``start`` of ``groups`` on."""

    groups: Groups
    apart: tuple[Group, ...]
    start: int

    def __len__(self) -> int:
        return len(self.apart) + len(self.groups) - self.start

    def __iter__(self) -> Iterator[Group]:
        return chain(self.apart, self.groups[self.start :])

    def __reversed__(self) -> Iterator[Group]:
        return chain(islice(reversed(self.groups), len(self.groups) - self.start), reversed(self.apart))

    @property
    def first(self) -> Group:
        """The oldest group of a selection that is not empty."""
        return self.apart[0] if self.apart else self.groups[self.start]

    def newest(self) -> list[Group]:
        """Return the last group, if there is one."""
        return self.groups[-1:] if self.start < len(self.groups) else [*self.apart[-1:]]

    def before(self, seq: int) -> Iterator[Group]:
        """Yield the groups before ``seq``, oldest first."""
        yield from (group for group in self.apart if group.seq < seq)
        for place in range(self.start, self.groups.place(seq)):
            yield self.groups[place]

    def staying(self) -> list[Group]:
        """Return the questions and instructions, oldest first."""
        apart = [group for group in self.apart if group.is_user or group.is_system]
        return apart + [self.groups[place] for place in self.groups.staying(self.start, len(self.groups))]

    def newest_turn(self) -> "Selection":
        """Return the newest turn; see ``turn_start``."""
        end = len(self.groups)
        start = self.groups.turn_start(self.start, end)
        if start > self.start or not self.apart:
            return Selection(self.groups, (), start)
        index = len(self.apart)
        if self.groups.question(start, end) is None:
            index = turn_start(self.apart, index)
        else:
            while index > 0 and self.apart[index - 1].is_system:
                index -= 1
        return Selection(self.groups, self.apart[index:], start)

    def since(self, seq: int, but: Iterable[Group]) -> "Selection":
        """Return this without the groups before ``seq``, ``but`` for some of them."""
        stay = [group for group in but if group.seq < seq]
        stay += [group for group in self.apart if group.seq >= seq]
        stay.sort(key=lambda group: group.seq)
        return Selection(self.groups, tuple(stay), max(self.start, self.groups.place(seq)))


def after_cut(groups: Groups, first_kept: int) -> Selection:
    """Return the conversation from ``first_kept`` on. A cut inside a turn keeps its question and its instructions."""
    leading = len(leading_system(groups))
    start = max(leading, groups.place(first_kept))
    after = start
    while after < len(groups) and groups[after].is_system:
        after += 1
    if start == leading or after == len(groups) or groups[after].is_user:
        return Selection(groups, (), start)
    places = groups.staying(groups.turn_start(leading, start), start)
    return Selection(groups, tuple(groups[place] for place in places), start)


def with_pins(kept: Selection, pinned: Collection[Group]) -> Selection:
    """Return ``kept`` and, in their places, ``pinned`` groups of the same conversation."""
    start = kept.groups[kept.start].seq if kept.start < len(kept.groups) else None
    apart = {group.seq: group for group in (*kept.apart, *pinned) if start is None or group.seq < start}
    return Selection(kept.groups, tuple(apart[seq] for seq in sorted(apart)), kept.start)
