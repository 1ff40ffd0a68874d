"""``swarmchat state``, ``memory``, ``bans`` and ``online``: data stored with conversations."""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, NoReturn
from urllib.parse import unquote

import typer
from swarmchat.cli.app import options
from swarmchat.cli.app.command_runner import run_and_exit
from swarmchat.cli.app.typer_app import Commands
from swarmchat.cli.errors import NotFoundError, UsageError
from swarmchat.cli.terminal.printing import print_rows, print_values

if TYPE_CHECKING:
    from swarmchat.cli.inspection.reader import StoreReader

bans_app = Commands(help="List, add and lift bans.", no_args_is_help=True)

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
    clear: Annotated[bool, typer.Option("--clear", help="Reset the state to its default.")] = False,
    shared: Annotated[
        bool, typer.Option("--shared", help="Show the states that all sessions and clients share.")
    ] = False,
    *,
    flags: options.Flags,
    as_json: options.Json = False,
) -> None:
    """Show the states of a session, which may be in use."""

    async def work(reader: "StoreReader") -> None:
        from datetime import UTC, datetime

        from swarmchat.backends import Delete
        from swarmchat.cli.settings.wiring import session_settings
        from swarmchat.swarm.archive.sessions import clear_states
        from swarmchat.swarm.persistence import keys

        info = None
        if shared:
            prefix, whose = keys.shared_states(), "shared state"
        else:
            info = await reader.session(session)
            prefix, whose = keys.session_states(reader.client, info.id), f"state of session {info.name!r}"
        states = await reader.values(prefix)
        paths = _paths_by_name(states)
        selected = _select({each: states[path] for each, path in paths.items()}, name, whose)
        if clear and info is not None:
            lifetime = session_settings(reader.settings).lifetimes.session
            await clear_states(
                reader.backend, info, [unquote(paths[each]) for each in selected], datetime.now(UTC), lifetime
            )
        elif clear:
            await reader.backend.commit(*(Delete(prefix + paths[each]) for each in selected))
        else:
            print_values(selected, as_json)

    run_on_reader(flags, work)


@options.settings("swarm", *options.STORE)
def memory(
    name: Annotated[str | None, typer.Argument(help="Entry; default: all entries.")] = None,
    value: Annotated[str | None, typer.Option("--set", help="Save this text, or JSON.")] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Remove the entry.")] = False,
    *,
    flags: options.Flags,
    as_json: options.Json = False,
) -> None:
    """Show or change a client's memory; each swarm has its own.

    \b
    swarmchat memory -S helpdesk          show all entries
    swarmchat memory -S helpdesk name --set Ann
    """

    async def work(reader: "StoreReader") -> None:
        from swarmchat.cli.inspection.reader import json_or_text
        from swarmchat.cli.render.renderer import remark

        entries = reader.primitives().memory
        if (value is not None or remove) and name is None:
            raise UsageError("--set and --remove need a NAME")
        if value is not None and name is not None:
            reader.must_last()
            await entries.set(name, json_or_text(value))
            return
        content = await entries.all()
        if not content and (others := await reader.scopes_with_memory()):
            remark(f"swarms with a memory of {reader.client}: {', '.join(others)}; choose one with -S")
        selected = _select(content, name, f"memory of {reader.client!r} in swarm {reader.swarm.name!r}")
        if remove and name is not None:
            await entries.remove(name)
        else:
            print_values(selected, as_json)

    run_on_reader(flags, work)


@bans_app.command("list")
@options.settings("swarm", "policy", *options.SHARED_STORE)
def list_bans(policy: PolicyName = None, *, flags: options.Flags, as_json: options.Json = False) -> None:
    """List the bans: client, policy, start, end and reason."""

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
    """Ban a client. The ban takes effect with the client's next message, in any process."""

    async def work(reader: "StoreReader") -> None:
        from datetime import UTC, datetime

        from swarmchat.swarm.persistence.records import timestamp

        name = _policies(reader, policy)[0]
        reader.must_last()
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
    """List the clients that are online. Exit code 1 if any is online, otherwise 0: for maintenance scripts."""

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


def _paths_by_name(paths: Iterable[str]) -> dict[str, str]:
    """Return the last parts of the keys of states by the names of the states.

    The swarm goes before a name that several swarms have: ``shop/count``.
    """
    names = {path: unquote(path.rpartition("/")[2]) for path in paths}
    counts = Counter(names.values())
    return {name if counts[name] == 1 else unquote(path): path for path, name in names.items()}


def _select(values: dict[str, Any], name: str | None, where: str) -> dict[str, Any]:
    """Return the value ``name`` only, or all of them for ``None``. Raises NotFoundError."""
    from swarmchat.swarm.common.names import nearest

    if name is None:
        return values
    if name not in values:
        raise NotFoundError(f"no {name!r} in the {where}; {nearest(name, values)}")
    return {name: values[name]}
