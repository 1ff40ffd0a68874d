"""The items of a storage: their JSON form, and the committed ones that this process has read."""

import builtins
import secrets
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from urllib.parse import unquote

from swarmchat.backends import Append, Backend, Delete, Put, Write
from swarmchat.swarm.errors import StorageError
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.storage.vector_index import SearchIndex

if TYPE_CHECKING:
    from pydantic import TypeAdapter


T = TypeVar("T")


class ItemForm(Generic[T]):
    """How the storage ``name`` writes, reads and indexes items; the arguments are the fields of ``Storage``.

    pydantic is imported by the first item that is written or read.
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
        """The default items; what makes them is called once."""
        return list(self._items() if callable(self._items) else self._items)

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

    def encode(self, item: T, item_id: str) -> bytes:
        """Return ``item`` as it is stored. Raises StorageError unless it comes back as its type and has texts."""
        adapter = self._adapter
        try:
            value = adapter.dump_json(adapter.validate_python(item), by_alias=True, warnings="error")
        except ValueError as error:
            raise StorageError(
                f"storage {self._name!r}: {item!r:.200} is no item of it ({_in_short(error)})"
            ) from error
        self.texts(item_id, value)
        return value

    def decode(self, item_id: str, value: bytes) -> T:
        """Return a new object for the stored ``value``. Raises StorageError when it does not fit the type."""
        try:
            return self._adapter.validate_json(value)
        except ValueError as error:
            raise StorageError(
                f"storage {self._name!r}: the item {item_id!r} cannot be read as its type ({_in_short(error)})."
                " It is left as it is: put another in its place, or remove it"
            ) from error

    def texts(self, item_id: str, value: bytes) -> Sequence[str]:
        """Return the texts by which a stored item is found. Raises StorageError when there are none to be had."""
        item = self.decode(item_id, value)
        try:
            texts = self._index(item)
            found = (texts,) if isinstance(texts, str) else tuple(texts)
        except Exception as error:
            raise StorageError(
                f"storage {self._name!r}: its index failed for the item {item_id!r} ({error!r:.200})"
            ) from error
        if not all(isinstance(text, str) for text in found):
            raise StorageError(
                f"storage {self._name!r}: its index returned {texts!r:.200} for the item {item_id!r}: expected text"
            )
        return found


def _in_short(error: Exception) -> str:
    """Return what a validation error says, in one short line."""
    text = " ".join(str(error).split("For further information")[0].split())
    return text if len(text) <= 300 else text[:299] + "…"


_ATTEMPTS = 3
"""How often items are read again that were changed while they were read."""

_TOKEN = 12

_LAST = 100
"""How many changes a reader looks back, and one commit tells of; beyond that, all items are read."""

_FORGET = 1024
"""One of so many commits begins the list of changes anew, so that it stays short."""


class StoredItems:
    """The items of the storage ``name`` of ``client`` (``None``: of all clients), shared by all views of one storage.

    A commit that changes them also sets another version, a random token, and adds that token with the changed id to a
    list. Whoever knows an earlier version reads from the end of the list which items to read again, and reads all of
    them when the list does not go back so far.
    """

    def __init__(self, client: str | None, name: str, draw: Callable[[int], int] = secrets.randbelow) -> None:
        self._draw = draw
        self.prefix = keys.storage_items(client, name)
        self.version_key = keys.storage_version(client, name)
        self._changes_key = keys.storage_changes(client, name)
        self._version: bytes | None = None
        """That of ``items``; ``None`` before the first read."""
        self.items: dict[str, bytes] = {}
        """The stored items in the order of their ids. Never changed, only replaced."""
        self.index: SearchIndex | None = None
        """Of ``items`` or of earlier ones."""
        self.filled = False
        """Whether the default items are known to be put in."""

    def id(self, key: str) -> str:
        """Return the id of the item at ``key``."""
        return unquote(key[len(self.prefix) :], errors="surrogatepass")

    def changed(self, items: Sequence[str], ttl: float | None) -> list[Write]:
        """Return what belongs into a commit that changes the ``items``, given by their keys."""
        token = secrets.token_bytes(_TOKEN)
        put = Put(self.version_key, token, ttl)
        if not items or len(items) > _LAST or self._draw(_FORGET) == 0:
            # Whoever knows an earlier version does not find it any more.
            return [Delete(self._changes_key), Append(self._changes_key, (token,), ttl), put]
        entries = tuple(token + key[len(self.prefix) :].encode() for key in items)
        return [Append(self._changes_key, entries, ttl), put]

    async def read(self, backend: Backend, *, lasting: bool) -> dict[str, bytes]:
        """Return what is committed. While nothing changes that is one round trip, if items are ``lasting``."""
        version = await backend.get(self.version_key)
        # Items that run out do so without a new version.
        if not lasting or version is None or self._version is None:
            return await self._read_all(backend, version)
        if version != self._version:
            await self._read_changes(backend, version)
        return self.items

    async def _read_changes(self, backend: Backend, version: bytes) -> None:
        """Bring the items from the version that is known to ``version``, or a later one."""
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
            # Else another task has brought them to some version meanwhile, maybe not to this one.
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
            found = {self.id(key): value async for key, value in backend.scan(self.prefix)}
            before, version = version, await backend.get(self.version_key)
            if version == before:
                break
        # The version from before the last scan: should it be late, the next read finds that out.
        self._version, self.items, self.filled = before, dict(sorted(found.items())), before is not None
        return self.items
