"""Edit a text in the user's external editor."""

import os
import shlex
import subprocess
import tempfile
from pathlib import Path

_FALLBACKS = ("editor", "nano", "vi", "emacs")


def edit_text(text: str) -> str:
    """Open ``text`` in ``$VISUAL`` or ``$EDITOR`` and return it edited, or as it was if the editor exits with an error.

    If neither is set, the first editor that is installed is used. Raises OSError if no editor can be started or the
    file cannot be written.
    """
    # prompt_toolkit's Buffer.open_in_editor would silently start another editor in place of a misspelt one.
    chosen = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    with tempfile.TemporaryDirectory(prefix="swarmchat-") as folder:
        path = Path(folder, "message.md")
        path.write_text(text, "utf-8", errors="surrogateescape")
        for command in [chosen] if chosen else _FALLBACKS:
            try:
                code = subprocess.call([*shlex.split(command), str(path)])  # noqa: S603 - the user's own choice
            except FileNotFoundError:
                continue
            if code:
                return text
            edited = path.read_text("utf-8", errors="replace")
            return edited.removesuffix("\n") if not text.endswith("\n") else edited
    tried = repr(chosen) if chosen else ", ".join(_FALLBACKS)
    raise FileNotFoundError(f"{tried} cannot be started; set your editor in $EDITOR")
