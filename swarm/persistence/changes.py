"""Changes that are to land together: collected first, then applied in one commit.

A change to a value is a function of what is there, not a new value, so that it can be applied again when another
process was faster. What a tool changes is collected like this and committed with the tool's result: all of it or none.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from swarmchat.backends import Backend, Conflict, Delete, Expect, Lease, Put, Write

Change = Callable[[bytes | None], bytes | None]
"""From the value that is there (``None``: there is none) to the one to be. May be called more than once."""

_ATTEMPTS = 100


@dataclass(frozen=True, slots=True)
class Edit:
    """One change to the value of ``key``, which then lives ``ttl`` seconds."""

    key: str
    change: Change
    ttl: float | None = None
    recorded_as: tuple[str, str] | None = None
    """The type of the log's record that tells of the new value, and the name in it. ``None``: none does."""


class Edits:
    """Changes in the order in which they were made, and how the store looks with them."""

    def __init__(self) -> None:
        self.edits: list[Edit] = []
        self.writes: list[Write] = []
        """Writes that rely on nothing that is there, of keys that no edit touches."""

    def __bool__(self) -> bool:
        return bool(self.edits or self.writes)

    def edit(
        self, key: str, change: Change, ttl: float | None = None, recorded_as: tuple[str, str] | None = None
    ) -> None:
        """Add a change to the value of ``key``; see Edit."""
        self.edits.append(Edit(key, change, ttl, recorded_as))

    def write(self, *writes: Write) -> None:
        """Add writes that rely on nothing."""
        self.writes += writes

    async def read(self, backend: Backend, key: str) -> bytes | None:
        """Return the value of ``key`` as it will be with these changes."""
        for write in reversed(self.writes):
            if isinstance(write, Put | Delete) and write.key == key:
                return write.value if isinstance(write, Put) else None
        value = await backend.get(key)
        for edit in self.edits:
            if edit.key == key:
                value = edit.change(value)
        return value

    def extend(self, other: "Edits") -> None:
        """Add the changes of ``other`` behind these."""
        self.edits += other.edits
        self.writes += other.writes


Values = Mapping[str, bytes | None]


async def commit_edits(
    backend: Backend,
    edits: Edits,
    lease: Lease | None = None,
    further: Callable[[Values], Sequence[Write]] = lambda values: (),
) -> Values:
    """Apply ``edits`` in one commit, again from the start when somebody else was faster; return the new values.

    ``further`` takes the new values of the edited keys and returns what else is to be written in the same commit.
    Raises Conflict when somebody else is faster a hundred times in a row, what a change raises, and the backend's
    errors; nothing is written then.
    """
    for attempt in range(_ATTEMPTS):
        before: dict[str, bytes | None] = {}
        after: dict[str, tuple[bytes | None, float | None]] = {}
        for edit in edits.edits:
            if edit.key not in before:
                before[edit.key] = await backend.get(edit.key)
                after[edit.key] = (before[edit.key], None)
            after[edit.key] = (edit.change(after[edit.key][0]), edit.ttl)
        values = {key: value for key, (value, _) in after.items()}
        expected = [Expect(key, value) for key, value in before.items()]
        changed = [Delete(key) if value is None else Put(key, value, ttl) for key, (value, ttl) in after.items()]
        try:
            await backend.commit(*expected, *edits.writes, *changed, *further(values), lease=lease)
        except Conflict:
            if attempt == _ATTEMPTS - 1:
                raise
        else:
            return values
    raise AssertionError("the last attempt returns or raises")
