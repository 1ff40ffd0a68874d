"""What was pasted and is long stands at the prompt as ``[paste 214 lines]``, and is sent whole."""

import re

LINES = 20
"""How many lines of a paste are shown as they are."""
LETTERS = 5000
"""How many letters."""


class Pastes:
    """The pastes that are folded at the prompt, by the mark that stands for each."""

    def __init__(self) -> None:
        self._folded: dict[str, str] = {}

    def fold(self, pasted: str, text: str) -> str:
        """Return what stands for ``pasted`` in ``text``: itself, or a mark if it is long."""
        # Some terminals send the line ends of where it was copied, others those of the Enter key.
        pasted = pasted.replace("\r\n", "\n").replace("\r", "\n")
        lines = pasted.count("\n") + (not pasted.endswith("\n"))
        if lines <= LINES and len(pasted) <= LETTERS:
            return pasted
        size = f"{lines:,} lines" if lines > LINES else f"{len(pasted):,} letters"
        mark, number = f"[paste {size}]", 1
        # Also where the user wrote these very words.
        while mark in text or self._folded.get(mark, pasted) != pasted:
            number += 1
            mark = f"[paste {number}, {size}]"
        self._folded[mark] = pasted
        return mark

    def unfold(self, text: str) -> str:
        """Return ``text`` with all that is folded in it."""
        if not self._folded:
            return text
        marks = "|".join(map(re.escape, self._folded))
        return re.sub(marks, lambda match: self._folded[match[0]], text)

    def mark_before(self, text: str) -> str:
        """Return the mark that ``text`` ends with, if it does."""
        return next((mark for mark in self._folded if text.endswith(mark)), "")

    def mark_after(self, text: str) -> str:
        """Return the mark that ``text`` begins with, if it does."""
        return next((mark for mark in self._folded if text.startswith(mark)), "")
