"""``swarmchat state``, ``storage`` and ``memory``: what is kept beside the conversations."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer
from swarmchat.cli.app import options
from swarmchat.cli.inspection.run import show_look
from swarmchat.cli.terminal.printing import as_line, print_json, print_values

if TYPE_CHECKING:
    from swarmchat.cli.inspection.reader import StoreReader


def state(
    name: Annotated[str | None, typer.Argument(help="Which state; all by default.")] = None,
    session: options.SessionName = None,
    clear: Annotated[bool, typer.Option("--clear", help="Forget it; its default holds again.")] = False,
    backend: options.Backend = None,
    client: options.Client = None,
    redis_url: options.RedisUrl = None,
    data_dir: options.DataDir = None,
    profile: options.Profile = None,
    as_json: options.Json = False,
) -> None:
    """Show the states of a session, which may be in use."""

    async def show(look: "StoreReader") -> None:
        from swarmchat.backends import Delete
        from swarmchat.swarm.persistence import keys

        info = await look.session(session)
        kept = await look.values(keys.session_states(look.client, info.id))
        where = f"state of session {info.name!r}"
        if clear:
            chosen = _chosen(kept, name, where)
            await look.backend.commit(*(Delete(keys.session_state(look.client, info.id, each)) for each in chosen))
            return
        print_values(_chosen(kept, name, where), as_json)

    show_look(show, backend=backend, client=client, redis_url=redis_url, data_dir=data_dir, profile=profile)


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
    profile: options.Profile = None,
    as_json: options.Json = False,
) -> None:
    """Show the items of a storage. With -S, its default items are there too, and it can be searched."""

    async def show(look: "StoreReader") -> None:
        from swarmchat.cli.errors import UsageError
        from swarmchat.swarm.persistence import keys

        if swarm is None:
            if search is not None:
                raise UsageError("--search needs the swarm that declares the storage: -S SWARM")
            print_values(await look.values(keys.storage_items(None if shared else look.client, name)), as_json)
            return
        opened = look.primitives().storage(name)
        if search is None:
            print_values({each: _plain(item) for each, item in await opened.items()}, as_json)
            return
        hits = await opened.search(search, total)
        if as_json:
            print_json([{"id": hit.id, "score": round(hit.score, 3), "item": _plain(hit.item)} for hit in hits])
        else:
            for hit in hits:
                print(f"{hit.score:.2f}  {as_line(_plain(hit.item))}")

    show_look(
        show, swarm=swarm, backend=backend, client=client, redis_url=redis_url, data_dir=data_dir, profile=profile
    )


def memory(
    name: Annotated[str | None, typer.Argument(help="What; everything by default.")] = None,
    value: Annotated[str | None, typer.Option("--set", help="Remember this text, or JSON.")] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Forget it.")] = False,
    backend: options.Backend = None,
    client: options.Client = None,
    redis_url: options.RedisUrl = None,
    data_dir: options.DataDir = None,
    profile: options.Profile = None,
    as_json: options.Json = False,
) -> None:
    """Show or change what is remembered of a client."""

    async def show(look: "StoreReader") -> None:
        from swarmchat.cli.errors import UsageError

        kept = look.primitives().memory
        where = f"memory of {look.client!r}"
        if (value is not None or remove) and name is None:
            raise UsageError("--set and --remove need a NAME")
        if value is not None and name is not None:
            await kept.set(name, _text_or_json(value))
        elif remove and name is not None:
            _chosen(await kept.all(), name, where)
            await kept.remove(name)
        else:
            print_values(_chosen(await kept.all(), name, where), as_json)

    show_look(show, backend=backend, client=client, redis_url=redis_url, data_dir=data_dir, profile=profile)


def _text_or_json(text: str) -> Any:
    """Return what ``text`` says as JSON, the text itself if it is none."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _chosen(kept: dict[str, Any], name: str | None, where: str) -> dict[str, Any]:
    from swarmchat.cli.errors import NotFoundError
    from swarmchat.swarm.common.names import nearest

    if name is None:
        return kept
    if name not in kept:
        raise NotFoundError(f"there is no {name!r} in the {where}; {nearest(name, kept)}")
    return {name: kept[name]}


def _plain(item: Any) -> Any:
    from pydantic_core import to_jsonable_python

    return to_jsonable_python(item, fallback=str)
