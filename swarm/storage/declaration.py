"""The declaration of a storage in a swarm. What stores and finds its items is loaded when it is first used."""

import builtins
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from swarmchat.swarm.common.mistakes import Expected, check_value, explained, many

if TYPE_CHECKING:
    from swarmchat.swarm.storage.embeddings import Embedder

T = TypeVar("T")


@explained
@dataclass(frozen=True)
class Storage(Generic[T]):
    """The definition of a storage, part of a swarm. It contains no items itself."""

    name: str
    index: Callable[[T], str | Sequence[str]]
    """Returns the texts by which an item is found; the best match of several counts."""
    items: Sequence[T] | Callable[[], Sequence[T]] = ()
    """The default items: stored at the first use for each client, or once for all if the storage is shared. Later
    changes of them are followed."""
    type: builtins.type[T] | None = None
    """Type of the items: any that pydantic knows. ``None``: the type of the first default item, or plain JSON."""
    shared: bool = False
    """Whether all clients share one storage. By default each has its own, and sees nobody else's changes."""
    embedder: "Embedder | None" = None
    """Turns the texts into vectors; ``None``: the swarm's embedder."""

    def __post_init__(self) -> None:
        owner = f"storage {self.name!r}"
        advice = f': write index=lambda item: item["{self.index}"]' if isinstance(self.index, str) else ""
        expected = Expected(f"a function of an item that returns its texts{advice}", callable)
        check_value(owner, "index", self.index, expected)
        if not callable(self.items):
            check_value(owner, "items", self.items, many("items", lambda item: True))
