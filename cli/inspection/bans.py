"""``swarmchat bans``: who may not talk to a swarm."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from swarmchat.cli.app import options
from swarmchat.cli.app.typer_app import Commands
from swarmchat.cli.inspection.run import show_look
from swarmchat.cli.terminal.printing import print_rows

if TYPE_CHECKING:
    from swarmchat.cli.inspection.reader import StoreReader

bans_app = Commands(help="See, add and lift bans.", no_args_is_help=True)

PolicyName = Annotated[str | None, typer.Option("--policy", help="Which policy; all of the swarm's by default.")]


@bans_app.command("list")
def list_bans(
    swarm: options.SwarmName = None,
    policy: PolicyName = None,
    backend: options.Backend = None,
    redis_url: options.RedisUrl = None,
    data_dir: options.DataDir = None,
    profile: options.Profile = None,
    as_json: options.Json = False,
) -> None:
    """List who is banned, by which policy, since when and why."""

    async def show(look: "StoreReader") -> None:
        bans = [ban for each in _policies(look, policy) for ban in await look.primitives().policy(each).list()]
        print_rows([asdict(ban) for ban in bans], as_json, "{client}  {policy}  {since}  {why}")

    show_look(show, swarm=swarm, backend=backend, redis_url=redis_url, data_dir=data_dir, profile=profile)


@bans_app.command("add")
def add_ban(
    client: Annotated[str, typer.Argument(help="Whom.")],
    swarm: options.SwarmName = None,
    policy: Annotated[
        str | None, typer.Option("--policy", help="By which policy; the swarm's first by default.")
    ] = None,
    why: Annotated[str, typer.Option(help="Why.")] = "banned by hand",
    seconds: Annotated[float | None, typer.Option("--for", min=0.001, help="For so many seconds.")] = None,
    backend: options.Backend = None,
    redis_url: options.RedisUrl = None,
    data_dir: options.DataDir = None,
    profile: options.Profile = None,
) -> None:
    """Ban a client. It holds for its next message, wherever it is online."""

    async def show(look: "StoreReader") -> None:
        from datetime import UTC, datetime

        from swarmchat.swarm.persistence.records import timestamp

        name = _policies(look, policy)[0]
        await look.primitives().policy(name).ban(client, why, timestamp(datetime.now(UTC)), seconds)

    show_look(show, swarm=swarm, backend=backend, redis_url=redis_url, data_dir=data_dir, profile=profile)


@bans_app.command("lift")
def lift_ban(
    client: Annotated[str, typer.Argument(help="Whose.")],
    swarm: options.SwarmName = None,
    policy: PolicyName = None,
    backend: options.Backend = None,
    redis_url: options.RedisUrl = None,
    data_dir: options.DataDir = None,
    profile: options.Profile = None,
) -> None:
    """Lift the bans of a client. Exit code 66 if there was none."""

    async def show(look: "StoreReader") -> None:
        from swarmchat.cli.errors import NotFoundError

        lifted = [await look.primitives().policy(each).lift(client) for each in _policies(look, policy)]
        if not any(lifted):
            raise NotFoundError(f"{client!r} is not banned")

    show_look(show, swarm=swarm, backend=backend, redis_url=redis_url, data_dir=data_dir, profile=profile)


def _policies(look: "StoreReader", name: str | None) -> list[str]:
    from swarmchat.cli.errors import UsageError

    names = [policy.name for policy in look.swarm.policies]
    if not names:
        raise UsageError(f"swarm {look.swarm.name!r} has no policies; name another with -S SWARM")
    if name is not None:
        look.primitives().policy(name)
        return [name]
    return names
