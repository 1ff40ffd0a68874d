"""``swarmchat online``: who talks to a swarm, for scripts that wait until nobody does."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from swarmchat.cli.app import options
from swarmchat.cli.inspection.run import show_look
from swarmchat.cli.terminal.printing import print_rows

if TYPE_CHECKING:
    from swarmchat.cli.inspection.reader import StoreReader


def online(
    swarm: options.SwarmName = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until nobody is online.")] = False,
    backend: options.Backend = None,
    redis_url: options.RedisUrl = None,
    data_dir: options.DataDir = None,
    profile: options.Profile = None,
    as_json: options.Json = False,
) -> None:
    """List who is online. Exit code 0 when nobody is, else 1: for scripts that maintain the system."""

    async def show(look: "StoreReader") -> int:
        import asyncio

        from swarmchat.swarm.primitives.presence import PersistAlive

        alive = PersistAlive(look.backend, look.swarm.name)
        while wait and await alive.online():  # noqa: ASYNC110 - nothing tells when a key runs out in a store
            await asyncio.sleep(1)
        present = await alive.online()
        rows = [asdict(presence) for presence in present]
        print_rows(rows, as_json, "{client}  {session}  {agent}  since {since}  {host}")
        return 1 if present else 0

    show_look(show, swarm=swarm, backend=backend, redis_url=redis_url, data_dir=data_dir, profile=profile)
