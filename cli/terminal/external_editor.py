"""The user's own editor."""

import os
import shlex
import subprocess
import tempfile
from pathlib import Path

_USUAL = ("editor", "nano", "vi", "emacs")


def edit_text(text: str) -> str:
    """Let the user change ``text`` in ``$VISUAL`` or ``$EDITOR``; return what it became.

    Without these it is one that most systems have. An editor that ends with an error changes nothing. Raises OSError
    where none can be started, or no file be written.
    """
    named = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    with tempfile.TemporaryDirectory(prefix="swarmchat-") as folder:
        path = Path(folder, "message.md")
        path.write_text(text, "utf-8", errors="surrogateescape")
        for command in [named] if named else _USUAL:
            try:
                code = subprocess.call([*shlex.split(command), str(path)])  # noqa: S603 - the user's own choice
            except FileNotFoundError:
                continue
            if code:
                return text
            edited = path.read_text("utf-8", errors="replace")
            return edited.removesuffix("\n") if not text.endswith("\n") else edited
    tried = repr(named) if named else ", ".join(_USUAL)
    raise FileNotFoundError(f"{tried} cannot be started; name yours in $EDITOR")
