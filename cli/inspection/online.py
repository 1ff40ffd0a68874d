"""``swarmchat online``: list who is online with a swarm, or wait until nobody is."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from swarmchat.cli.app import options
from swarmchat.cli.inspection.run import run_on_reader
from swarmchat.cli.terminal.printing import print_rows

if TYPE_CHECKING:
    from swarmchat.cli.inspection.reader import StoreReader


@options.settings("swarm", "wait", *options.SHARED_STORE)
def online(
    wait: Annotated[bool, typer.Option("--wait", help="Wait until nobody is online.")] = False,
    *,
    flags: options.Flags,
    as_json: options.Json = False,
) -> None:
    """List who is online. Exit code 0 if nobody is, else 1: for maintenance scripts."""

    async def work(reader: "StoreReader") -> int:
        import asyncio

        from swarmchat.swarm.primitives.presence import PersistAlive

        alive = PersistAlive(reader.backend, reader.swarm.name)
        while wait and await alive.online():  # noqa: ASYNC110 - a store does not tell when a key expires
            await asyncio.sleep(1)
        present = await alive.online()
        rows = [asdict(presence) for presence in present]
        print_rows(rows, as_json, "{client}  {session}  {agent}  since {since}  {host}")
        return 1 if present else 0

    run_on_reader(flags, work)
