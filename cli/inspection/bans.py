"""``swarmchat bans``: list, add and lift bans of clients."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from swarmchat.cli.app import options
from swarmchat.cli.app.typer_app import Commands
from swarmchat.cli.inspection.run import run_on_reader
from swarmchat.cli.terminal.printing import print_rows

if TYPE_CHECKING:
    from swarmchat.cli.inspection.reader import StoreReader

bans_app = Commands(help="See, add and lift bans.", no_args_is_help=True)

PolicyName = Annotated[str | None, typer.Option("--policy", help="Policy; default: all policies of the swarm.")]


@bans_app.command("list")
@options.settings("swarm", "policy", *options.SHARED_STORE)
def list_bans(policy: PolicyName = None, *, flags: options.Flags, as_json: options.Json = False) -> None:
    """List the bans: who, by which policy, since when and why."""

    async def work(reader: "StoreReader") -> None:
        primitives = reader.primitives()
        bans = [ban for name in _policies(reader, policy) for ban in await primitives.policy(name).list()]
        print_rows([asdict(ban) for ban in bans], as_json, "{client}  {policy}  {since}  {why}")

    run_on_reader(flags, work)


@bans_app.command("add")
@options.settings("swarm", "policy", "why", "seconds", *options.SHARED_STORE)
def add_ban(
    client: Annotated[str, typer.Argument(help="Client to ban.")],
    policy: Annotated[
        str | None, typer.Option("--policy", help="Policy that bans; default: the swarm's first one.")
    ] = None,
    why: Annotated[str, typer.Option(help="Reason.")] = "banned by hand",
    seconds: Annotated[
        float | None, typer.Option("--for", min=0.001, help="How long, in seconds; default: until lifted.")
    ] = None,
    *,
    flags: options.Flags,
) -> None:
    """Ban a client. It takes effect with its next message, wherever it is online."""

    async def work(reader: "StoreReader") -> None:
        from datetime import UTC, datetime

        from swarmchat.swarm.persistence.records import timestamp

        name = _policies(reader, policy)[0]
        await reader.primitives().policy(name).ban(client, why, timestamp(datetime.now(UTC)), seconds)

    run_on_reader(flags, work)


@bans_app.command("lift")
@options.settings("swarm", "policy", *options.SHARED_STORE)
def lift_ban(
    client: Annotated[str, typer.Argument(help="Client whose ban to lift.")],
    policy: PolicyName = None,
    *,
    flags: options.Flags,
) -> None:
    """Lift the bans of a client. Exit code 66 if it is not banned."""

    async def work(reader: "StoreReader") -> None:
        from swarmchat.cli.errors import NotFoundError

        primitives = reader.primitives()
        lifted = [await primitives.policy(name).lift(client) for name in _policies(reader, policy)]
        if not any(lifted):
            raise NotFoundError(f"{client!r} is not banned")

    run_on_reader(flags, work)


def _policies(reader: "StoreReader", name: str | None) -> list[str]:
    from swarmchat.cli.errors import UsageError

    names = [policy.name for policy in reader.swarm.policies]
    if not names:
        raise UsageError(f"swarm {reader.swarm.name!r} has no policies; choose another swarm with -S SWARM")
    if name is not None:
        reader.primitives().policy(name)
        return [name]
    return names
