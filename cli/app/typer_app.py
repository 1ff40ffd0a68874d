"""Commands whose arguments are taken as they are typed, as long as all of them are texts and flags.

Typer has pydantic check every value, even of options that were not given. To import it takes a quarter of the time
until the first prompt, and a text is a text without it.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

_Function = TypeVar("_Function", bound=Callable[..., Any])

_TEXTS = (str, list[str])
"""As what a parameter is declared that needs no conversion."""
_WHOLE = 400
"""Letters of a command's first sentence: more than any has."""


class PlainGroup(TyperGroup):
    """A group for which ``--help`` that was not given is no."""

    def get_help_option(self, ctx: Any) -> Any:
        """Return the option, if there is one. Its default is None in typer, which it would have checked."""
        option = super().get_help_option(ctx)
        if option is not None:
            option.default = False
        return option

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands with what they do, in full: typer would cut it to fit on a line."""
        found = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl([(name, each.get_short_help_str(_WHOLE)) for name, each in found if each])


class PlainCommand(TyperCommand):
    """A command that leaves to typer what needs it: numbers, paths, ``--help``, and what is wrong."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the values of all parameters into ``ctx``; return what is left of ``args``."""
        given, rest, _ = self.make_parser(ctx).parse_args(args=list(args))
        values = [(param, *param.consume_value(ctx, given)) for param in self.get_params(ctx)]
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
        # There is a command for completion, whose candidates know sessions and models.
        # The rich help pages would cost as much time as everything else together.
        super().__init__(**{"cls": PlainGroup, "add_completion": False, "rich_markup_mode": None, **settings})

    def command(self, *args: Any, **settings: Any) -> Callable[[_Function], _Function]:
        """Declare a command, as with typer."""
        return super().command(*args, **{"cls": PlainCommand, **settings})


def _is_as_typed(param: Any, value: object) -> bool:
    if param.callback is not None:
        # What --help does, it does when it is processed.
        return not value
    if value is None or isinstance(value, bool):
        return not param.required
    return param.type_descriptor.annotation in _TEXTS
