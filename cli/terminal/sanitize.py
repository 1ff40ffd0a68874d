"""What others wrote, made safe to print: nothing in it can move the cursor, colour, ring or retitle the terminal."""

import re

# C0 but for tab and line feed, DEL, C1; the marks that reverse or hide the order of what is read (the "Trojan Source"
# characters, CVE-2021-42574); and the line and paragraph separators, which some terminals obey.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def sanitize(text: str) -> str:
    """Return ``text`` without characters that control a terminal; each is shown as a harmless picture of itself.

    Works on any piece of a text: what a whole text becomes does not depend on how it was cut.
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
