"""The items of a storage: their JSON form, and this process's cache of the committed ones."""

import builtins
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from urllib.parse import unquote

from swarmchat.backends import Append, Backend, Delete, Put, Touch, Write
from swarmchat.swarm.common.author_functions import without_exits
from swarmchat.swarm.errors import StorageError
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.storage.definition import DefaultItem, Entry, default_item
from swarmchat.swarm.storage.vector_index import SearchIndex

if TYPE_CHECKING:
    from pydantic import TypeAdapter


T = TypeVar("T")


@dataclass(frozen=True)
class FieldIndex:
    """An index by ``fields`` of items that are objects, as a swarm file names them."""

    fields: tuple[str, ...]

    def __call__(self, item: Mapping[str, object]) -> list[str]:
        """Return the texts in the fields; a stored item may lack those that the file has named since."""
        return [str(item[field]) for field in self.fields if field in item]

    def missing(self, item: Any) -> str | None:
        """Return a field that ``item`` lacks."""
        return next((field for field in self.fields if field not in item), None)


class ItemForm(Generic[T]):
    """How the storage ``name`` writes, reads and indexes items; the arguments are the fields of ``Storage``.

    pydantic is imported when the first item is written or read.
    """

    def __init__(
        self,
        name: str,
        type: builtins.type[T] | None,  # noqa: A002 (the name of the field)
        items: Sequence[T] | Callable[[], Sequence[T]],
        index: Callable[[T], str | Sequence[str]],
    ) -> None:
        self._name, self._type, self._items, self._index = name, type, items, index

    @cached_property
    def defaults(self) -> list[T]:
        """The default items; a function that returns them is called once. Raises StorageError if it fails."""
        try:
            with without_exits():
                return list(self._items() if callable(self._items) else self._items)
        except Exception as error:
            raise StorageError(
                f"storage {self._name!r}: the function that returns its items failed ({error!r:.200})"
            ) from error

    @cached_property
    def _adapter(self) -> "TypeAdapter[T]":
        from pydantic import TypeAdapter
        from pydantic.errors import PydanticUserError

        kind: Any = self._type
        if kind is None:
            kind = type(self.defaults[0]) if self.defaults else Any
        try:
            return TypeAdapter(kind)
        except PydanticUserError as error:
            raise StorageError(
                f"storage {self._name!r}: items of {kind!r} cannot be stored; use a dataclass, a pydantic model, a"
                f" TypedDict or plain JSON types ({_in_short(error)})"
            ) from None

    @cached_property
    def default_items(self) -> list[DefaultItem]:
        """The default items in their stored form. Raises StorageError."""
        ids = [f"default {at}" for at in range(len(self.defaults))]
        return [default_item(*self._encoded(item, item_id)) for item, item_id in zip(self.defaults, ids, strict=True)]

    def is_findable(self, item_id: str, value: bytes) -> bool:
        """Whether the index returns a text for a stored item."""
        try:
            return any(text.strip() for text in self.texts(item_id, value))
        except StorageError:
            return False

    def entry(self, item_id: str, value: bytes) -> Entry:
        """Return the entry of a stored item; one that cannot be read has no texts."""
        try:
            item = default_item(value, self.texts(item_id, value))
        except StorageError:
            item = default_item(value, ())
        return Entry(item_id, item.digest, item.texts)

    def encode(self, item: T, item_id: str) -> bytes:
        """Return the stored form of ``item``. Raises StorageError if it cannot be read back or has no valid texts."""
        return self._encoded(item, item_id)[0]

    def _encoded(self, item: T, item_id: str) -> tuple[bytes, Sequence[str]]:
        """Return the stored form of ``item`` and its texts, as ``encode`` does."""
        adapter = self._adapter
        try:
            value = adapter.dump_json(adapter.validate_python(item), by_alias=True, warnings="error")
        except ValueError as error:
            raise StorageError(
                f"storage {self._name!r}: {item!r:.200} does not fit its type ({_in_short(error)})"
            ) from error
        if isinstance(self._index, FieldIndex) and (field := self._index.missing(self.decode(item_id, value))):
            raise StorageError(f"storage {self._name!r}: {item!r:.200} has no field {field!r}, which the index names")
        return value, self.texts(item_id, value)

    def decode(self, item_id: str, value: bytes) -> T:
        """Return a new object for the stored ``value``. Raises StorageError when it does not fit the type."""
        try:
            return self._adapter.validate_json(value)
        except ValueError as error:
            raise StorageError(
                f"storage {self._name!r}: the item {item_id!r} cannot be read as its type ({_in_short(error)});"
                " it was not changed: replace or remove it"
            ) from error

    def texts(self, item_id: str, value: bytes) -> Sequence[str]:
        """Return the texts by which a stored item is found. Raises StorageError if the index function fails."""
        item = self.decode(item_id, value)
        try:
            with without_exits():
                texts = self._index(item)
                if isinstance(texts, str):
                    return (texts,)
                checked = tuple(texts)
        except Exception as error:
            raise StorageError(
                f"storage {self._name!r}: its index failed for the item {item_id!r} ({error!r:.200})"
            ) from error
        if not all(isinstance(text, str) for text in checked):
            raise StorageError(
                f"storage {self._name!r}: its index returned {texts!r:.200} for the item {item_id!r}: expected text"
            )
        return checked


def _in_short(error: Exception) -> str:
    """Return the message of a validation error as one short line."""
    text = " ".join(str(error).split("For further information")[0].split())
    return text if len(text) <= 300 else text[:299] + "…"


_ATTEMPTS = 3
"""How often all items are read if they change in the meantime."""

_TOKEN = 12

_LAST = 100
"""The most changes that a reader looks through, and that a commit lists; beyond that, all items are read."""

_FORGET = 1024
"""On average, one commit of this many restarts the list of changes, so that it stays short."""


class StoredItems:
    """The items of the storage at ``path`` of ``client`` (``None``: of all clients), shared by all views of it.

    A commit that changes them also sets a new version, a random token, and adds that token with the changed id to a
    list. A reader with an earlier version finds at the end of the list which items to read again, and reads all of
    them if the list does not go back far enough.
    """

    def __init__(self, client: str | None, path: str, draw: Callable[[int], int] = secrets.randbelow) -> None:
        self._draw = draw
        self.prefix = keys.storage_items(client, path)
        self.version_key = keys.storage_version(client, path)
        self.manifest_key = keys.storage_manifest(client, path)
        self._changes_key = keys.storage_changes(client, path)
        self._version: bytes | None = None
        """The version of ``items``; ``None`` before the first read."""
        self.items: dict[str, bytes] = {}
        """The stored form of the items by id, in the order of the ids. Never modified, only replaced."""
        self.index: SearchIndex | None = None
        """The index of ``items``, or of an earlier version."""
        self.filled = False
        """Whether the default items are known to be stored."""

    def key(self, item_id: str) -> str:
        """Return the key of the item ``item_id``."""
        return self.prefix + keys.escape(item_id)

    def id(self, key: str) -> str:
        """Return the id of the item at ``key``."""
        return unquote(key[len(self.prefix) :], errors="surrogatepass")

    def changed(self, items: Sequence[str], ttl: float | None) -> list[Write]:
        """Return the writes that a commit needs which changes the ``items``, given by their keys."""
        token = secrets.token_bytes(_TOKEN)
        puts: list[Write] = [Put(self.version_key, token, ttl)]
        if ttl is not None:
            puts.append(Touch(self.manifest_key, ttl))
        if not items or len(items) > _LAST or self._draw(_FORGET) == 0:
            # Readers do not find their version any more, and read all items.
            return [Delete(self._changes_key), Append(self._changes_key, (token,), ttl), *puts]
        entries = tuple(token + key[len(self.prefix) :].encode() for key in items)
        return [Append(self._changes_key, entries, ttl), *puts]

    async def read(self, backend: Backend, *, lasting: bool) -> dict[str, bytes]:
        """Return the committed items. If they are ``lasting`` and unchanged, that takes one round trip."""
        version = await backend.get(self.version_key)
        # Items that expire do so without a new version.
        if not lasting or version is None or self._version is None:
            return await self._read_all(backend, version)
        if version != self._version:
            await self._read_changes(backend, version)
        return self.items

    async def _read_changes(self, backend: Backend, version: bytes) -> None:
        """Update the items to ``version``, or a later one."""
        while True:
            before = self._version
            entries = await backend.slice(self._changes_key, -_LAST)
            tokens = [entry[:_TOKEN] for entry in entries]
            if before not in tokens or version not in tokens:
                await self._read_all(backend, version)
                return
            behind = len(tokens) - tokens[::-1].index(before)
            changed = list({self.prefix + entry[_TOKEN:].decode("ascii", "replace") for entry in entries[behind:]})
            values = await backend.get_many(changed)
            # Otherwise another task has updated them in the meantime, maybe not to this version.
            if self._version == before:
                self._apply({self.id(key): value for key, value in zip(changed, values, strict=True)})
                self._version = tokens[-1]
                return

    def _apply(self, changed: dict[str, bytes | None]) -> None:
        items = dict(self.items)
        for item_id, value in sorted(changed.items()):
            if value is None:
                items.pop(item_id, None)
            else:
                items[item_id] = value
        last = next(reversed(self.items), "")
        in_order = all(item_id > last or item_id in self.items for item_id in changed)
        self.items = items if in_order else dict(sorted(items.items()))

    async def _read_all(self, backend: Backend, version: bytes | None) -> dict[str, bytes]:
        for _ in range(_ATTEMPTS):
            items = {self.id(key): value async for key, value in backend.scan(self.prefix)}
            before, version = version, await backend.get(self.version_key)
            if version == before:
                break
        # The version from before the last scan: if it is outdated, the next read notices.
        self._version, self.items = before, dict(sorted(items.items()))
        self.filled = self.filled and before is not None
        return self.items
