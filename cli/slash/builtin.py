"""The slash commands that every chat has."""

from swarmchat.cli.slash import context as context_slash
from swarmchat.cli.slash import screen as screen_slash
from swarmchat.cli.slash import sessions as session_slash
from swarmchat.cli.slash import settings as settings_slash
from swarmchat.cli.slash import swarm as swarm_slash
from swarmchat.cli.slash import turns as turn_slash
from swarmchat.cli.slash.chat_context import ChatContext
from swarmchat.cli.slash.registry import (
    COMMANDS,
    Choice,
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
    "context_slash",
    "find_command",
    "is_command",
    "parse_command",
    "run_command",
    "screen_slash",
    "session_slash",
    "settings_slash",
    "swarm_slash",
    "turn_slash",
]


async def _command_names(chat: ChatContext, typed: str) -> list[Choice]:
    return [(known.name, known.help) for known in COMMANDS.values()]


def _takes_arguments(help_line: str) -> bool:
    """Whether a help line begins with what stands after the name: in capitals or brackets, up to a colon."""
    before, colon, _ = help_line.partition(": ")
    return bool(colon) and (before[:1] in "[-" or before.split()[0].isupper() or before == "last")


@command("help", "[COMMAND]: what there is to say here, or what one of it does", completes=_command_names)
async def _help(chat: ChatContext, argument: str) -> str:
    if argument:
        found = find_command(argument.removeprefix("/"))
        notes = ["not in scripts"] if found.at_prompt_only else []
        if found.when is not None and not found.when(chat):
            notes.append("there is nothing for it to do now")
        arguments, _, does = found.help.partition(": ") if _takes_arguments(found.help) else ("", "", found.help)
        return "\n".join([f"/{found.name} {arguments}".rstrip(), f"  {does}", *(f"  {note}" for note in notes)])
    width = max(map(len, COMMANDS))
    lines = [f"/{known.name:<{width}}  {known.help}" for known in COMMANDS.values()]
    keys = "Enter sends · Alt-Enter or Ctrl-J: new line · Ctrl-C: stop the answer, clear the line · Ctrl-D: leave"
    return "\n".join([*lines, "", keys])


@command("session", "which session this is, and where it is kept")
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


@command("exit", "leave; the session stays (Ctrl-D does the same)")
async def _exit(chat: ChatContext, argument: str) -> str:
    raise LeaveChat
