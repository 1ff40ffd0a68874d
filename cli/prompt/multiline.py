"""Messages of several lines: what is still open keeps Enter from sending."""

import re

_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})(.*)$", re.MULTILINE)
_QUOTES = '"""'


def is_unfinished(text: str) -> bool:
    """Whether a code block, or three quotation marks at the start, are still to be closed."""
    if text.startswith("/") and not text.startswith("//"):
        return False
    if text.lstrip().startswith(_QUOTES):
        return text.count(_QUOTES) % 2 == 1
    fence = ""
    for match in _FENCE.finditer(text):
        marks, rest = match[1], match[2]
        if not fence:
            # Marks that close on their own line are code in a line.
            fence = "" if marks[0] == "`" and "`" in rest else marks
        elif marks.startswith(fence) and not rest.strip():
            fence = ""
    return bool(fence)


def without_quotes(text: str) -> str:
    """Return ``text`` without the three quotation marks around all of it, if they are."""
    inner = text.strip()
    if len(inner) >= 6 and inner.startswith(_QUOTES) and inner.endswith(_QUOTES) and inner.count(_QUOTES) == 2:
        return inner[3:-3].strip("\n")
    return text
