"""The command `swarmchat operator`."""

from typing import Annotated

import typer
from swarmchat.cli.app import options
from swarmchat.cli.app.command_runner import run_and_exit


@options.settings("swarm", "listed", "person", "operator", *options.STORE)
def operator(
    person: Annotated[str | None, typer.Option("--name", help="Your name, as users see it; default: --client.")] = None,
    operator: Annotated[
        str | None, typer.Option("--operator", help="Operator of the swarm to answer for; default: all of them.")
    ] = None,
    listed: Annotated[bool, typer.Option("--list", help="List the waiting users and exit.")] = False,
    *,
    flags: options.Flags,
    as_json: options.Json = False,
) -> None:
    """Answer users that agents hand over to a person: list the waiting users, take one, chat, hand back.

    \b
    swarmchat operator -S helpdesk --name Anna     on any machine that reaches the store
    swarmchat operator -S helpdesk --list --json   list waiting users, for scripts
    """

    async def run() -> None:
        from swarmchat.cli.errors import UsageError
        from swarmchat.cli.inspection.reader import open_reader
        from swarmchat.cli.operator.desk import DeskChat
        from swarmchat.cli.operator.waiting import print_waiting
        from swarmchat.cli.settings.wiring import session_settings
        from swarmchat.cli.terminal.capabilities import is_terminal
        from swarmchat.swarm.session.desk import OperatorDesk

        async with open_reader(flags) as reader:
            if reader.settings.backend == "memory":
                raise UsageError("other programs cannot reach a store in memory: choose -b disk or -b redis")
            lifetimes = session_settings(reader.settings).lifetimes
            desk = OperatorDesk(reader.backend, reader.swarm, person or reader.client, operator, lifetimes)
            if listed or as_json:
                await print_waiting(desk, as_json)
                return
            if not is_terminal():
                raise UsageError("the desk of an operator needs a terminal; --list prints the waiting users")
            async with desk:
                await DeskChat(desk).run()

    run_and_exit(run)
