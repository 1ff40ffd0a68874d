"""Run a command that looks at what is stored. Loads nothing until the command runs."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import typer
from swarmchat.cli.app import options

if TYPE_CHECKING:
    from swarmchat.cli.inspection.reader import StoreReader


def show_look(show: Callable[["StoreReader"], Awaitable[int | None]], **given: object) -> None:
    """Run ``show`` on the store that the options ``given`` name; exit with its code, or with that of an error."""
    from swarmchat.cli.app.runner import run_to_exit_code

    async def run() -> int | None:
        from swarmchat.cli.inspection.reader import open_reader

        async with open_reader(options.flags(**given)) as look:
            return await show(look)

    raise typer.Exit(run_to_exit_code(run))
