"""Announce the end of a turn while the terminal has no focus: with a bell, or a terminal notification."""

from collections.abc import Mapping

from swarmchat.cli.terminal.clipboard import passed_on
from swarmchat.cli.terminal.sanitize import one_line

FOCUS_REPORTS_ON, FOCUS_REPORTS_OFF = "\x1b[?1004h", "\x1b[?1004l"
"""Let the terminal report whether it has the focus (xterm, "FocusIn/FocusOut")."""
_LONGEST = 100


def notification(kind: str, text: str, environment: Mapping[str, str]) -> str:
    """Return the control sequence that tells ``text``, by the setting ``kind``: bell, osc9, osc777 or off."""
    text = one_line(text, _LONGEST).replace(";", ",")
    match kind:
        case "bell":
            return "\a"
        case "osc9":
            return passed_on(f"\x1b]9;{text}\a", environment)
        case "osc777":
            return passed_on(f"\x1b]777;notify;swarmchat;{text}\a", environment)
    return ""
