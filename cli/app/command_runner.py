"""Run what a command does, then leave with its exit code. Imports nothing heavy until a command runs."""

from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn

import typer
from swarmchat.cli.app.options import Flags

if TYPE_CHECKING:
    from swarmchat.cli.app.runner import Work
    from swarmchat.cli.settings.store import OpenStore


def run_and_exit(prepare: "Callable[[], Work]") -> NoReturn:
    """Run the work that ``prepare`` returns; exit with its code, or with that of an error, which is printed."""
    from swarmchat.cli.app.runner import run_to_exit_code

    raise typer.Exit(run_to_exit_code(prepare))


def run_interruptible(prepare: "Callable[[], Work]") -> NoReturn:
    """Do the same, with SIGINT, SIGTERM and SIGHUP cancelling the work, so that it can clean up."""
    from swarmchat.cli.app.signals import run_until_signal

    async def run() -> int | None:
        return await run_until_signal(prepare(), "SIGINT", "SIGTERM", "SIGHUP")

    run_and_exit(run)


def run_on_store(flags: Flags, work: "Callable[[OpenStore], Work]") -> NoReturn:
    """Run interruptible ``work`` on the store that ``flags`` choose, and exit with its code."""

    async def run() -> int | None:
        from swarmchat.cli.settings import wiring
        from swarmchat.cli.settings.store import open_store

        async with open_store(wiring.apply_settings(flags)) as store:
            return await work(store)

    run_interruptible(run)
