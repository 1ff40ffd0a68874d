"""Slash commands: a registry, from which /help and completion are made."""

import difflib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from swarmchat.cli.context_page import context_page
from swarmchat.cli.errors import UsageError
from swarmchat.swarm.session import Session


class LeaveChat(Exception):
    """The user wants to go."""


@dataclass(frozen=True)
class Command:
    """A slash command. ``run`` takes the session and the text after the name, and returns what is to be printed."""

    name: str
    help: str
    run: Callable[[Session, str], Awaitable[str]]


COMMANDS: dict[str, Command] = {}


def command(name: str, help_line: str) -> Callable[[Callable[[Session, str], Awaitable[str]]], None]:
    """Register the decorated function as ``/name``."""

    def register(run: Callable[[Session, str], Awaitable[str]]) -> None:
        COMMANDS[name] = Command(name, help_line, run)

    return register


def is_command(text: str) -> bool:
    """Whether ``text`` is a command and not a message. ``//`` at the start stands for one slash of a message."""
    return text.startswith("/") and not text.startswith("//")


async def run_command(session: Session, text: str) -> str:
    """Carry out the command ``text`` and return what it says. Raises UsageError for one that there is not."""
    name, _, argument = text[1:].strip().partition(" ")
    return await find_command(name).run(session, argument.strip())


def find_command(name: str) -> Command:
    """Return the command ``name``, or the only one that begins so. Raises UsageError, naming what is near."""
    if name in COMMANDS:
        return COMMANDS[name]
    matches = [known for known in sorted(COMMANDS) if name and known.startswith(name)]
    if len(matches) == 1:
        return COMMANDS[matches[0]]
    if matches:
        raise UsageError(f"/{name} may be {' or '.join('/' + match for match in matches)}")
    near = difflib.get_close_matches(name, COMMANDS, n=1)
    hint = f"did you mean /{near[0]}?" if near else "/help lists what there is"
    raise UsageError(f"there is no command /{name}; {hint} (a message that begins with a slash is sent with two)")


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
