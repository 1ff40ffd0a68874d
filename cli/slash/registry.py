"""The registry of slash commands: find, check and run one. It is the source for /help, completion and the docs."""

import difflib
import re
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from swarmchat.backends import BackendError
from swarmchat.cli.errors import UsageError
from swarmchat.cli.slash.chat_context import ChatContext
from swarmchat.swarm.agents.agent import Swarm

if TYPE_CHECKING:
    from swarmchat.cli.slash.templates import Template
    from swarmchat.swarm.turn.question import Asked


class LeaveChat(Exception):
    """Raised by a command that ends the chat."""


class CommandResult(NamedTuple):
    """What a chat shows after a command, and what it does next."""

    page: str = ""
    """The lines that the user asked for."""
    remark: str = ""
    """One line that describes the effect of the command."""
    raw: str = ""
    """Text for the terminal, written first and unchanged. Text of others in it must be sanitized."""
    send: "Asked | None" = None
    """A message to send now."""
    attach: str | None = None
    """A text whose mentioned files are attached to ``send``, as if typed; ``None``: no files."""
    draft: str | None = None
    """The message of a turn that was undone, for editing at the prompt. If the user gives up, the turn comes back."""
    thoughts: str = ""
    """How the thoughts of models are shown from now on: folded, shown, hidden, or toggle."""
    next_session: str | None = None
    """The id of the session to switch to."""
    warnings: Sequence[str] = ()
    """What the user has to know besides."""


Run = Callable[[ChatContext, str], Awaitable[str | CommandResult]]
Check = Callable[[Swarm, str], None]
Choice = tuple[str, str]
"""A completion of a command's arguments, and its description."""
Completes = Callable[[ChatContext, str], Awaitable[Sequence[Choice]]]
"""Return completions for the text after the name. The caller drops those that do not start with it."""
IsUseful = Callable[[ChatContext], bool]


def always(chat: ChatContext) -> bool:
    """The default of ``Command.is_useful``."""
    return True


@dataclass
class Command:
    """A slash command; used as a decorator, it registers the function that runs it."""

    name: str
    summary: str
    """One line that says what it does."""
    arguments: str = ""
    """The syntax of its arguments, such as ``[N]``."""
    check: Check | None = None
    """Raises UsageError or a SwarmError for arguments that this swarm can never accept."""
    at_prompt_only: bool = False
    """Whether scripts cannot use it."""
    completes: Completes | None = None
    """What Tab offers after the name."""
    is_useful: IsUseful = always
    """Whether it has an effect now. Completion and ``/help`` leave out commands that have none."""
    run: Run = field(init=False)
    """Takes the chat and the text after the name; returns a result, or its page only."""

    def __call__(self, run: Run) -> None:
        """Register the command, which ``run`` runs."""
        self.run = run
        COMMANDS[self.name] = self

    @property
    def help(self) -> str:
        """The arguments and the summary."""
        return f"{self.arguments}: {self.summary}" if self.arguments else self.summary


COMMANDS: dict[str, Command] = {}
_PROMPT = re.compile(r"[A-Za-z0-9_.-]+:")


def is_command(text: str) -> bool:
    """Whether ``text`` is a command and not a message. ``//`` at the start means a message with one slash."""
    return text.startswith("/") and not text.startswith("//")


def parse_command(text: str) -> tuple[Command, str]:
    """Return the command in ``text`` and the text after its name. Raises UsageError for an unknown command."""
    name, argument = split_command(text.strip())
    return find_command(name), argument.strip()


def split_command(text: str) -> tuple[str, str]:
    """Return the command's name in ``text`` and the rest; ``/SERVER:PROMPT`` is short for ``/prompt``."""
    name, _, argument = text[1:].partition(" ")
    return ("prompt", text[1:]) if _PROMPT.match(name) else (name, argument)


async def run_command(chat: ChatContext, text: str) -> CommandResult:
    """Run the command in ``text`` and return its result. Raises UsageError for an unknown command."""
    command, argument = parse_command(text)
    # No command shows or changes a session that the store has lost a part of.
    with suppress(BackendError):
        if await chat.session.conversation.journal.find_loss() is not None:
            await chat.session.flush()
    result = await command.run(chat, argument)
    result = CommandResult(page=result) if isinstance(result, str) else result
    return result._replace(warnings=tuple(chat.session.conversation.take_notices()))


def find_command(name: str) -> Command:
    """Return the command ``name``, or the only one that starts with it. Raises UsageError with the nearest name."""
    if name in COMMANDS:
        return COMMANDS[name]
    commands = {**own_commands(), **COMMANDS}
    if name in commands:
        return commands[name]
    matches = [each for each in sorted(commands) if name and each.startswith(name)]
    if len(matches) == 1:
        return commands[matches[0]]
    if matches:
        raise UsageError(f"/{name} is ambiguous: {', '.join('/' + match for match in matches)}")
    near = difflib.get_close_matches(name, commands, n=1)
    hint = f"did you mean /{near[0]}?" if near else "/help lists the commands"
    raise UsageError(f"unknown command /{name}; {hint} (to send a message that starts with a slash, type it twice)")


def own_commands() -> dict[str, Command]:
    """Return the commands that the user has defined in files, without those that are named as a built-in one."""
    from swarmchat.cli.settings import wiring
    from swarmchat.cli.slash.templates import read_templates

    templates = read_templates(wiring.commands_folder())
    return {name: _own_command(template) for name, template in templates.items() if name not in COMMANDS}


def _own_command(template: "Template") -> Command:
    async def run(chat: ChatContext, argument: str) -> CommandResult:
        return CommandResult(send=template.fill(argument), attach=template.text)

    def check(swarm: Swarm, argument: str) -> None:
        template.fill(argument)

    command = Command(template.name, template.description or template.problem, template.arguments, check=check)
    command.run = run
    return command
