"""A command line that is still being typed, and the commands and options that can follow."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Candidate = tuple[str, str]
"""A text that completes the word, and a few words about it."""


@dataclass
class PartialCommandLine:
    """The command line before the word that is being typed."""

    command: Any
    path: tuple[str, ...] = ()
    given: dict[str, str] = field(default_factory=dict)
    """The values of options, by their names."""
    waiting: Any = None
    """The option whose value is being typed."""
    switches: set[str] = field(default_factory=set)
    """The names of the flags that were given."""
    words: list[str] = field(default_factory=list)
    """The positional arguments."""
    plain: bool = False
    """Whether ``--`` has ended the options."""


def read_typed(root: Any, words: Sequence[str]) -> PartialCommandLine:
    """Parse ``words``, starting at the program's command ``root``. Anything that is not a command goes to the chat."""
    typed = PartialCommandLine(root)
    for word in words:
        if typed.waiting is not None:
            typed.given[typed.waiting.name] = word
            typed.waiting = None
        elif word == "--" and not typed.plain:
            typed.plain = True
            typed.command = _default(typed.command)
        elif word.startswith("-") and word != "-" and not typed.plain:
            _take_option(typed, word)
        elif word in getattr(typed.command, "commands", {}) and not typed.plain:
            typed.command, typed.path = typed.command.commands[word], (*typed.path, word)
        else:
            typed.command = _default(typed.command)
            typed.words.append(word)
    return typed


def _take_option(typed: PartialCommandLine, word: str) -> None:
    name, equals, value = word.partition("=")
    if name not in _options(typed.command):
        typed.command = _default(typed.command)
    known = _options(typed.command)
    option = known.get(name)
    if option is None and not word.startswith("--") and (option := known.get(word[:2])):
        equals, value = "=", word[2:]
    if option is None:
        return
    if not takes_value(option):
        typed.switches.add(option.name)
    elif equals:
        typed.given[option.name] = value
    else:
        typed.waiting = option


def _default(command: Any) -> Any:
    """Return the chat for the program itself, any other command for itself."""
    return getattr(command, "commands", {}).get("chat", command)


def _options(command: Any) -> dict[str, Any]:
    return {
        name: param for param in command.params if is_option(param) for name in (*param.opts, *param.secondary_opts)
    }


def is_option(param: Any) -> bool:
    """Whether a parameter is an option, not an argument."""
    return bool(param.param_type_name == "option")


def takes_value(option: Any) -> bool:
    """Whether an option is followed by a value."""
    return not (option.is_flag or getattr(option, "count", False))


def commands(command: Any) -> list[Candidate]:
    """Return the commands of a group."""
    inner: Mapping[str, Any] = getattr(command, "commands", {})
    return [(name, each.get_short_help_str(70)) for name, each in inner.items() if not each.hidden]


def options(typed: PartialCommandLine) -> list[Candidate]:
    """Return the options of the command, in the long form where one exists."""
    both = (
        [typed.command]
        if typed.path
        else list({id(each): each for each in (typed.command, _default(typed.command))}.values())
    )
    found = {}
    for command in both:
        for param in command.params:
            if is_option(param) and not param.hidden:
                found[max(param.opts, key=len)] = _first_line(param.help)
    return [*found.items(), ("--help", "Show this message and exit.")]


def argument(typed: PartialCommandLine) -> Any:
    """Return the argument that is being typed; ``None`` if the command takes no more."""
    arguments = [param for param in typed.command.params if not is_option(param)]
    for position, param in enumerate(arguments):
        if position == len(typed.words) or param.nargs == -1:
            return param
    return None


def _first_line(text: str | None) -> str:
    return (text or "").strip().split("\n")[0]
