"""The line below the prompt."""

import shutil

from swarmchat.swarm.session import Session


def toolbar(session: Session, backend: str) -> str:
    """Return agent, model, fill of the context, session and backend, as many as the terminal has room for."""
    used, available = session.fill
    parts = [
        session.agent.name,
        f"{used:,} / {available:,} tokens {used / available:.0%}",
        session.model.name,
        session.info.name,
        backend,
    ]
    columns = shutil.get_terminal_size().columns
    while len(parts) > 1 and len("   ".join(parts)) + 1 > columns:
        parts.pop()
    return " " + "   ".join(parts)
