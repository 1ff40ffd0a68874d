"""``swarmchat state``, ``storage`` and ``memory``: show the data that is stored beside the conversations."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer
from swarmchat.cli.app import options
from swarmchat.cli.inspection.run import run_on_reader
from swarmchat.cli.terminal.printing import as_line, print_json, print_values

if TYPE_CHECKING:
    from swarmchat.cli.inspection.reader import StoreReader


@options.settings(*options.STORE)
def state(
    name: Annotated[str | None, typer.Argument(help="State; default: all states.")] = None,
    session: options.OtherSession = None,
    clear: Annotated[bool, typer.Option("--clear", help="Reset it to its default.")] = False,
    *,
    flags: options.Flags,
    as_json: options.Json = False,
) -> None:
    """Show the states of a session, which may be in use."""

    async def work(reader: "StoreReader") -> None:
        from swarmchat.backends import Delete
        from swarmchat.swarm.persistence import keys

        info = await reader.session(session)
        states = await reader.values(keys.session_states(reader.client, info.id))
        selected = _select(states, name, f"state of session {info.name!r}")
        if clear:
            client = reader.client
            await reader.backend.commit(*(Delete(keys.session_state(client, info.id, each)) for each in selected))
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
        from swarmchat.cli.errors import UsageError
        from swarmchat.swarm.persistence import keys

        if flags["swarm"] is None:
            if search is not None:
                raise UsageError("--search needs the swarm that declares the storage: -S SWARM")
            print_values(await reader.values(keys.storage_items(None if shared else reader.client, name)), as_json)
            return
        items = reader.primitives().storage(name)
        if search is None:
            print_values({key: _as_json(item) for key, item in await items.items()}, as_json)
            return
        hits = await items.search(search, total)
        if as_json:
            print_json([{"id": hit.id, "score": round(hit.score, 3), "item": _as_json(hit.item)} for hit in hits])
        else:
            for hit in hits:
                print(f"{hit.score:.2f}  {as_line(_as_json(hit.item))}")

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
        from swarmchat.cli.errors import UsageError

        entries = reader.primitives().memory
        where = f"memory of {reader.client!r}"
        if (value is not None or remove) and name is None:
            raise UsageError("--set and --remove need a NAME")
        if value is not None and name is not None:
            await entries.set(name, _text_or_json(value))
        elif remove and name is not None:
            _select(await entries.all(), name, where)
            await entries.remove(name)
        else:
            print_values(_select(await entries.all(), name, where), as_json)

    run_on_reader(flags, work)


def _text_or_json(text: str) -> Any:
    """Return the value of ``text`` if it is JSON, else the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _select(values: dict[str, Any], name: str | None, where: str) -> dict[str, Any]:
    """Return the value ``name`` only, or all of them for ``None``. Raises NotFoundError."""
    from swarmchat.cli.errors import NotFoundError
    from swarmchat.swarm.common.names import nearest

    if name is None:
        return values
    if name not in values:
        raise NotFoundError(f"no {name!r} in the {where}; {nearest(name, values)}")
    return {name: values[name]}


def _as_json(item: Any) -> Any:
    from pydantic_core import to_jsonable_python

    return to_jsonable_python(item, fallback=str)
