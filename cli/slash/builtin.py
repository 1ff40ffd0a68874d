"""All slash commands: importing this module registers them. ``/help`` lists them by topic, and ``/exit`` leaves."""

import shutil
import textwrap
from collections.abc import Iterator

from swarmchat.cli.slash import context, files, mcp, prompts, screen, sessions, settings, swarm, tasks, turns  # noqa: F401 - registers commands
from swarmchat.cli.slash.chat_context import ChatContext
from swarmchat.cli.slash.registry import (
    COMMANDS,
    Choice,
    Command,
    LeaveChat,
    find_command,
    is_command,
    own_commands,
    parse_command,
    run_command,
)
from swarmchat.cli.terminal.sanitize import one_line

__all__ = [
    "COMMANDS",
    "TOPICS",
    "LeaveChat",
    "find_command",
    "is_command",
    "own_commands",
    "parse_command",
    "run_command",
]

TOPICS = {
    "conversation": "retry edit undo redo now file copy reset help exit",
    "sessions": "new resume sessions history search rename session fork export import",
    "model and settings": "model set approve thoughts theme doctor debug clear",
    "context window": "context tokens compact pin unpin",
    "agents and data": "agents agent back stack task tasks tools mcp prompt call state memory storage",
}
"""The names of all commands by topic, the most useful first."""

_KEYS = (
    "Enter sends · Tab completes · Up: earlier messages · Alt-Enter or Ctrl-J: new line · "
    "Ctrl-C: stop the answer, clear the line · Ctrl-D: leave"
)


async def _names(chat: ChatContext, typed: str) -> list[Choice]:
    return [(command.name, command.help) for command in (*COMMANDS.values(), *own_commands().values())]


@Command("help", "list the commands, or explain one", "[COMMAND]", completes=_names)
async def _help(chat: ChatContext, argument: str) -> str:
    if not argument:
        return "\n".join(_overview(chat))
    command = find_command(argument.removeprefix("/"))
    lines = [f"/{command.name} {command.arguments}".rstrip(), f"  {command.summary}"]
    if command.at_prompt_only:
        lines.append("  not in scripts")
    if not command.is_useful(chat):
        lines.append("  has no effect now")
    return "\n".join(lines)


@Command("exit", "leave; the session is kept (also Ctrl-D)")
async def _exit(chat: ChatContext, argument: str) -> str:
    raise LeaveChat


def _overview(chat: ChatContext) -> Iterator[str]:
    """Yield a line for each command that can do something now, and the keys of the prompt."""
    columns = shutil.get_terminal_size().columns
    own = own_commands()
    width = max(map(len, (*COMMANDS, *own))) + 1
    topics = {topic: [COMMANDS[name] for name in names.split()] for topic, names in TOPICS.items()}
    for topic, commands in {**topics, "your own": [*own.values()]}.items():
        useful = [command for command in commands if command.is_useful(chat)]
        if useful:
            yield topic
        for command in useful:
            yield f"  {'/' + command.name:<{width}}  " + one_line(command.summary, max(10, columns - width - 5))
    yield "/help COMMAND explains one"
    yield from textwrap.wrap(_KEYS, max(20, columns - 1))
