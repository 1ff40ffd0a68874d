"""The Protocol of all backends: bytes in, bytes out, and everything is written by ``commit``.

A backend keeps two kinds of keys. A *value* is one byte string; a *list* is a sequence of byte strings that only
grows at its end. A key is of one kind as long as it exists. Keys are opaque text, anything that encodes to UTF-8:
a driver never builds a path or a pattern from one. An empty list does not exist. A ``ttl`` counts in seconds, to
the millisecond; one that is not above zero means that the key is gone at once.

The docstrings here are the contract. ``swarmchat.backends.testing`` holds it to every driver, shipped or not.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Put:
    """Set ``key`` to ``value``. ``ttl`` seconds from now it is gone; ``None`` means that it stays."""

    key: str
    value: bytes
    ttl: float | None = None


@dataclass(frozen=True, slots=True)
class Append:
    """Add ``values`` to the end of the list ``key``, in this order. The whole list gets the new ``ttl``.

    Without values it only gives the ttl, and a missing list stays missing.
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
    """Let the commit happen only if the value of ``key`` is ``value`` before it; ``None``: only if there is none.

    Before it means before all its writes, wherever this stands among them. It writes nothing itself. What was read
    with ``get``, changed and put back with an Expect of what was read takes nothing away that others wrote meanwhile.
    """

    key: str
    value: bytes | None


@dataclass(frozen=True, slots=True)
class ExpectLength:
    """Let the commit happen only if the list ``key`` has exactly ``length`` values before it; 0: only if it is missing.

    As with Expect, before it means before all its writes. Whoever appends at a known position writes no gap and
    overtakes nobody.
    """

    key: str
    length: int


Condition = Expect | ExpectLength
Write = Put | Append | Delete | Truncate | Touch | Condition


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to write, until ``ttl`` seconds after it was last acquired, renewed or committed with.

    It is stored as an ordinary value: ``get(key)`` returns ``owner`` while the lease is held, so that others can
    be told who has it. ``owner`` must be unique to one acquisition (put a random part in it): it is the fence.
    """

    key: str
    owner: bytes
    ttl: float


class Backend(Protocol):
    """A store of values and lists. All methods may raise the errors of ``swarmchat.backends.errors``.

    Making one does no I/O; the first call does. Calls may run concurrently, from one event loop.
    """

    @property
    def url(self) -> str:
        """How to open it again, with the password masked: for messages, never for connecting."""
        ...

    async def get(self, key: str) -> bytes | None:
        """Return the value of ``key``, or ``None`` when there is none.

        Raises CorruptValue when ``key`` is a list.
        """
        ...

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return the values of ``keys``, in their order: ``None`` where there is none, or a list.

        Costs a round trip for some hundred keys. Each is what it was at some time during the call, not all at one.
        """
        ...

    def scan(self, prefix: str) -> AsyncIterator[tuple[str, bytes]]:
        """Yield the values (not the lists) whose key starts with ``prefix``, ordered by key (by code point).

        A key written or removed meanwhile may or may not be seen; every other one is seen exactly once.
        """
        ...

    async def length(self, key: str) -> int:
        """Return how many values the list ``key`` has; 0 when there is none.

        Raises CorruptValue when ``key`` is a single value.
        """
        ...

    async def slice(self, key: str, start: int, stop: int | None = None) -> list[bytes]:
        """Return what ``values[start:stop]`` would be in Python, negative indexes included.

        Costs by what it returns, not by how long the list is. Raises CorruptValue when ``key`` is a single value.
        """
        ...

    async def commit(self, *writes: Write, lease: Lease | None = None) -> None:
        """Apply ``writes`` in order, all of them or none, in one round trip.

        With ``lease``, nothing is written unless it is still held, and it is renewed by the way. An Expect or
        ExpectLength that does not hold, or a write to a key of the other kind, fails the whole commit. Of several
        reasons to refuse, the first is told: the lease, then each condition in its order (Conflict for an Expect,
        LengthConflict for an ExpectLength, CorruptValue for a key of the other kind), then the other writes. A refused
        commit changes nothing: it does not renew the lease either.

        Once it has returned, the writes survive the death of this process. Each commit lands once, however often the
        driver had to retry it, and a retry of one that has landed succeeds though its conditions hold no longer. When
        it raises BackendUnavailable the outcome is unknown, but it landed wholly or not at all.

        Raises LeaseLost, Conflict, CorruptValue, BackendFull, BackendUnavailable.
        """
        ...

    async def acquire(self, key: str, owner: bytes, ttl: float, *, replacing: bytes | None = None) -> Lease | None:
        """Take the lease ``key`` if nobody holds it, ``owner`` already does, or ``replacing`` does.

        ``replacing`` is for taking over from an owner that is known to be dead. Returns ``None`` when it is held
        by somebody else.
        """
        ...

    async def renew(self, lease: Lease) -> bool:
        """Hold ``lease`` for another ``lease.ttl`` seconds; return False, changing nothing, when it is lost."""
        ...

    async def release(self, lease: Lease) -> None:
        """Give ``lease`` up if it is still held; somebody else's is left alone."""
        ...

    async def close(self) -> None:
        """Let go of connections and files. Closing twice is no error; any other call after it is BackendError."""
        ...
