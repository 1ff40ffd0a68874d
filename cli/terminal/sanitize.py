"""Make text from elsewhere safe to print: it cannot move the cursor, change colours, ring or retitle the terminal."""

import json
import re

from swarmchat.swarm.common.patterns import lazy_pattern

# C0 except tab and line feed, DEL, C1; the bidirectional controls, which can hide the real order of a text ("Trojan
# Source", CVE-2021-42574); and the line and paragraph separators, which some terminals obey.
_UNSAFE = lazy_pattern("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]")

_INVISIBLE = (
    "\u00ad\u034f\u061c\u070f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u2800\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
# Format characters and fillers, but where they belong: in emoji, and between the letters of scripts that join them.
_EMOJI = "\u00a9\u00ae\u203c-\u3299\U0001f000-\U0001faff"
_JOINING = "\u0600-\u08ff\u0900-\u109f\u1780-\u18af"
_HIDDEN = lazy_pattern(
    f"(?![\ufe0e\ufe0f](?<=[#*0-9{_EMOJI}].))(?!\u200d(?<=[\ufe0f{_EMOJI}].)[{_EMOJI}])"
    f"(?![\u200c\u200d](?<=[{_JOINING}].)[{_JOINING}])[{_INVISIBLE}]"
)
_SPACES = lazy_pattern("[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]")
_BREAKS = lazy_pattern(r"\s*[\r\n\t]\s*")


def sanitize(text: str) -> str:
    """Return ``text`` with each character that could control a terminal replaced by a picture of it.

    A text may be sanitized piece by piece: the result does not depend on where it was cut.
    """
    return text if text.isalnum() else _UNSAFE.sub(_picture, text)


def show_hidden(text: str) -> str:
    """Return ``text`` with each character that shows nothing as JSON escapes it: two names that differ look so."""
    return text if text.isascii() else _HIDDEN.sub(_escaped, text)


def exact_json(text: str) -> str:
    """Return JSON of the same value on one line, in which nothing is invisible, and no space looks like another one."""
    # A JSON string contains no raw line breaks.
    return _BREAKS.sub(" ", _SPACES.sub(_escaped, show_hidden(text)))


def one_line(text: str, width: int) -> str:
    """Return the start of ``text`` as one safe line of at most ``width`` characters, in which nothing is invisible."""
    line = " ".join(sanitize(show_hidden(text[: width * 4])).split())
    return line if len(line) <= width and len(text) <= width * 4 else line[: max(0, width - 1)] + "…"


def _escaped(match: re.Match[str]) -> str:
    return json.dumps(match[0])[1:-1]


def _picture(match: re.Match[str]) -> str:
    code = ord(match[0])
    if match[0] == "\r":
        return ""
    if code < 0x20:
        return chr(0x2400 + code)
    return "␡" if code == 0x7F else "\ufffd"
