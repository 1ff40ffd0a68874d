"""A command line that is still being typed, and the commands and options that can follow."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from swarmchat.cli.settings.settings import Settings

Candidate = tuple[str, str]
"""A text that completes the word, and its description."""


@dataclass
class PartialCommandLine:
    """The command line before the word that is being typed."""

    command: Any
    path: tuple[str, ...] = ()
    options: dict[str, str] = field(default_factory=dict)
    """Values of options, by parameter name."""
    waiting: Any = None
    """The option whose value is being typed."""
    switches: set[str] = field(default_factory=set)
    """Names of the flags that were typed."""
    words: list[str] = field(default_factory=list)
    """The positional arguments."""
    plain: bool = False
    """Whether ``--`` has ended the options."""

    def settings(self) -> "Settings":
        """Return the settings that the command would have; invalid ones are left out."""
        from swarmchat.cli.settings import wiring
        from swarmchat.cli.settings.settings import Settings

        flags = {name: value for name, value in self.options.items() if name in Settings.__dataclass_fields__}
        return wiring.read_settings(flags, complain=lambda error: None)


Finder = Callable[[PartialCommandLine], list[Candidate]]
"""Finds the candidates that can follow a command line."""


def read_typed(root: Any, words: Sequence[str]) -> PartialCommandLine:
    """Parse ``words``, starting at the program's command ``root``. Anything that is not a command goes to the chat."""
    typed = PartialCommandLine(root)
    for word in words:
        if typed.waiting is not None:
            typed.options[typed.waiting.name] = word
            typed.waiting = None
        elif word == "--" and not typed.plain:
            typed.plain = True
            typed.command = default(typed.command)
        elif word.startswith("-") and word != "-" and not typed.plain:
            _take_option(typed, word)
        elif word in getattr(typed.command, "commands", {}) and not typed.plain:
            typed.command, typed.path = typed.command.commands[word], (*typed.path, word)
        else:
            typed.command = default(typed.command)
            typed.words.append(word)
    return typed


def _take_option(typed: PartialCommandLine, word: str) -> None:
    name, equals, value = word.partition("=")
    if name not in _options(typed.command):
        typed.command = default(typed.command)
    options = _options(typed.command)
    option = options.get(name)
    if option is None and not word.startswith("--") and (option := options.get(word[:2])):
        equals, value = "=", word[2:]
    if option is None:
        return
    if not takes_value(option):
        typed.switches.add(option.name)
    elif equals:
        typed.options[option.name] = value
    else:
        typed.waiting = option


def default(command: Any) -> Any:
    """Return the command that a group runs when no other one is named; any other command is returned itself."""
    return getattr(command, "commands", {}).get(getattr(command, "default_command", None), command)


def _options(command: Any) -> dict[str, Any]:
    return {name: param for param in command.params if is_option(param) for name in param.opts + param.secondary_opts}


def is_option(param: Any) -> bool:
    """Whether a parameter is an option, not an argument."""
    return bool(param.param_type_name == "option")


def takes_value(option: Any) -> bool:
    """Whether an option is followed by a value."""
    return not (option.is_flag or getattr(option, "count", False))


def commands(command: Any) -> list[Candidate]:
    """Return the commands of a group."""
    return [(name, each.get_short_help_str(70)) for name, each in command.commands.items() if not each.hidden]


def options(typed: PartialCommandLine) -> list[Candidate]:
    """Return the options of the command, in the long form where one exists."""
    params = list(typed.command.params)
    if not typed.path and (chat := default(typed.command)) is not typed.command:
        params += chat.params
    visible = {
        max(param.opts, key=len): (param.help or "").strip().split("\n")[0]
        for param in params
        if is_option(param) and not param.hidden
    }
    return [*visible.items(), ("--help", "Show this message and exit.")]


def argument(typed: PartialCommandLine) -> Any:
    """Return the argument that is being typed; ``None`` if the command takes no more."""
    arguments = [param for param in typed.command.params if not is_option(param)]
    fitting = (each for index, each in enumerate(arguments) if index == len(typed.words) or each.nargs == -1)
    return next(fitting, None)
