"""Values in a backend with their lifetimes, and changes that are committed together.

A change is a function of the current value, so it can be applied again when another process was faster. The changes of
a tool are staged in a ChangeSet and committed with the tool's result: all of them or none.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from swarmchat.backends import Backend, Conflict, Delete, Expect, Lease, LengthConflict, Put, Write
from swarmchat.swarm.persistence.records import RecordType

Update = Callable[[bytes | None], bytes | None]
"""Maps the current value (``None`` if missing) to the new one. May be called more than once."""

_ATTEMPTS = 100


class Change(NamedTuple):
    """One change to the value of ``key``, which then lives ``ttl`` seconds."""

    key: str
    update: Update
    ttl: float | None = None
    recorded_as: tuple[RecordType, str] | None = None
    """Type and name of the record that holds the new value; ``None`` if the log does not mention it."""


@dataclass(eq=False)
class ChangeSet:
    """Changes in the order in which they were made, and the values of the store with them."""

    changes: list[Change] = field(default_factory=list)
    writes: list[Write] = field(default_factory=list)
    """Writes that do not depend on the current value, to keys that no change touches."""

    def __bool__(self) -> bool:
        return bool(self.changes or self.writes)

    def update(
        self, key: str, update: Update, ttl: float | None = None, recorded_as: tuple[RecordType, str] | None = None
    ) -> None:
        """Add a change to the value of ``key``; see Change."""
        self.changes.append(Change(key, update, ttl, recorded_as))

    def write(self, *writes: Write) -> None:
        """Add writes that do not depend on the current value."""
        self.writes += writes

    async def read(self, backend: Backend, key: str) -> bytes | None:
        """Return the value of ``key`` as it will be with these changes."""
        for write in reversed(self.writes):
            if isinstance(write, Put | Delete) and write.key == key:
                return write.value if isinstance(write, Put) else None
        value = await backend.get(key)
        for change in self.changes:
            if change.key == key:
                value = change.update(value)
        return value

    def extend(self, other: "ChangeSet") -> None:
        """Add the changes of ``other`` behind these."""
        self.changes += other.changes
        self.writes += other.writes


Values = Mapping[str, bytes | None]


async def commit_changes(
    backend: Backend,
    changes: ChangeSet,
    lease: Lease | None = None,
    further: Callable[[Values], Sequence[Write]] = lambda values: (),
) -> Values:
    """Apply ``changes`` in one commit, again from the start if another process was faster; return the new values.

    ``further`` maps the new values of the changed keys to more writes for the same commit. Raises Conflict when another
    process is faster a hundred times in a row, LengthConflict at once, what a change raises, and the backend's errors;
    nothing is written then.
    """
    for attempt in range(_ATTEMPTS):
        before: dict[str, bytes | None] = {}
        after: dict[str, tuple[bytes | None, float | None]] = {}
        for change in changes.changes:
            key = change.key
            if key not in before:
                before[key] = await backend.get(key)
                after[key] = (before[key], None)
            after[key] = (change.update(after[key][0]), change.ttl)
        values = {key: value for key, (value, _) in after.items()}
        expected = [Expect(key, value) for key, value in before.items()]
        changed = [Delete(key) if value is None else Put(key, value, ttl) for key, (value, ttl) in after.items()]
        try:
            await backend.commit(*expected, *changes.writes, *changed, *further(values), lease=lease)
        except LengthConflict:
            raise
        except Conflict:
            if attempt == _ATTEMPTS - 1:
                raise
        else:
            return values
    raise AssertionError("the last attempt returns or raises")


@dataclass(frozen=True)
class Lifetimes:
    """How long each kind of value is kept, in seconds; ``None``: for ever."""

    session: float | None = None
    """The log, the entry in the list, agent and stack, states: from the last turn."""
    memory: float | None = None
    storage: float | None = None
    embedding: float | None = None
    ban: float | None = None
    """Unless the policy says how long."""
    alive: float = 60
    """Presence, from its last renewal."""


REDIS_LIFETIMES = Lifetimes(session=24 * 3600, embedding=7 * 24 * 3600)
"""The defaults for Redis, whose memory is limited and shared."""


@dataclass(frozen=True)
class Store:
    """A backend, and writes to commit to it later.

    Without ``changes``, changes are committed at once. With it they are staged there, reads through this store include
    them, and the creator of the store commits them.
    """

    backend: Backend
    lifetimes: Lifetimes = field(default_factory=Lifetimes)
    changes: ChangeSet | None = None

    async def read(self, key: str) -> bytes | None:
        """Return the value of ``key`` with the staged changes."""
        return await self.backend.get(key) if self.changes is None else await self.changes.read(self.backend, key)

    async def update(
        self, key: str, change: Update, ttl: float | None = None, recorded_as: tuple[RecordType, str] | None = None
    ) -> None:
        """Change the value of ``key``, at once or with the staged changes."""
        await self.apply(ChangeSet([Change(key, change, ttl, recorded_as)]))

    async def apply(self, changes: ChangeSet) -> None:
        """Commit ``changes``, or stage them."""
        if self.changes is None:
            await commit_changes(self.backend, changes)
        else:
            self.changes.extend(changes)
