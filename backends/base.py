"""The Protocol of all backends: they store bytes under keys, and all writes go through ``commit``.

A backend has two kinds of keys. A *value* is one byte string; a *list* is a sequence of byte strings that only grows
at its end. A key keeps its kind as long as it exists. Keys are opaque text, anything that encodes to UTF-8: a driver
never builds a path or a pattern from one. There are no empty lists. A ``ttl`` is in seconds, exact to the millisecond;
with a ttl of zero or less, the key is removed at once.

The docstrings here are the contract. ``swarmchat.backends.testing`` tests it, for built-in and other drivers.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Put:
    """Set ``key`` to ``value``, for ``ttl`` seconds; ``None``: until it is deleted."""

    key: str
    value: bytes
    ttl: float | None = None


@dataclass(frozen=True, slots=True)
class Append:
    """Add ``values`` to the end of the list ``key``, in this order. The whole list gets the new ``ttl``.

    Without values it only sets the ttl, and a missing list stays missing.
    """

    key: str
    values: tuple[bytes, ...]
    ttl: float | None = None


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove ``key``, value or list. A missing key is no error."""

    key: str


@dataclass(frozen=True, slots=True)
class Truncate:
    """Keep the first ``keep`` values of the list ``key`` and drop the rest; 0 removes the list.

    Its ttl stays. A missing list stays missing.
    """

    key: str
    keep: int

    def __post_init__(self) -> None:
        if self.keep < 0:
            raise ValueError(f"cannot keep {self.keep} values of {self.key!r}: the number must not be negative")


@dataclass(frozen=True, slots=True)
class Touch:
    """Give ``key``, value or list, a new ``ttl``. A missing key stays missing."""

    key: str
    ttl: float | None = None


@dataclass(frozen=True, slots=True)
class Expect:
    """Let the commit happen only if the value of ``key`` is ``value``; ``None``: only if there is no value.

    The state before all writes of the commit counts, whatever the position of the condition. To change a value without
    overwriting another process's change, read it, and commit the new value with an Expect of the old one.
    """

    key: str
    value: bytes | None


@dataclass(frozen=True, slots=True)
class ExpectLength:
    """Let the commit happen only if the list ``key`` has exactly ``length`` values; 0: only if it is missing.

    As with Expect, the state before all writes counts. An append with this condition starts at the position ``length``.
    """

    key: str
    length: int


Condition = Expect | ExpectLength
Write = Put | Append | Delete | Truncate | Touch | Condition


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to write, until ``ttl`` seconds after it was last acquired, renewed or committed with.

    It is stored as an ordinary value: ``get(key)`` returns ``owner`` while the lease is held, so that others learn who
    holds it. ``owner`` must be unique to one acquisition, so it needs a random part: it is the fence.
    """

    key: str
    owner: bytes
    ttl: float


class Backend(Protocol):
    """A store of values and lists. All methods may raise the errors of ``swarmchat.backends.errors``.

    Creating one does no I/O; the first call does. Calls may run concurrently, in one event loop.
    """

    @property
    def url(self) -> str:
        """The URL of the store, with the password masked: for messages, not for connecting."""
        ...

    def one_commit(self, keys: Sequence[str]) -> bool:
        """Return whether one commit can write all of ``keys``: always true, unless they are spread over servers."""
        ...

    async def get(self, key: str) -> bytes | None:
        """Return the value of ``key``, or ``None`` if it has no value.

        Raises CorruptValue when ``key`` is a list.
        """
        ...

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return the values of ``keys``, in their order: ``None`` for a missing key or a list.

        One round trip reads some hundred keys. The values may be from different moments during the call.
        """
        ...

    def scan(self, prefix: str) -> AsyncIterator[tuple[str, bytes]]:
        """Yield the values (not the lists) whose key starts with ``prefix``, ordered by key (by code point).

        A key that is written or removed meanwhile may or may not be yielded; every other key is, exactly once.
        """
        ...

    async def length(self, key: str) -> int:
        """Return the length of the list ``key``; 0 if it does not exist.

        Raises CorruptValue when ``key`` is a single value.
        """
        ...

    async def slice(self, key: str, start: int, stop: int | None = None) -> list[bytes]:
        """Return ``values[start:stop]`` as in Python, including negative indexes.

        The cost depends on the number of values returned, not on the length of the list. Raises CorruptValue when
        ``key`` is a single value.
        """
        ...

    async def wait(self, key: str, timeout: float) -> bool:
        """Wait until the list ``key`` has values; return whether it has any, at the latest after ``timeout`` seconds.

        It sees appends by other processes, and wakes all waiting calls. Waiting changes nothing, even if it is
        cancelled, and does not block other calls. Raises CorruptValue when ``key`` is a single value.
        """
        ...

    async def commit(self, *writes: Write, lease: Lease | None = None) -> None:
        """Apply ``writes`` in order, all of them or none, in one round trip.

        With ``lease``, nothing is written unless it is still held, and the commit renews it. An Expect or ExpectLength
        that does not hold, or a write to a key of the other kind, fails the whole commit. Of several reasons, the first
        is raised: the lease, then each condition in its order (Conflict for an Expect, LengthConflict for an
        ExpectLength, CorruptValue for a key of the other kind), then the other writes. A rejected commit changes
        nothing: it does not renew the lease either.

        Once it has returned, the writes survive the death of this process. Each commit is applied once, however often
        the driver retries it: a retry of an applied commit succeeds even if its conditions no longer hold. After
        BackendUnavailable the outcome is unknown, but the commit was applied completely or not at all.

        Raises LeaseLost, Conflict, CorruptValue, BackendFull, BackendUnavailable.
        """
        ...

    async def acquire(self, key: str, owner: bytes, ttl: float, *, replacing: bytes | None = None) -> Lease | None:
        """Take the lease ``key`` if it is free, or held by ``owner`` or ``replacing``; otherwise return ``None``.

        ``replacing`` is for taking over from an owner that is known to be dead.
        """
        ...

    async def renew(self, lease: Lease) -> bool:
        """Extend ``lease`` to ``lease.ttl`` seconds from now; return False, and change nothing, if it is lost."""
        ...

    async def release(self, lease: Lease) -> None:
        """Give up ``lease`` if it is still held; the lease of another owner is not changed."""
        ...

    async def close(self) -> None:
        """Close connections and files. Closing twice is no error; any later call raises BackendError."""
        ...
