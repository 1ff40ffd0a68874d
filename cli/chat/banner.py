"""What a chat prints when it starts and when it ends."""

import os
import shlex
import shutil
import sys

from swarmchat.cli.settings.settings import Settings
from swarmchat.cli.terminal.sanitize import one_line
from swarmchat.swarm.persistence.records import Record
from swarmchat.swarm.session.session import Session

_DEMO = "demo model: scripted answers, no AI"

_CONNECT = "to talk with a real model: set OPENAI_API_KEY, or start with -m MODEL --base-url URL; -c goes on here"


def greeting(session: Session, backend: str) -> list[str]:
    """Return the lines that a chat begins with."""
    about = _DEMO if session.model.name == "demo" else session.model.name
    swarm = "swarmchat" if len(session.swarm.agents) == 1 else session.swarm.name
    lines = [f"{swarm} · {about} · {backend} · session {one_line(session.info.name, 60)}"]
    if session.turns:
        turns = "1 turn" if session.turns == 1 else f"{session.turns} turns"
        lines.append(f"resumed after {turns}; last used {session.info.updated[:16].replace('T', ' ')} UTC")
        for record in _last_exchange(session):
            who = "you" if record.type == "user" else record.agent or "assistant"
            lines.append(f"{who}: {one_line(str(record.message.get('content') or ''), 300)}")
    else:
        if session.model.name == "demo":
            lines.append(_CONNECT)
        lines.append("/help lists the commands, Ctrl-D leaves")
    if session.replaced_agent is not None:
        lines.append(
            f"agent {one_line(session.replaced_agent, 60)} no longer exists; active agent: {session.agent.name}"
        )
    lines += [f"record {position} is damaged: {problem}" for position, problem in session.damaged.items()]
    return lines


def _last_exchange(session: Session) -> list[Record]:
    last = [record for record in session.records if record.turn == session.last_turn]
    said = [record for record in last if record.type in ("user", "assistant") and record.message.get("content")]
    # Agents may have said something in between.
    return said[:1] + said[1:][-1:]


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


def resume_hint(session: Session, settings: Settings) -> str:
    """Return the command that resumes ``session``, with all its flags except those that hold a password."""
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
