"""The rules of rotation by the letter: whole lists, walked as often as it takes. What the program does must be this."""

from collections.abc import Callable, Sequence
from typing import Any

from swarmchat.swarm.context.builder import Budget
from swarmchat.swarm.context.groups import Group
from swarmchat.swarm.context.tokens import TokenCounter
from swarmchat.swarm.context.truncation import SMALLEST_ANSWER


def naive_cut(
    groups: Sequence[Group],
    counter: TokenCounter,
    budget: Budget,
    first_kept: int = 0,
    pinned: Sequence[tuple[int, int]] = (),
    summary: Sequence[Group] = (),
) -> dict[str, Any]:
    """Return what is sent of ``groups`` without system messages, tools and shortening, and what the cut says."""

    def cost(some: Sequence[Group]) -> int:
        return sum(group.tokens(counter) for group in some)

    leading = next((place for place, group in enumerate(groups) if not group.is_system), len(groups))
    conversation = groups[leading:]
    room = budget.available - cost(groups[:leading])
    candidates = _after(conversation, first_kept)
    pins = [group for group in conversation if any(first <= group.seq <= last for first, last in pinned)]

    live = _turns(candidates)[-1][:-1] if candidates else []
    left = min(room // 2, room - cost([group for group in live if group.is_user or group.is_system] + candidates[-1:]))
    beside = [*summary] if cost(summary) <= left else []
    left -= cost(beside)
    held: list[Group] = []
    for turn in reversed(_turns(pins)):
        if cost(turn) > left:
            break
        left -= cost(turn)
        held = turn + held
    crowded = [group for group in (*summary, *pins) if group not in (*beside, *held)]

    everything = [group for group in conversation if group in held or group in candidates]
    sent = everything
    if everything and cost(beside + everything) > budget.high * room:
        turns = _turns(everything)
        before: list[Group] = []
        while len(turns) > 1 and cost(beside + _with(held, everything, turns)) > int(budget.low * room):
            before = turns.pop(0)
        sent = _with(held, everything, turns)
        end = _fitting_end(before, held, room - cost(beside + sent), cost) if len(turns) == 1 else []
        going = [g for g in turns[0] if not (g.is_user or g.is_system or g in held)] if len(turns) == 1 else []
        if end:
            whole = end == [group for group in before if group not in held]
            sent = _with(held, everything, [end, *turns])
            turns[0] = end if whole else [group for group in end if not (group.is_user or group.is_system)]
        while not end and len(going) > 1 and cost(beside + sent) > int(budget.low * room):
            sent.remove(going.pop(0))
            turns[0] = going
        first_kept = turns[0][0].seq
    dropped = [group.seq for group in everything if group not in sent]
    return {
        "sent": [group.seq for group in (*groups[:leading], *beside, *sent)],
        "tokens": cost([*groups[:leading], *beside, *sent]),
        "crowded_out": {group.seq for group in crowded} - {group.seq for group in sent},
        "rotation": (first_kept, cost(beside + everything), cost(beside + sent), dropped) if dropped else None,
    }


def _fitting_end(turn: list[Group], held: list[Group], room: int, cost: Callable[[list[Group]], int]) -> list[Group]:
    """What stays of the turn before the newest: all of it, or its questions and as many of its last groups as fit."""
    turn = [group for group in turn if group not in held]
    for end in range(len(turn)):
        part = [group for group in turn[:end] if group.is_user or group.is_system] + turn[end:]
        asks = turn[end].is_user or turn[end].is_system
        if cost(part) <= room and (end == 0 or not asks):
            return part
        last = [group for group in part if not (group.is_user or group.is_system)]
        rest = room - cost([group for group in part if group not in last])
        if len(last) == 1 and not asks and not last[0].calls and rest >= SMALLEST_ANSWER:
            return part
    return []


def _with(held: list[Group], everything: list[Group], turns: list[list[Group]]) -> list[Group]:
    return [group for group in everything if group in held or any(group in turn for turn in turns)]


def _after(conversation: Sequence[Group], first_kept: int) -> list[Group]:
    groups = [group for group in conversation if group.seq >= first_kept]
    left_out = [group for group in conversation if group.seq < first_kept]
    begins = next((group for group in groups if not group.is_system), None)
    if not left_out or begins is None or begins.is_user:
        return groups
    return [group for group in _turns(left_out)[-1] if group.is_user or group.is_system] + groups


def _turns(groups: Sequence[Group]) -> list[list[Group]]:
    """A turn begins with a question, or the instructions right before it; what is before the first is one, too."""
    turns: list[list[Group]] = []
    for group in reversed(groups):
        if turns and (group.is_system or not _opens(turns[0])):
            turns[0].insert(0, group)
        else:
            turns.insert(0, [group])
    return turns


def _opens(turn: list[Group]) -> bool:
    """Whether ``turn`` is a question with nothing but instructions before it."""
    return next((group.is_user for group in turn if not group.is_system), False)
