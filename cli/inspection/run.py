"""Run a command that reads a store. Loads nothing until the command runs."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, NoReturn

from swarmchat.cli.app.command_runner import run_and_exit
from swarmchat.cli.app.options import Flags

if TYPE_CHECKING:
    from swarmchat.cli.inspection.reader import StoreReader


def run_on_reader(flags: Flags, work: "Callable[[StoreReader], Awaitable[int | None]]") -> NoReturn:
    """Run ``work`` on the store that ``flags`` choose; exit with its code, or with that of an error."""

    async def run() -> int | None:
        from swarmchat.cli.inspection.reader import open_reader

        async with open_reader(flags) as reader:
            return await work(reader)

    run_and_exit(run)
