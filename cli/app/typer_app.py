"""Commands of typer that start fast: text and flags are parsed without pydantic.

Typer has pydantic check every value, even of options that were not given. Importing it takes a quarter of the time
until the first prompt, and text needs no conversion.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

_Function = TypeVar("_Function", bound=Callable[..., Any])

_TEXTS = (str, list[str])
"""Types of parameters that need no conversion."""
_WHOLE = 400
"""Maximum length of a command's first sentence; none is longer."""


class PlainGroup(TyperGroup):
    """A command group that does not treat a missing argument as ``--help``."""

    def get_help_option(self, ctx: Any) -> Any:
        """Return the option, if the group has one. Typer's default is None, which pydantic would check."""
        option = super().get_help_option(ctx)
        if option is not None:
            option.default = False
        return option

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands with their full first sentence, which typer would cut to one line."""
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl([(name, each.get_short_help_str(_WHOLE)) for name, each in commands if each])


class GroupWithDefault(PlainGroup):
    """A group whose first command handles all words that do not start with another command's name."""

    @property
    def default_command(self) -> str:
        """The name of the first command."""
        return next(iter(self.commands))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the name of the first command before ``args`` if they need it."""
        if args and args[0] not in self.commands and args[0] not in ("-h", "--help"):
            args = [self.default_command, *args]
        return super().parse_args(ctx, args)


class PlainCommand(TyperCommand):
    """A command that parses text and flags itself, and leaves numbers, paths, ``--help`` and errors to typer."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the values of all parameters into ``ctx``; return the unused words of ``args``."""
        words, rest, _ = self.make_parser(ctx).parse_args(args=list(args))
        values = [(param, *param.consume_value(ctx, words)) for param in self.get_params(ctx)]
        if rest or not all(_is_as_typed(param, value) for param, value, _ in values):
            return super().parse_args(ctx, args)
        for param, value, source in values:
            ctx.set_parameter_source(param.name, source)
            if param.expose_value:
                several = param.multiple or param.nargs == -1
                ctx.params[param.name] = () if value is None and several else value
        return rest


class Commands(typer.Typer):
    """A plain group of plain commands."""

    def __init__(self, **settings: Any) -> None:
        # Our own completion command knows sessions and models, too.
        # The rich help pages would cost as much time as everything else together.
        super().__init__(**{"cls": PlainGroup, "add_completion": False, "rich_markup_mode": None, **settings})

    def command(self, *args: Any, **settings: Any) -> Callable[[_Function], _Function]:
        """Declare a command, as with typer."""
        return super().command(*args, **{"cls": PlainCommand, **settings})


def _is_as_typed(param: Any, value: object) -> bool:
    if param.callback is not None:
        # The callback of --help runs when typer parses.
        return not value
    if value is None or isinstance(value, bool):
        return not param.required
    return param.type_descriptor.annotation in _TEXTS
