"""The clipboard of the user's terminal, wherever that is: OSC 52, which goes through ssh as all that is shown does."""

import base64
import os
from collections.abc import Mapping
from typing import Any

from swarmchat.cli.errors import UsageError
from swarmchat.cli.terminal.capabilities import can_move

LARGEST = 74_994
"""Bytes that are copied at most: with these, the sequence has 100,000, which is what many terminals take."""
_PIECE = 240
"""Bytes of a sequence that go through screen at once: it takes 256, or 768 in newer versions."""


def copies(stream: Any) -> bool:
    """Whether ``stream`` is a terminal that may have a clipboard: the Linux console has none."""
    return can_move(stream) and os.environ.get("TERM") != "linux"


def copying(text: str, environment: Mapping[str, str]) -> str:
    """Return what has the terminal take ``text``. Raises UsageError for more than terminals take."""
    data = text.encode("utf-8", "replace")
    if len(data) > LARGEST:
        raise UsageError(
            f"{len(data):,} bytes are too much for the clipboard of a terminal, which takes {LARGEST:,}: "
            "/copy code copies the last code block, /export FILE writes it all to a file"
        )
    sequence = f"\x1b]52;c;{base64.b64encode(data).decode('ascii')}\x07"
    if environment.get("TMUX"):
        # With "set-clipboard on" tmux takes the first, with "allow-passthrough on" it hands the second on.
        doubled = sequence.replace("\x1b", "\x1b\x1b")
        return f"{sequence}\x1bPtmux;{doubled}\x1b\\"
    if environment.get("STY"):
        pieces = (sequence[start : start + _PIECE] for start in range(0, len(sequence), _PIECE))
        return "".join(f"\x1bP{piece}\x1b\\" for piece in pieces)
    return sequence
