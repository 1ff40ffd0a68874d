"""The registry of slash commands, from which /help, completion and the docs are made."""

import difflib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from swarmchat.cli.errors import UsageError
from swarmchat.cli.slash.chat_context import ChatContext
from swarmchat.swarm.agents.agent import Swarm


class LeaveChat(Exception):
    """The user wants to go."""


@dataclass(frozen=True)
class Outcome:
    """What comes of a command: what is shown, and what whoever carries it out is to do next."""

    page: str = ""
    """Lines that the user asked for."""
    remark: str = ""
    """What was done, in a line."""
    raw: str = ""
    """What the terminal gets as it is, before all else: nothing in it may be as others wrote it."""
    send: str | None = None
    """A message to be sent now."""
    draft: str | None = None
    """A message to be put at the prompt, to be changed before it is sent."""
    go_on_in: str | None = None
    """The id of the session to go on with."""


Run = Callable[[ChatContext, str], Awaitable[str | Outcome]]
Check = Callable[[Swarm, str], None]
Choice = tuple[str, str]
"""What can stand after a command's name, and a few words about it."""
Completes = Callable[[ChatContext, str], Awaitable[Sequence[Choice]]]
"""Returns the choices for what is typed after the name; those that do not begin so are left out."""
Valid = Callable[[ChatContext], bool]


@dataclass(frozen=True)
class Command:
    """A slash command. ``run`` takes the chat and the text after the name; a text that it returns is a page."""

    name: str
    help: str
    run: Run
    check: Check | None = None
    """Raises UsageError or a SwarmError for a text after the name that can never be right in a swarm."""
    at_prompt_only: bool = False
    """Whether it makes no sense in a script."""
    completes: Completes | None = None
    """What Tab offers after the name."""
    when: Valid | None = None
    """Whether it can do anything now. ``None``: always. Completion offers no others."""


COMMANDS: dict[str, Command] = {}


def command(
    name: str,
    help_line: str,
    *,
    check: Check | None = None,
    at_prompt_only: bool = False,
    completes: Completes | None = None,
    when: Valid | None = None,
) -> Callable[[Run], None]:
    """Register the decorated function as ``/name``; see ``Command``."""

    def register(run: Run) -> None:
        COMMANDS[name] = Command(name, help_line, run, check, at_prompt_only, completes, when)

    return register


def is_command(text: str) -> bool:
    """Whether ``text`` is a command and not a message. ``//`` at the start stands for one slash of a message."""
    return text.startswith("/") and not text.startswith("//")


def parse_command(text: str) -> tuple[Command, str]:
    """Return the command ``text`` and what stands after its name. Raises UsageError for one that there is not."""
    name, _, argument = text[1:].strip().partition(" ")
    return find_command(name), argument.strip()


async def run_command(chat: ChatContext, text: str) -> Outcome:
    """Carry out the command ``text`` and return what comes of it. Raises UsageError for one that there is not."""
    found, argument = parse_command(text)
    outcome = await found.run(chat, argument)
    return Outcome(page=outcome) if isinstance(outcome, str) else outcome


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
