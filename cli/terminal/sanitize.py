"""Make text from elsewhere safe to print: it cannot move the cursor, change colours, ring or retitle the terminal."""

import re

from swarmchat.swarm.common.patterns import lazy_pattern

# C0 except tab and line feed, DEL, C1; the bidirectional controls, which can hide the real order of a text ("Trojan
# Source", CVE-2021-42574); and the line and paragraph separators, which some terminals obey.
_UNSAFE = lazy_pattern("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def sanitize(text: str) -> str:
    """Return ``text`` with each character that could control a terminal replaced by a picture of it.

    A text may be sanitized piece by piece: the result does not depend on where it was cut.
    """
    return text if text.isalnum() else _UNSAFE.sub(_picture, text)


def one_line(text: str, width: int) -> str:
    """Return the start of ``text`` as one safe line of at most ``width`` characters."""
    line = " ".join(sanitize(text[: width * 4]).split())
    return line if len(line) <= width and len(text) <= width * 4 else line[: max(0, width - 1)] + "…"


def _picture(match: re.Match[str]) -> str:
    code = ord(match[0])
    if match[0] == "\r":
        return ""
    if code < 0x20:
        return chr(0x2400 + code)
    return "␡" if code == 0x7F else "\ufffd"
