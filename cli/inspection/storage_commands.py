"""``swarmchat storage``: show, list, reload, clear and fill the storages of a client."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from swarmchat.cli.app import options
from swarmchat.cli.app.typer_app import Commands, GroupWithDefault
from swarmchat.cli.inspection.commands import run_on_reader

if TYPE_CHECKING:
    from swarmchat.cli.inspection.reader import StoreReader

storage_app = Commands(
    cls=GroupWithDefault,
    no_args_is_help=True,
    help="""Show and change the items of storages. With just a NAME, show that storage.

    \b
    swarmchat storage breads -S shop                    show its items
    swarmchat storage breads -S shop --search "sweet"   show the best matches
    swarmchat storage import breads.csv -S shop         add items from a file
    """,
)

OptionalName = Annotated[str | None, typer.Argument(help="Storage; default: the only one of the swarm.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show what would change.")]
Shared = Annotated[bool, typer.Option("--shared", help="The storage that all clients share.")]


@storage_app.command("show")
@options.settings("swarm", "search", "total", "shared", *options.STORE)
def show(
    name: Annotated[str, typer.Argument(help="Storage.")],
    search: Annotated[
        str | None, typer.Option("--search", help="Only items that match this description, best first.")
    ] = None,
    total: Annotated[int, typer.Option(min=1, help="Maximum number of matches.")] = 5,
    shared: Shared = False,
    *,
    flags: options.Flags,
    as_json: options.Json = False,
) -> None:
    """Show the items of a storage. With -S, its default items are included, and it can be searched."""

    async def work(reader: "StoreReader") -> None:
        from swarmchat.cli.inspection import storages

        if flags["swarm"] is None and name not in [each.name for each in reader.swarm.storages]:
            await storages.show_stored(reader, name, search, shared, as_json)
        else:
            await storages.show_declared(reader, name, search, total, as_json)

    run_on_reader(flags, work)


@storage_app.command("list")
@options.settings(*options.STORE)
def list_storages(*, flags: options.Flags, as_json: options.Json = False) -> None:
    """List the storages that have items, of all swarms."""

    async def work(reader: "StoreReader") -> None:
        from swarmchat.cli.inspection import storages

        await storages.list_stored(reader, as_json)

    run_on_reader(flags, work)


@storage_app.command("reload")
@options.settings("swarm", *options.STORE)
def reload(
    name: Annotated[str | None, typer.Argument(help="Storage; default: all of the swarm.")] = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    *,
    flags: options.Flags,
    as_json: options.Json = False,
) -> None:
    """Restore the default items as the swarm defines them, including changed and removed ones.

    Items that tools or users have added stay.
    """

    async def work(reader: "StoreReader") -> None:
        from swarmchat.cli.inspection import storages

        await storages.reload(reader, name, dry_run=dry_run, yes=yes, as_json=as_json)

    run_on_reader(flags, work)


@storage_app.command("clear")
@options.settings("swarm", *options.STORE)
def clear(
    name: OptionalName = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    *,
    flags: options.Flags,
    as_json: options.Json = False,
) -> None:
    """Remove all items of a storage. Default items return only with storage reload."""

    async def work(reader: "StoreReader") -> None:
        from swarmchat.cli.inspection import storages

        await storages.clear(reader, name, dry_run=dry_run, yes=yes, as_json=as_json)

    run_on_reader(flags, work)


@storage_app.command("import")
@options.settings("swarm", *options.STORE)
def import_items(
    file: Annotated[Path, typer.Argument(help="JSON, JSON lines, CSV, or lines of text; - for standard input.")],
    name: OptionalName = None,
    form: Annotated[
        str | None, typer.Option("--format", help="json, jsonl, csv or text; default: by the name of the file.")
    ] = None,
    field: Annotated[
        str | None, typer.Option("--field", help="Field for a line of text; default: the first of the index.")
    ] = None,
    id_field: Annotated[
        str | None, typer.Option("--id", help="Field with the item's id: an item with the same id is replaced.")
    ] = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    *,
    flags: options.Flags,
    as_json: options.Json = False,
) -> None:
    """Add the items in a file to a storage. Items that are already there are not added twice.

    \b
    JSON        a list of items, or an object of items by their ids, as storage NAME --json prints it
    JSON lines  one item a line
    CSV         the first line names the fields; separated by , or ; or tabs
    text        each line is an item, or one field of it
    """

    async def work(reader: "StoreReader") -> None:
        from swarmchat.cli.inspection import storages

        choice = storages.ImportOptions(form, field, id_field, dry_run=dry_run, yes=yes, as_json=as_json)
        await storages.import_file(reader, file, name, choice)

    run_on_reader(flags, work)
