"""The registry of slash commands, from which /help, completion and the docs are made."""

import difflib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

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
