"""The slash commands that every chat has. Importing this module registers all of them."""

from swarmchat.cli.slash import context, help_page, screen, sessions, settings, swarm, turns
from swarmchat.cli.slash.chat_context import ChatContext
from swarmchat.cli.slash.registry import (
    COMMANDS,
    LeaveChat,
    Outcome,
    command,
    find_command,
    is_command,
    parse_command,
    run_command,
)

__all__ = [
    "COMMANDS",
    "LeaveChat",
    "Outcome",
    "context",
    "find_command",
    "help_page",
    "is_command",
    "parse_command",
    "run_command",
    "screen",
    "sessions",
    "settings",
    "swarm",
    "turns",
]


@command("session", "show this session: name, client, model and store")
async def _session(chat: ChatContext, argument: str) -> str:
    info = chat.session.info
    return "\n".join(
        (
            f"session  {info.name}",
            f"title    {info.title or '-'}",
            f"turns    {chat.session.turns}",
            f"client   {info.client}",
            f"model    {chat.session.model.name}",
            f"kept in  {chat.session.backend.url}",
        )
    )


@command("exit", "leave; the session is kept (also Ctrl-D)")
async def _exit(chat: ChatContext, argument: str) -> str:
    raise LeaveChat
