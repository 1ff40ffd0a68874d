"""The items of a storage as they are stored: JSON that is read back as a type and has texts to be found by."""

import builtins
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from swarmchat.swarm.errors import StorageError

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
