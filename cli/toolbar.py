"""The line below the prompt."""

import shutil

from prompt_toolkit.utils import get_cwidth
from swarmchat.cli.sanitize import one_line
from swarmchat.swarm.session import Session


def toolbar(session: Session, backend: str) -> str:
    """Return agent, model, fill of the context, session and backend, as many as the terminal has room for."""
    used, available = session.fill
    parts = [
        " ‹ ".join((session.agent.name, *reversed(session.navigation.stack))),
        f"{used:,} / {available:,} tokens {used / available:.0%}",
        session.model.name,
        one_line(session.info.name, 30),
        backend,
    ]
    columns = shutil.get_terminal_size().columns
    while len(parts) > 1 and get_cwidth("   ".join(parts)) + 1 > columns:
        parts.pop()
    return " " + "   ".join(parts)
