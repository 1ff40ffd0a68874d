"""``swarmchat state``, ``storage``, ``memory``, ``bans`` and ``online``: what is kept beside the conversations."""

import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer
from swarmchat.cli import options

if TYPE_CHECKING:
    from swarmchat.cli.looking import Look

bans_app = typer.Typer(help="See, add and lift bans.", rich_markup_mode=None, no_args_is_help=True)

PolicyName = Annotated[str | None, typer.Option("--policy", help="Which policy; all of the swarm's by default.")]


def state(
    name: Annotated[str | None, typer.Argument(help="Which state; all by default.")] = None,
    session: options.SessionName = None,
    clear: Annotated[bool, typer.Option("--clear", help="Forget it; its default holds again.")] = False,
    backend: options.Backend = None,
    client: options.Client = None,
    redis_url: options.RedisUrl = None,
    data_dir: options.DataDir = None,
    as_json: options.Json = False,
) -> None:
    """Show the states of a session, which may be in use."""

    async def show(look: "Look") -> None:
        from swarmchat.backends import Delete
        from swarmchat.swarm import keys

        info = await look.session(session)
        kept = await look.values(keys.session_states(look.client, info.id))
        if clear:
            chosen = [name] if name is not None else list(kept)
            await look.backend.commit(*(Delete(keys.session_state(look.client, info.id, each)) for each in chosen))
            return
        _print(_chosen(kept, name, f"state of session {info.name!r}"), as_json)

    _look(show, backend=backend, client=client, redis_url=redis_url, data_dir=data_dir)


def storage(
    name: Annotated[str, typer.Argument(help="Which storage.")],
    swarm: options.SwarmName = None,
    search: Annotated[str | None, typer.Option("--search", help="Only what this describes, best first.")] = None,
    total: Annotated[int, typer.Option(min=1, help="How many to find.")] = 5,
    shared: Annotated[bool, typer.Option("--shared", help="The one that all clients share.")] = False,
    backend: options.Backend = None,
    client: options.Client = None,
    redis_url: options.RedisUrl = None,
    data_dir: options.DataDir = None,
    as_json: options.Json = False,
) -> None:
    """Show the items of a storage. With -S, its default items are there too, and it can be searched."""

    async def show(look: "Look") -> None:
        from swarmchat.cli.errors import UsageError
        from swarmchat.swarm import keys

        if swarm is None:
            if search is not None:
                raise UsageError("--search needs the swarm that declares the storage: -S SWARM")
            _print(await look.values(keys.storage_items(None if shared else look.client, name)), as_json)
            return
        opened = look.primitives().storage(name)
        if search is None:
            _print({each: _plain(item) for each, item in await opened.items()}, as_json)
            return
        hits = await opened.search(search, total)
        if as_json:
            print(_json([{"id": hit.id, "score": round(hit.score, 3), "item": _plain(hit.item)} for hit in hits]))
        else:
            for hit in hits:
                print(f"{hit.score:.2f}  {_one(_plain(hit.item))}")

    _look(show, swarm=swarm, backend=backend, client=client, redis_url=redis_url, data_dir=data_dir)


def memory(
    name: Annotated[str | None, typer.Argument(help="What; everything by default.")] = None,
    value: Annotated[str | None, typer.Option("--set", help="Remember this text, or JSON.")] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Forget it.")] = False,
    backend: options.Backend = None,
    client: options.Client = None,
    redis_url: options.RedisUrl = None,
    data_dir: options.DataDir = None,
    as_json: options.Json = False,
) -> None:
    """Show or change what is remembered of a client."""

    async def show(look: "Look") -> None:
        from swarmchat.cli.errors import UsageError

        kept = look.primitives().memory
        if (value is not None or remove) and name is None:
            raise UsageError("--set and --remove need a NAME")
        if value is not None and name is not None:
            await kept.set(name, text_or_json(value))
        elif remove and name is not None:
            await kept.remove(name)
        else:
            _print(_chosen(await kept.all(), name, f"memory of {look.client!r}"), as_json)

    _look(show, backend=backend, client=client, redis_url=redis_url, data_dir=data_dir)


@bans_app.command("list")
def list_bans(
    swarm: options.SwarmName = None,
    policy: PolicyName = None,
    backend: options.Backend = None,
    redis_url: options.RedisUrl = None,
    data_dir: options.DataDir = None,
    as_json: options.Json = False,
) -> None:
    """List who is banned, by which policy, since when and why."""

    async def show(look: "Look") -> None:
        bans = [ban for each in _policies(look, policy) for ban in await look.primitives().policy(each).list()]
        if as_json:
            print(_json([vars_of(ban) for ban in bans]))
        for ban in () if as_json else bans:
            print(f"{ban.client}  {ban.policy}  {ban.since}  {ban.why}")

    _look(show, swarm=swarm, backend=backend, redis_url=redis_url, data_dir=data_dir)


@bans_app.command("add")
def add_ban(
    client: Annotated[str, typer.Argument(help="Whom.")],
    swarm: options.SwarmName = None,
    policy: PolicyName = None,
    why: Annotated[str, typer.Option(help="Why.")] = "banned by hand",
    seconds: Annotated[float | None, typer.Option("--for", min=0.001, help="For so many seconds.")] = None,
    backend: options.Backend = None,
    redis_url: options.RedisUrl = None,
    data_dir: options.DataDir = None,
) -> None:
    """Ban a client. It holds for its next message, wherever it is online."""

    async def show(look: "Look") -> None:
        from datetime import UTC, datetime

        from swarmchat.swarm.journal import timestamp

        name = _policies(look, policy)[0]
        await look.primitives().policy(name).ban(client, why, timestamp(datetime.now(UTC)), seconds)

    _look(show, swarm=swarm, backend=backend, redis_url=redis_url, data_dir=data_dir)


@bans_app.command("lift")
def lift_ban(
    client: Annotated[str, typer.Argument(help="Whose.")],
    swarm: options.SwarmName = None,
    policy: PolicyName = None,
    backend: options.Backend = None,
    redis_url: options.RedisUrl = None,
    data_dir: options.DataDir = None,
) -> None:
    """Lift the bans of a client. Exit code 66 if there was none."""

    async def show(look: "Look") -> None:
        from swarmchat.cli.errors import NotFoundError

        lifted = [await look.primitives().policy(each).lift(client) for each in _policies(look, policy)]
        if not any(lifted):
            raise NotFoundError(f"{client!r} is not banned")

    _look(show, swarm=swarm, backend=backend, redis_url=redis_url, data_dir=data_dir)


def online(
    swarm: options.SwarmName = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until nobody is online.")] = False,
    backend: options.Backend = None,
    redis_url: options.RedisUrl = None,
    data_dir: options.DataDir = None,
    as_json: options.Json = False,
) -> None:
    """List who is online. Exit code 0 when nobody is, else 1: for scripts that maintain the system."""

    async def show(look: "Look") -> int:
        import asyncio

        from swarmchat.swarm.alive import PersistAlive

        alive = PersistAlive(look.backend, look.swarm.name)
        while wait and await alive.online():  # noqa: ASYNC110 - nothing tells when a key runs out in a store
            await asyncio.sleep(1)
        present = await alive.online()
        if as_json:
            print(_json([vars_of(presence) for presence in present]))
        for presence in () if as_json else present:
            print(f"{presence.client}  {presence.session}  {presence.agent}  since {presence.since}  {presence.host}")
        return 1 if present else 0

    _look(show, swarm=swarm, backend=backend, redis_url=redis_url, data_dir=data_dir)


def text_or_json(text: str) -> Any:
    """Return what ``text`` says as JSON, the text itself if it is none."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def vars_of(value: Any) -> dict[str, Any]:
    """Return the fields of a dataclass."""
    from dataclasses import asdict

    return asdict(value)


def _look(show: Callable[["Look"], Awaitable[int | None]], **given: object) -> None:
    from swarmchat.cli.guard import guarded

    async def run() -> int | None:
        from swarmchat.cli.looking import looking

        async with looking(options.flags(**given)) as look:
            return await show(look)

    raise typer.Exit(guarded(run))


def _policies(look: "Look", name: str | None) -> list[str]:
    from swarmchat.cli.errors import UsageError

    names = [policy.name for policy in look.swarm.policies]
    if not names:
        raise UsageError(f"swarm {look.swarm.name!r} has no policies; name another with -S SWARM")
    if name is not None:
        look.primitives().policy(name)
        return [name]
    return names


def _chosen(kept: dict[str, Any], name: str | None, where: str) -> dict[str, Any]:
    from swarmchat.cli.errors import NotFoundError
    from swarmchat.swarm.names_check import nearest

    if name is None:
        return kept
    if name not in kept:
        raise NotFoundError(f"there is no {name!r} in the {where}; {nearest(name, kept)}")
    return {name: kept[name]}


def _print(values: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(_json(values))
        return
    for name, value in values.items():
        print(f"{name}: {_one(value)}")


def _one(value: Any) -> str:
    from swarmchat.cli.sanitize import sanitize

    return sanitize(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)


def _plain(item: Any) -> Any:
    from pydantic_core import to_jsonable_python

    return to_jsonable_python(item, fallback=str)
