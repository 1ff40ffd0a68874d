"""Show, list, reload, clear and fill the storages of a client."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from swarmchat.cli.errors import NotFoundError, UsageError
from swarmchat.cli.inspection.item_files import FORMATS, FileItem, ItemReader, as_numbers
from swarmchat.cli.inspection.reader import StoreReader, to_json
from swarmchat.cli.terminal.confirmation import must_confirm
from swarmchat.cli.terminal.printing import as_line, count_of, print_json, print_rows, print_values
from swarmchat.cli.terminal.progress import Progress, progress_on
from swarmchat.swarm.common.names import nearest
from swarmchat.swarm.errors import StorageError
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.storage.declaration import Storage
from swarmchat.swarm.storage.items import FieldIndex
from swarmchat.swarm.storage.storage import PersistStorage


async def show_declared(reader: StoreReader, name: str, search: str | None, total: int, as_json: bool) -> None:
    """Print the items of a storage of the swarm, or the best matches."""
    primitives = reader.primitives()
    items = primitives.storage(name)
    if search is None:
        print_values({key: to_json(item) for key, item in await items.items()}, as_json)
        return
    with ExitStack() as stack:
        primitives.embedding_progress = _EmbeddingBar(stack).show
        hits = await items.search(search, total)
    if as_json:
        print_json([{"id": hit.id, "score": round(hit.score, 3), "item": to_json(hit.item)} for hit in hits])
    else:
        for hit in hits:
            print(f"{hit.score:.2f}  {as_line(to_json(hit.item))}")


class _EmbeddingBar:
    """A progress bar, as soon as it is known how many items are to be embedded; ``stack`` removes it."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._progress = Progress()
        self._done = 0

    def show(self, storage: str, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` items of ``storage`` are embedded."""
        if done == 0:
            self._progress = self._stack.enter_context(progress_on(total))
        self._progress.advance(done - self._done)
        self._done = done


async def show_stored(reader: StoreReader, name: str, search: str | None, shared: bool, as_json: bool) -> None:
    """Print the stored items of the storage ``name`` without a given swarm."""
    if search is not None:
        raise UsageError("--search needs the swarm that declares the storage: -S SWARM")
    owner = None if shared else reader.client
    paths = [path for path in await _paths(reader, owner) if _split(path)[1] == name]
    # Without a scope, the items are those from before each swarm had its own.
    own = [path for path in paths if "/" in path] or paths
    if len(own) > 1:
        scopes = ", ".join(_split(path)[0] for path in own)
        raise UsageError(f"several swarms have a storage {name!r}: {scopes}; choose one with -S SWARM")
    if not own:
        hint = nearest(name, [_split(path)[1] for path in await _paths(reader, owner)])
        whose = "all clients share" if shared else f"{reader.client} has"
        raise NotFoundError(f"no storage {name!r} with items that {whose} on {reader.name}; {hint}")
    stored = await reader.values(keys.storage_items(owner, own[0]))
    print_values({unquote(item_id): item for item_id, item in stored.items()}, as_json)


async def list_stored(reader: StoreReader, as_json: bool) -> None:
    """Print a line for each storage that has items, of the client and of all clients."""
    rows: list[dict[str, Any]] = []
    for owner in (reader.client, None):
        for path in await _paths(reader, owner):
            scope, name = _split(path)
            count = len([key async for key, _ in reader.backend.scan(keys.storage_items(owner, path))])
            rows.append({"name": name, "swarm": scope, "items": count, "shared": owner is None})
    if as_json:
        print_json(rows)
        return
    for row in rows:
        swarm = f"of {row['swarm']}" if row["swarm"] else "from before each swarm had its own storages"
        print(as_line(f"{row['name']}  {swarm}, {count_of(row['items'], 'item')}{', shared' * row['shared']}"))


async def _paths(reader: StoreReader, owner: str | None) -> list[str]:
    prefix = keys.storage_versions(owner)
    return sorted([key.removeprefix(prefix) async for key, _ in reader.backend.scan(prefix)])


def _split(path: str) -> tuple[str, str]:
    """Return the scope and the name of the storage at ``path``."""
    scope, _, name = path.rpartition("/")
    return unquote(scope), unquote(name)


async def reload(reader: StoreReader, name: str | None, *, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Store the default items of a storage, or of all of them, as they are defined; asks before."""
    definitions = [_chosen(reader, name)] if name is not None else _declared(reader)
    primitives = reader.primitives()
    rows, lines = [], []
    for definition in definitions:
        update = await primitives.storage(definition.name).follow(force=True, dry_run=True)
        counts = {"added": update.added, "changed": update.changed, "removed": update.removed}
        rows.append({"name": definition.name, **counts})
        if changes := ", ".join(f"{count:,} {verb}" for verb, count in counts.items() if count):
            lines.append(f"{definition.name}: {changes}")
    if lines and not dry_run:
        overwrites = any(row["changed"] or row["removed"] for row in rows)
        await must_confirm(f"Store the items as the swarm defines them ({'; '.join(lines)})?", yes or not overwrites)
        for definition in definitions:
            await primitives.storage(definition.name).follow(force=True)
    if as_json:
        print_json(rows)
    else:
        print("\n".join(map(as_line, lines)) or "nothing differs from the definition")


async def clear(reader: StoreReader, name: str | None, *, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Remove all items of a storage; asks before."""
    definition = _chosen(reader, name)
    storage = reader.primitives().storage(definition.name)
    items = await storage.stored_items()
    whose = "all clients" if definition.shared else reader.client
    if items and not dry_run:
        await must_confirm(f"Remove {count_of(len(items), 'item')} of storage {definition.name!r} of {whose}?", yes)
        await storage.clear()
    removed = {"name": definition.name, "removed": len(items)}
    print_rows([removed], as_json, "{name}: would remove {removed}" if dry_run else "{name}: {removed} removed")


@dataclass(frozen=True)
class ImportOptions:
    """How to read a file of items, and whether to ask and to write."""

    form: str | None
    field: str | None
    id_field: str | None
    dry_run: bool
    yes: bool
    as_json: bool


async def import_file(reader: StoreReader, file: Path, name: str | None, choice: ImportOptions) -> None:
    """Add the items in ``file`` to a storage; asks before items are replaced."""
    if choice.form not in (None, *FORMATS):
        raise UsageError(f"--format is {choice.form!r}, expected one of {', '.join(FORMATS)}")
    _check_order(file, name)
    definition = _chosen(reader, name, file)
    storage = reader.primitives().storage(definition.name)
    stored = await storage.stored_items()
    seen = set(stored.values())
    new: list[tuple[str | None, Any]] = []
    replaced = there = 0
    items = _item_reader(definition, storage, choice.field).read(file, choice.form, reader.settings.max_import)
    for each in _with_ids(items, choice.id_field):
        value = _encoded(storage, each)
        if each.id in stored if each.id is not None else value in seen:
            current = stored[each.id] if each.id is not None else value
            there += current == value
            replaced += current != value
            if current == value:
                continue
        seen.add(value)
        new.append((each.id, each.item))
    counts = {"name": definition.name, "added": len(new) - replaced, "replaced": replaced, "there": there}
    if new and not choice.dry_run:
        reader.must_last()
        if replaced:
            question = f"Replace {count_of(replaced, 'item')} of storage {definition.name!r}"
            await must_confirm(f"{question} and add {counts['added']:,}?", choice.yes)
        await storage.upsert_many(new)
    verb = "would add {added}, replace {replaced}" if choice.dry_run else "{added} added, {replaced} replaced"
    print_rows([counts], choice.as_json, "{name}: " + verb + "; already there: {there}")


def _check_order(file: Path, name: str | None) -> None:
    """Raise UsageError if the file and the storage were swapped."""
    if name is not None and not file.exists() and Path(name).is_file():
        raise UsageError(f"the file comes before the storage: swarmchat storage import {name} {file}")


def _with_ids(items: Sequence[FileItem], id_field: str | None) -> Sequence[FileItem]:
    if id_field is None:
        return items
    for each in items:
        if not isinstance(each.item, dict) or str(each.item.get(id_field, "")) == "":
            raise StorageError(f"{each.where}: no field {id_field!r}, which --id names; nothing was imported")
    return [FileItem(each.where, each.item, str(each.item[id_field])) for each in items]


def _encoded(storage: PersistStorage[Any], each: FileItem) -> bytes:
    try:
        return storage.encode(each.item, each.id)
    except (StorageError, ValueError) as error:
        hint = "; name the field for the line with --field" if isinstance(each.item, str) else ""
        raise StorageError(f"{each.where}: {error}{hint}; nothing was imported") from error


def _item_reader(definition: Storage[Any], storage: PersistStorage[Any], field: str | None) -> ItemReader:
    def is_item(value: Any) -> bool:
        try:
            return bool(storage.encode(value))
        except StorageError:
            return False

    if field is None and isinstance(definition.index, FieldIndex):
        field = definition.index.fields[0]
    samples = [item for item in storage.default_items if isinstance(item, dict)]
    texts = frozenset(name for item in samples for name, value in item.items() if isinstance(value, str))
    # A typed item converts its fields itself, and an empty one has its default.
    is_plain = definition.type in (None, dict) and (samples or not storage.default_items)
    return ItemReader(is_item, field, partial(as_numbers, texts=texts) if is_plain else _filled)


def _filled(row: dict[str, str]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if value}


def _declared(reader: StoreReader) -> Sequence[Storage[Any]]:
    if not reader.swarm.storages:
        raise UsageError(f"swarm {reader.swarm.name!r} has no storages; choose another swarm with -S SWARM")
    return reader.swarm.storages


def _chosen(reader: StoreReader, name: str | None, file: Path | None = None) -> Storage[Any]:
    """Return the storage ``name`` of the swarm; for ``None`` the only one, or the one with the name of ``file``."""
    storages = {storage.name: storage for storage in _declared(reader)}
    if name is None and len(storages) == 1:
        return next(iter(storages.values()))
    if name is None and file is not None:
        name = file.stem if file.stem in storages else None
    if name is None:
        raise UsageError(f"which storage? Swarm {reader.swarm.name!r} has {', '.join(storages)}: give its NAME")
    if name not in storages:
        raise NotFoundError(f"swarm {reader.swarm.name!r} has no storage {name!r}; {nearest(name, storages)}")
    return storages[name]
