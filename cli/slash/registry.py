"""The registry of slash commands, from which /help, completion and the docs are made."""

import difflib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from swarmchat.cli.errors import UsageError
from swarmchat.cli.slash.chat_context import ChatContext
from swarmchat.swarm.agents.agent import Swarm


class LeaveChat(Exception):
    """The user leaves the chat."""


@dataclass(frozen=True)
class Outcome:
    """The result of a command: what the chat shows, and what it does next."""

    page: str = ""
    """Lines that the user asked for."""
    remark: str = ""
    """What the command did, in a line."""
    raw: str = ""
    """Text for the terminal, written first and unchanged: it must not contain unsanitized text of others."""
    send: str | None = None
    """A message to send now."""
    draft: str | None = None
    """A message to put at the prompt, for the user to change."""
    go_on_in: str | None = None
    """The id of the session to switch to."""


Run = Callable[[ChatContext, str], Awaitable[str | Outcome]]
Check = Callable[[Swarm, str], None]
Choice = tuple[str, str]
"""A completion of a command's arguments, and a few words about it."""
Completes = Callable[[ChatContext, str], Awaitable[Sequence[Choice]]]
"""Returns the choices for the text after the name; the caller drops those that do not start with it."""
IsUseful = Callable[[ChatContext], bool]


def always(chat: ChatContext) -> bool:
    """The default of ``Command.is_useful``."""
    return True


@dataclass
class Command:
    """A slash command; used as a decorator, it registers the function that runs it."""

    name: str
    summary: str
    """What it does, in a line."""
    arguments: str = ""
    """What can stand after the name, such as ``[N]``."""
    check: Check | None = None
    """Raises UsageError or a SwarmError if the text after the name can never be right in this swarm."""
    at_prompt_only: bool = False
    """Whether scripts cannot use it."""
    completes: Completes | None = None
    """What Tab offers after the name."""
    is_useful: IsUseful = always
    """Whether it can do anything now. Completion and ``/help`` offer no others."""
    run: Run = field(init=False)
    """Takes the chat and the text after the name. A text that it returns is a page."""

    def __call__(self, run: Run) -> None:
        """Register the command, which ``run`` runs."""
        self.run = run
        COMMANDS[self.name] = self

    @property
    def help(self) -> str:
        """The arguments and the summary."""
        return f"{self.arguments}: {self.summary}" if self.arguments else self.summary


COMMANDS: dict[str, Command] = {}


def is_command(text: str) -> bool:
    """Whether ``text`` is a command and not a message. ``//`` at the start stands for one slash of a message."""
    return text.startswith("/") and not text.startswith("//")


def parse_command(text: str) -> tuple[Command, str]:
    """Return the command in ``text`` and the text after its name. Raises UsageError for an unknown command."""
    name, _, argument = text[1:].strip().partition(" ")
    return find_command(name), argument.strip()


async def run_command(chat: ChatContext, text: str) -> Outcome:
    """Run the command in ``text`` and return its outcome. Raises UsageError for an unknown command."""
    command, argument = parse_command(text)
    outcome = await command.run(chat, argument)
    return Outcome(page=outcome) if isinstance(outcome, str) else outcome


def find_command(name: str) -> Command:
    """Return the command ``name``, or the only one that starts with it. Raises UsageError with the nearest name."""
    if name in COMMANDS:
        return COMMANDS[name]
    matches = [known for known in sorted(COMMANDS) if name and known.startswith(name)]
    if len(matches) == 1:
        return COMMANDS[matches[0]]
    if matches:
        raise UsageError(f"/{name} is ambiguous: {', '.join('/' + match for match in matches)}")
    near = difflib.get_close_matches(name, COMMANDS, n=1)
    hint = f"did you mean /{near[0]}?" if near else "/help lists the commands"
    raise UsageError(f"unknown command /{name}; {hint} (to send a message that starts with a slash, type it twice)")
