"""Shortens oversized tool results and answers: the middle is replaced by a marker."""

import re
from collections.abc import Sequence

from swarmchat.swarm.common.messages import text_of, texts_of
from swarmchat.swarm.context.groups import Group, Part, turn_start
from swarmchat.swarm.context.tokens import TokenCounter
from swarmchat.swarm.errors import OverBudget

SMALLEST = 24
"""Tokens that every shortened result keeps: with fewer it would be useless."""

SMALLEST_ANSWER = 60
"""Tokens that a shortened answer keeps at least, with its role."""

_MARKER = "\nHere {count} characters are left out.\n"
_MARKED = re.compile(r"\nHere (\d+) characters are left out\.\n")


def shorten(text: str, tokens: int, counter: TokenCounter) -> str:
    """Shorten ``text`` to at most ``tokens`` tokens: head, a marker with the number of missing characters, tail.

    A text that fits is returned unchanged. A text that was shortened before is shortened further and still has one
    marker. If not even the marker fits, only the marker is returned.
    """
    if counter.text(text) <= tokens:
        return text
    head, tail, removed = _parts(text)
    shortened_length = len(head) + len(tail)
    # What a token holds varies over a text: aim by proportion, then step down until the count agrees.
    room = max(0, tokens - counter.text(_MARKER.format(count=removed + shortened_length)))
    size = min(shortened_length, shortened_length * room // max(1, counter.text(head + tail)))
    while True:
        left, right = head, tail
        # Two thirds of the remaining text are head: results begin with the most important part.
        if len(left) + len(right) > size:
            from_tail = min(len(right) if right else size // 3, size // 3)
            left, right = (head + tail)[: size - from_tail], (head + tail)[shortened_length - from_tail :]
        count = removed + shortened_length - len(left) - len(right)
        short = left + _MARKER.format(count=count) + right
        if size == 0 or counter.text(short) <= tokens:
            return short
        size = size * 9 // 10


def shortened_group(
    selection: Sequence[Group], pinned: frozenset[int], needed: int, available: int, counter: TokenCounter
) -> tuple[int, Group]:
    """Return the index of a group to shorten, and the shortened group, so that ``needed`` tokens become ``available``.

    It is the last answer before the newest turn, or else the results of the newest group. Raises OverBudget if neither
    can be so short.
    """
    excess = needed - available
    before = turn_start(selection, len(selection)) - 1
    if before >= 0 and selection[before].seq not in pinned:
        short = shorten_answer(selection[before], selection[before].tokens(counter) - excess, counter)
        if short is not None:
            return before, short
    newest = selection[-1]
    short = shorten_results(newest, newest.tokens(counter) - excess, counter) if newest.calls else None
    if short is None:
        raise OverBudget(
            f"the last message and what belongs to it take {needed:,} tokens with the system prompt, the context "
            f"window leaves {available:,}: send less at once, or set a larger --max-context",
            needed=needed,
            available=available,
        )
    return len(selection) - 1, short


def shorten_answer(group: Group, tokens: int, counter: TokenCounter) -> Group | None:
    """Shorten an answer without calls to ``tokens``; ``None`` if it has calls, or cannot be that short."""
    message = group.head.message
    if group.role != "assistant" or group.calls or tokens < SMALLEST_ANSWER:
        return None
    overhead = counter.message({**message, "content": ""})
    content = shorten("".join(texts_of(message)), tokens - overhead, counter)
    return Group(Part({**message, "content": content}, None), group.seq)


def shorten_results(group: Group, tokens: int, counter: TokenCounter) -> Group | None:
    """Shorten the longest results of ``group`` to ``tokens`` in all; ``None`` if they cannot be that short.

    The results share one maximum length, so short results stay whole.
    """
    head, *results = group.parts()
    fixed = head.tokens(counter, parallel=False)
    costs = [part.tokens(counter, parallel=group.parallel) for part in results]
    # Images become the words that describe them.
    texts = [text_of(part.message) for part in results]
    overheads = [counter.message({**part.message, "content": ""}, parallel=group.parallel) for part in results]
    room = tokens - fixed
    while True:
        cap = _common_cap(costs, room)
        if cap is None:
            return None
        shortened = Group(head, group.seq)
        for index, (part, text, cost, overhead) in enumerate(zip(results, texts, costs, overheads, strict=True)):
            if cost > cap and text:
                content = shorten(text, max(SMALLEST, cap - overhead), counter)
                part = Part({**part.message, "content": content}, None)
            shortened.answer(index, part)
        excess = shortened.tokens(counter) - tokens
        if excess <= 0:
            return shortened
        # Escaped counting (see TokenCounter.message) makes a shortened text cost more than its own tokens.
        room -= max(excess, len(results))


def _common_cap(costs: Sequence[int], room: int) -> int | None:
    """Return the largest ``cap`` with ``sum(min(cost, cap)) <= room``; ``None`` if it is below ``SMALLEST``."""
    left = room
    for index, cost in enumerate(sorted(costs)):
        share = left // (len(costs) - index)
        if cost > share:
            return share if share >= SMALLEST else None
        left -= cost
    return None


def _parts(text: str) -> tuple[str, str, int]:
    match = _MARKED.search(text)
    if match is None:
        return text, "", 0
    return text[: match.start()], text[match.end() :], int(match[1])
