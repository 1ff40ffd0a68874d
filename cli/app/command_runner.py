"""Run the work of a command and turn its outcome into an exit code. Imports nothing heavy until a command runs."""

import sys
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, NoReturn

import typer
from swarmchat.cli.app.options import Flags

if TYPE_CHECKING:
    from swarmchat.cli.settings.store import OpenStore

Work = Coroutine[Any, Any, int | None]
"""What a command does; it returns the exit code."""


def run_to_exit_code(prepare: Callable[[], Work]) -> int:
    """Run the work that ``prepare`` returns; return its exit code, or that of an error, which is printed."""
    import asyncio

    from swarmchat.backends import BackendError
    from swarmchat.cli.app.signals import Interrupted
    from swarmchat.cli.errors import CliError
    from swarmchat.swarm.errors import SwarmError

    try:
        return asyncio.run(prepare()) or 0
    except (SwarmError, BackendError, CliError) as error:
        from swarmchat.cli.render.renderer import Renderer
        from swarmchat.cli.terminal.capabilities import wants_colour

        Renderer(colour=wants_colour(sys.stderr)).error(str(error))
        return error.exit_code
    except Interrupted as interrupted:
        return interrupted.exit_code
    except KeyboardInterrupt:
        return 130


def run_and_exit(prepare: Callable[[], Work]) -> NoReturn:
    """Run the work that ``prepare`` returns, and exit with its code."""
    raise typer.Exit(run_to_exit_code(prepare))


def run_interruptible(prepare: Callable[[], Work]) -> NoReturn:
    """Run and exit, with SIGINT, SIGTERM and SIGHUP cancelling the work, so that it can clean up."""
    from swarmchat.cli.app.signals import run_until_signal

    run_and_exit(lambda: run_until_signal(prepare(), "SIGINT", "SIGTERM", "SIGHUP"))


def run_on_store(flags: Flags, work: "Callable[[OpenStore], Work]") -> NoReturn:
    """Run interruptible ``work`` on the store that ``flags`` choose, and exit with its code."""

    async def run() -> int | None:
        from swarmchat.cli.settings import wiring
        from swarmchat.cli.settings.store import open_store

        async with open_store(wiring.apply_settings(flags)) as store:
            return await work(store)

    run_interruptible(run)
