"""What is said when a chat ends: how to go on with it."""

import os
import shlex
import shutil
import sys

from swarmchat.cli.settings.settings import Settings
from swarmchat.swarm.session.session import Session

_FLAGS = {
    "backend": "-b",
    "redis_url": "--redis-url",
    "data_dir": "--data-dir",
    "profile": "--profile",
    "client": "--client",
    "swarm": "-S",
    "approve": "--approve",
    "model": "-m",
    "base_url": "--base-url",
    "system": "--system",
    "max_context": "--max-context",
}
_WHERE = ("backend", "redis_url", "data_dir", "profile", "client")
"""What must be the same to find the session again: repeated also where it came from the environment."""


def farewell(session: Session, settings: Settings) -> str:
    """Return the command that goes on with ``session``, with all its flags but those that hold a password."""
    if settings.backend == "memory":
        return "this session was kept in memory and is gone now (-b disk keeps it)"
    words, left_out = [_program()], []
    for name, flag in _FLAGS.items():
        origin = settings.origins.get(name, "")
        needed = name != "redis_url" or settings.backend == "redis"
        if needed and (origin.startswith("--") or (name in _WHERE and origin.startswith("$"))):
            value = _shown(name, session, settings)
            if value is None:
                left_out.append(flag)
            else:
                words += [flag, _quoted(value)]
    words += ["-s", _quoted(session.info.name)]
    note = f"   (with the same {' and '.join(left_out)})" if left_out else ""
    return f"resume with: {' '.join(words)}{note}"


def _program() -> str:
    """Return what starts this program: its path, where it is not one of the shell's commands."""
    started = sys.argv[0]
    if shutil.which("swarmchat") or not os.path.basename(started).startswith("swarmchat"):
        return "swarmchat"
    return os.path.relpath(started)


def _shown(name: str, session: Session, settings: Settings) -> str | None:
    """Return the value of a flag as it can be given again, from any folder; ``None`` if it holds a password."""
    value = str(getattr(settings, name))
    if name == "data_dir":
        return os.path.abspath(os.path.expanduser(value))
    if name == "redis_url" or (name == "backend" and ":" in value):
        # The backend's own form of its URL has its password masked, and a folder in full.
        url = session.backend.url
        return url if url == value or url.startswith("disk:") else None
    return None if name == "base_url" and "@" in value else value


def _quoted(word: str) -> str:
    """Return ``word`` quoted for a shell; what cannot be printed, in the way of bash and zsh."""
    if word.isprintable():
        return shlex.quote(word)
    letters = (letter if letter.isprintable() and letter not in "\\'" else f"\\U{ord(letter):08x}" for letter in word)
    return f"$'{''.join(letters)}'"
