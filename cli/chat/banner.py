"""The lines that a chat prints when it starts and when it ends."""

import os
import shlex
import shutil
import sys

from swarmchat.cli.settings.settings import Settings
from swarmchat.cli.terminal.printing import duration
from swarmchat.cli.terminal.sanitize import one_line
from swarmchat.swarm.persistence.records import Record
from swarmchat.swarm.session.session import Session

_DEMO = "demo model: scripted answers, no AI"

_CONNECT = "to talk with a real model: set OPENAI_API_KEY, or start with -m MODEL --base-url URL; -c continues here"


def greeting(session: Session, backend: str) -> list[str]:
    """Return the lines that a chat starts with."""
    is_demo = session.model.name == "demo"
    swarm = "swarmchat" if len(session.swarm.agents) == 1 else session.swarm.name
    model = _DEMO if is_demo else session.model.name
    lines = [f"{swarm} · {model} · {backend} · session {one_line(session.info.name, 60)}"]
    if not session.is_new:
        turns = "1 turn" if session.turns == 1 else f"{session.turns} turns"
        lines.append(f"resumed after {turns}; last used {session.info.updated[:16].replace('T', ' ')} UTC")
        for record in _last_exchange(session):
            speaker = "you" if record.type == "user" else record.agent or "assistant"
            lines.append(f"{speaker}: {one_line(str(record.message.get('content') or ''), 300)}")
    else:
        lines += [_CONNECT] if is_demo else []
        lines.append("/help lists the commands, Ctrl-D leaves")
    return lines + [f"warning: {notice}" for notice in session.conversation.take_notices()]


def _last_exchange(session: Session) -> list[Record]:
    """Return the first and the last message of the last turn; those between them are left out."""
    messages = [
        record
        for record in session.records
        if record.turn == session.last_turn and record.type in ("user", "assistant") and record.message.get("content")
    ]
    return messages[:1] + messages[1:][-1:]


_OF_STORE = {
    "backend": "-b",
    "redis_url": "--redis-url",
    "data_dir": "--data-dir",
    "profile": "--profile",
    "client": "--client",
}
"""The settings that are needed to find a session again; it knows its swarm, model and server itself."""


_NOT_REMEMBERED = {"approve": "--approve", "max_context": "--max-context"}
"""The options for one start of a chat that change what happens in it."""


def resume_hint(session: Session, settings: Settings) -> str:
    """Return the command that resumes ``session``, without values that hold a password."""
    if settings.backend == "memory":
        return "this session was only in memory and is now gone (-b disk keeps sessions)"
    words, left_out = [_program()], []
    for name, flag in _OF_STORE.items():
        if name == "redis_url" and settings.backend != "redis":
            continue
        if settings.origins.get(name, "").startswith(("-", "$")):
            value = _flag_value(name, session, settings)
            if value is None:
                left_out.append(flag)
            else:
                words += [flag, _quoted(value)]
    words += ["-s", _quoted(session.info.name)]
    left_out += [flag for name, flag in _NOT_REMEMBERED.items() if settings.origins.get(name, "").startswith("-")]
    notes = [f"with the same {' and '.join(left_out)}"] if left_out else []
    lifetime = session.settings.lifetimes.session
    notes += [] if lifetime is None else [f"kept for {duration(lifetime)}"]
    return f"resume with: {' '.join(words)}" + (f"   # {', '.join(notes)}" if notes else "")


def _program() -> str:
    """Return the command that starts this program: its path, unless the shell finds it by name."""
    path = sys.argv[0]
    if shutil.which("swarmchat") or not os.path.basename(path).startswith("swarmchat"):
        return "swarmchat"
    return os.path.relpath(path)


def _flag_value(name: str, session: Session, settings: Settings) -> str | None:
    """Return the value of a flag in a form that is valid in any folder; ``None`` if it holds a password."""
    value = str(getattr(settings, name))
    if name == "data_dir":
        return os.path.abspath(os.path.expanduser(value))
    if name == "redis_url" or (name == "backend" and ":" in value):
        # The backend's form of its URL has the password masked and a folder's path in full.
        url = session.backend.url
        return url if url == value or url.startswith("disk:") else None
    return value


def _quoted(word: str) -> str:
    """Return ``word`` quoted for a shell; one that cannot be printed, in the form that bash and zsh read."""
    if word.isprintable():
        return shlex.quote(word)
    letters = (letter if letter.isprintable() and letter not in "\\'" else f"\\U{ord(letter):08x}" for letter in word)
    return f"$'{''.join(letters)}'"
