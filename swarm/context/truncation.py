"""Cut the middle out of oversized tool results, so that the newest of them fit at all."""

import re
from collections.abc import Sequence

from swarmchat.swarm.common.messages import texts_of
from swarmchat.swarm.context.groups import Group, Part
from swarmchat.swarm.context.tokens import TokenCounter

SMALLEST = 24
"""Tokens that a result is never cut below: less says nothing."""

_MARKER = "\n[… {count} characters left out …]\n"
_MARKED = re.compile(r"\n\[… (\d+) characters left out …\]\n")


def shorten(text: str, tokens: int, counter: TokenCounter) -> str:
    """Return ``text`` in at most ``tokens`` tokens: its head and its tail around a marker that says how much went.

    A text that fits is returned as it is, so shortening twice changes nothing. A text that was shortened before is
    cut further, with one marker for all that went. With fewer tokens than the marker takes, the marker alone comes
    back.
    """
    if counter.text(text) <= tokens:
        return text
    head, tail, gone = _parts(text)
    kept = len(head) + len(tail)
    # What a token holds varies over a text: aim by proportion, then step down until the count agrees.
    room = max(0, tokens - counter.text(_MARKER.format(count=gone + kept)))
    size = min(kept, kept * room // max(1, counter.text(head + tail)))
    while True:
        left, right = head, tail
        # Two thirds of what stays is head: results say first what they are.
        if len(left) + len(right) > size:
            from_tail = min(len(right) if right else size // 3, size // 3)
            left, right = (head + tail)[: size - from_tail], (head + tail)[kept - from_tail :]
        count = gone + kept - len(left) - len(right)
        short = left + _MARKER.format(count=count) + right
        if size == 0 or counter.text(short) <= tokens:
            return short
        size = size * 9 // 10


def shorten_results(group: Group, tokens: int, counter: TokenCounter) -> Group | None:
    """Return ``group`` with its longest results cut until it costs at most ``tokens``, or ``None`` if it cannot.

    All results are cut to one common length, so that a short one beside a long one stays whole.
    """
    head, *results = group.parts()
    fixed = head.tokens(counter, parallel=False)
    costs = [part.tokens(counter, parallel=group.parallel) for part in results]
    texts = ["".join(texts_of(part.message)) for part in results]
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
    """Return the largest ``cap`` with ``sum(min(cost, cap)) <= room``; None if that leaves too little to say."""
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
