"""The slash commands that every chat has."""

from swarmchat.cli import swarm_slash, turn_slash
from swarmchat.cli.context_page import context_page
from swarmchat.cli.registry import (
    COMMANDS,
    LeaveChat,
    Outcome,
    command,
    find_command,
    is_command,
    parse_command,
    run_command,
)
from swarmchat.swarm.session import Session

__all__ = [
    "COMMANDS",
    "LeaveChat",
    "Outcome",
    "find_command",
    "is_command",
    "parse_command",
    "run_command",
    "swarm_slash",
    "turn_slash",
]


@command("help", "what there is to say here")
async def _help(session: Session, argument: str) -> str:
    width = max(map(len, COMMANDS))
    lines = [f"/{known.name:<{width}}  {known.help}" for known in COMMANDS.values()]
    keys = "Enter sends · Alt-Enter or Ctrl-J: new line · Ctrl-C: stop the answer, clear the line · Ctrl-D: leave"
    return "\n".join([*lines, "", keys])


@command("context", "what would be sent now, and what each part costs")
async def _context(session: Session, argument: str) -> str:
    return await context_page(session)


@command("session", "which session this is, and where it is kept")
async def _session(session: Session, argument: str) -> str:
    info = session.info
    return "\n".join(
        (
            f"session  {info.name}",
            f"title    {info.title or '-'}",
            f"turns    {session.turns}",
            f"client   {info.client}",
            f"model    {session.model.name}",
            f"kept in  {session.backend.url}",
        )
    )


@command("exit", "leave; the session stays (Ctrl-D does the same)")
async def _exit(session: Session, argument: str) -> str:
    raise LeaveChat
