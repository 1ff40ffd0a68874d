"""Copy to the clipboard of the user's terminal with OSC 52, which also works through ssh."""

import base64
import os
from collections.abc import Mapping
from typing import Any

from swarmchat.cli.errors import UsageError
from swarmchat.cli.terminal.capabilities import can_move

LARGEST = 74_994
"""Bytes; encoded, they make a sequence of 100,000 bytes, the limit of many terminals."""
_PIECE = 240
"""Bytes of a sequence that screen passes on at once: old versions take 256, new ones 768."""


def copies(stream: Any) -> bool:
    """Whether ``stream`` is a terminal that may have a clipboard; the Linux console has none."""
    return can_move(stream) and os.environ.get("TERM") != "linux"


def copying(text: str, environment: Mapping[str, str]) -> str:
    """Return the control sequence that copies ``text``. Raises UsageError if it is too long for terminals."""
    data = text.encode("utf-8", "replace")
    if len(data) > LARGEST:
        raise UsageError(
            f"{len(data):,} bytes are too much for the clipboard of a terminal, which accepts {LARGEST:,}: "
            "/copy code copies the last code block, /export FILE writes it all to a file"
        )
    sequence = f"\x1b]52;c;{base64.b64encode(data).decode('ascii')}\x07"
    # With "set-clipboard on", tmux uses the first; with "allow-passthrough on", it passes the second on.
    return (sequence if environment.get("TMUX") else "") + passed_on(sequence, environment)


def passed_on(sequence: str, environment: Mapping[str, str]) -> str:
    """Return a control sequence so that tmux and screen pass it on to their terminal."""
    if environment.get("TMUX"):
        doubled = sequence.replace("\x1b", "\x1b\x1b")
        return f"\x1bPtmux;{doubled}\x1b\\"
    if environment.get("STY"):
        pieces = (sequence[start : start + _PIECE] for start in range(0, len(sequence), _PIECE))
        return "".join(f"\x1bP{piece}\x1b\\" for piece in pieces)
    return sequence
