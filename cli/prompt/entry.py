"""The text of a message at the prompt: folded pastes, blocks that are still open, and the queue of messages to send."""

import re
from collections import deque
from typing import NamedTuple

from swarmchat.cli.attachments.paths import RESOURCE_MENTION, mentioned

_UNFOLDED_LINES = 20
_UNFOLDED_CHARACTERS = 5000
"""A paste with more lines or characters is folded."""
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})(.*)$", re.MULTILINE)
_QUOTES = '"""'


class Entered(NamedTuple):
    """What the user entered: with long pastes folded, as at the prompt, and in full."""

    folded: str
    text: str


class Queue(deque[Entered]):
    """Messages and commands that were entered during an answer. While ``paused``, as after an error, none is sent."""

    paused = False

    def next(self) -> Entered | None:
        """Remove and return the first entry, unless the queue is paused."""
        return self.popleft() if self and not self.paused else None

    def take_back(self) -> Entered | None:
        """Remove and return the last entry."""
        last = self.pop() if self else None
        self.paused = self.paused and bool(self)
        return last

    def drop(self) -> int:
        """Remove all entries; return how many there were."""
        count = len(self)
        self.clear()
        self.paused = False
        return count


class Pastes:
    """Long pastes: each is shown at the prompt as a mark such as ``[paste 214 lines]``, and sent in full.

    Those that mention a file or a resource are shown so as well: a mark attaches nothing.
    """

    def __init__(self) -> None:
        self._by_mark: dict[str, str] = {}

    def fold(self, pasted: str, text: str) -> str:
        """Return what to insert into ``text`` for ``pasted``: itself, or a mark."""
        # Some terminals send the line ends of the source, others those of the Enter key.
        pasted = pasted.replace("\r\n", "\n").replace("\r", "\n")
        lines = pasted.count("\n") + (not pasted.endswith("\n"))
        is_long = lines > _UNFOLDED_LINES or len(pasted) > _UNFOLDED_CHARACTERS
        if not is_long and not mentioned(pasted) and not RESOURCE_MENTION.search(pasted):
            return pasted
        size = f"{lines:,} lines" if lines > 1 else f"{len(pasted):,} characters"
        mark, number = f"[paste {size}]", 1
        # The user may have typed the mark's very words.
        while mark in text or self._by_mark.get(mark, pasted) != pasted:
            number += 1
            mark = f"[paste {number}, {size}]"
        self._by_mark[mark] = pasted
        return mark

    def unfold(self, text: str) -> str:
        """Return ``text`` with each mark replaced by its paste."""
        if not self._by_mark:
            return text
        return re.sub("|".join(map(re.escape, self._by_mark)), lambda match: self._by_mark[match[0]], text)

    def mark_before(self, text: str) -> str:
        """Return the mark at the end of ``text``, or an empty string."""
        return next(filter(text.endswith, self._by_mark), "")

    def mark_after(self, text: str) -> str:
        """Return the mark at the start of ``text``, or an empty string."""
        return next(filter(text.startswith, self._by_mark), "")


def is_unfinished(text: str) -> bool:
    """Whether ``text`` has an open code block, or begins with three quotation marks that are not closed."""
    if text.startswith("/") and not text.startswith("//"):
        return False
    if text.lstrip().startswith(_QUOTES):
        return text.count(_QUOTES) % 2 == 1
    fence = ""
    for marks, rest in _FENCE.findall(text):
        if not fence:
            # Backticks that close on the same line are inline code.
            fence = "" if marks[0] == "`" and "`" in rest else marks
        elif marks.startswith(fence) and not rest.strip():
            fence = ""
    return bool(fence)


def without_quotes(text: str) -> str:
    """Return ``text`` without the three quotation marks at its start and end, if it has both and no others."""
    match = re.fullmatch(rf"\s*{_QUOTES}(.*){_QUOTES}\s*", text, re.DOTALL)
    return match[1].strip("\n") if match and _QUOTES not in match[1] else text
