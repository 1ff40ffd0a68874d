"""``swarmchat state``, ``storage``, ``memory``, ``bans`` and ``online``: data stored with conversations."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from swarmchat.cli.app import options
from swarmchat.cli.app.command_runner import run_and_exit
from swarmchat.cli.app.typer_app import Commands
from swarmchat.cli.errors import NotFoundError, UsageError
from swarmchat.cli.terminal.printing import as_line, print_json, print_rows, print_values

if TYPE_CHECKING:
    from swarmchat.cli.inspection.reader import StoreReader

bans_app = Commands(help="See, add and lift bans.", no_args_is_help=True)

PolicyName = Annotated[str | None, typer.Option("--policy", help="Policy; default: all policies of the swarm.")]


def run_on_reader(flags: options.Flags, work: "Callable[[StoreReader], Awaitable[int | None]]") -> NoReturn:
    """Run ``work`` on the store and the swarm that ``flags`` choose; exit with its code, or with that of an error."""

    async def run() -> int | None:
        from swarmchat.cli.inspection.reader import open_reader

        async with open_reader(flags) as reader:
            return await work(reader)

    run_and_exit(run)


@options.settings("shared", *options.STORE)
def state(
    name: Annotated[str | None, typer.Argument(help="State; default: all states.")] = None,
    session: options.OtherSession = None,
    clear: Annotated[bool, typer.Option("--clear", help="Reset it to its default.")] = False,
    shared: Annotated[bool, typer.Option("--shared", help="The states that all sessions and clients share.")] = False,
    *,
    flags: options.Flags,
    as_json: options.Json = False,
) -> None:
    """Show the states of a session, which may be in use."""

    async def work(reader: "StoreReader") -> None:
        from swarmchat.backends import Delete
        from swarmchat.swarm.persistence import keys

        if shared:
            prefix, whose = keys.shared_states(), "shared state"
        else:
            info = await reader.session(session)
            prefix, whose = keys.session_states(reader.client, info.id), f"state of session {info.name!r}"
        selected = _select(await reader.values(prefix), name, whose)
        if clear:
            await reader.backend.commit(*(Delete(prefix + keys.escape(each)) for each in selected))
        else:
            print_values(selected, as_json)

    run_on_reader(flags, work)


@options.settings("swarm", "search", "total", "shared", *options.STORE)
def storage(
    name: Annotated[str, typer.Argument(help="Storage.")],
    search: Annotated[
        str | None, typer.Option("--search", help="Only items that match this description, best first.")
    ] = None,
    total: Annotated[int, typer.Option(min=1, help="Maximum number of matches.")] = 5,
    shared: Annotated[bool, typer.Option("--shared", help="The storage that all clients share.")] = False,
    *,
    flags: options.Flags,
    as_json: options.Json = False,
) -> None:
    """Show the items of a storage. With -S, its default items are included, and it can be searched."""

    async def work(reader: "StoreReader") -> None:
        from swarmchat.cli.inspection.reader import to_json
        from swarmchat.swarm.persistence import keys

        if flags["swarm"] is None:
            if search is not None:
                raise UsageError("--search needs the swarm that declares the storage: -S SWARM")
            print_values(await reader.values(keys.storage_items(None if shared else reader.client, name)), as_json)
            return
        items = reader.primitives().storage(name)
        if search is None:
            print_values({key: to_json(item) for key, item in await items.items()}, as_json)
            return
        hits = await items.search(search, total)
        if as_json:
            print_json([{"id": hit.id, "score": round(hit.score, 3), "item": to_json(hit.item)} for hit in hits])
        else:
            for hit in hits:
                print(f"{hit.score:.2f}  {as_line(to_json(hit.item))}")

    run_on_reader(flags, work)


@options.settings(*options.STORE)
def memory(
    name: Annotated[str | None, typer.Argument(help="Entry; default: all entries.")] = None,
    value: Annotated[str | None, typer.Option("--set", help="Save this text, or JSON.")] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Remove the entry.")] = False,
    *,
    flags: options.Flags,
    as_json: options.Json = False,
) -> None:
    """Show or change a client's memory.

    \b
    swarmchat memory                      show all entries
    swarmchat memory name --set Ann
    """

    async def work(reader: "StoreReader") -> None:
        from swarmchat.cli.inspection.reader import json_or_text

        entries = reader.primitives().memory
        if (value is not None or remove) and name is None:
            raise UsageError("--set and --remove need a NAME")
        if value is not None and name is not None:
            await entries.set(name, json_or_text(value))
            return
        selected = _select(await entries.all(), name, f"memory of {reader.client!r}")
        if remove and name is not None:
            await entries.remove(name)
        else:
            print_values(selected, as_json)

    run_on_reader(flags, work)


@bans_app.command("list")
@options.settings("swarm", "policy", *options.SHARED_STORE)
def list_bans(policy: PolicyName = None, *, flags: options.Flags, as_json: options.Json = False) -> None:
    """List the bans: who, by which policy, since and until when, and why."""

    async def work(reader: "StoreReader") -> None:
        primitives = reader.primitives()
        bans = [ban for name in _policies(reader, policy) for ban in await primitives.policy(name).list()]
        rows = [asdict(ban) for ban in bans]
        if not as_json:
            rows = [{**row, "until": row["until"] or "lifted"} for row in rows]
        print_rows(rows, as_json, "{client}  {policy}  {since} until {until}  {why}")

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
        primitives = reader.primitives()
        lifted = [await primitives.policy(name).lift(client) for name in _policies(reader, policy)]
        if not any(lifted):
            raise NotFoundError(f"{client!r} is not banned")

    run_on_reader(flags, work)


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


def _policies(reader: "StoreReader", name: str | None) -> list[str]:
    names = [policy.name for policy in reader.swarm.policies]
    if not names:
        raise UsageError(f"swarm {reader.swarm.name!r} has no policies; choose another swarm with -S SWARM")
    if name is not None:
        reader.primitives().policy(name)
        return [name]
    return names


def _select(values: dict[str, Any], name: str | None, where: str) -> dict[str, Any]:
    """Return the value ``name`` only, or all of them for ``None``. Raises NotFoundError."""
    from swarmchat.swarm.common.names import nearest

    if name is None:
        return values
    if name not in values:
        raise NotFoundError(f"no {name!r} in the {where}; {nearest(name, values)}")
    return {name: values[name]}
