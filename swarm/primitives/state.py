"""States: what is being filled in or played, kept beside the history and not in it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar

from swarmchat.swarm.errors import StateError
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.store import ChangeSet, Store

T = TypeVar("T")
Reducer = Callable[[T, T], T]


@dataclass(frozen=True)
class State(Generic[T]):
    """What a session keeps under a name. A swarm declares it, tools reach it with ``ctx.state(name)``."""

    name: str
    default: Callable[[], T] | T
    """The value at first and after ``clear``: a value, or a function that makes one (a class will do)."""
    type: Any = None
    """What the value is read back as: any type that pydantic knows. ``None``: that of the default."""
    reducers: Sequence[Reducer[T]] = ()
    """Functions of the old and the new value that return the one to be kept; they may refuse by raising."""

    def initial(self) -> T:
        """Return a default of one's own."""
        made = self.default() if callable(self.default) else self.default
        # What was handed in must not change because a tool changes what it got.
        return self.decode(self.encode(made))

    @cached_property
    def _adapter(self) -> Any:
        from pydantic import TypeAdapter

        if self.type is not None:
            return TypeAdapter(self.type)
        return TypeAdapter(type(self.default() if callable(self.default) else self.default))

    def encode(self, value: T) -> bytes:
        """Return ``value`` as JSON."""
        encoded: bytes = self._adapter.dump_json(value)
        return encoded

    def decode(self, stored: bytes) -> T:
        """Read a value back. Raises StateError for what is no value of the type."""
        from pydantic import ValidationError

        try:
            value: T = self._adapter.validate_json(stored)
        except ValidationError as error:
            problem = error.errors()[0]
            where = ".".join(map(str, problem["loc"])) or "it"
            raise StateError(
                f"state {self.name!r} holds what it cannot: {where}: {problem['msg']}. It was left as it is; "
                "clear it to begin anew"
            ) from error
        return value


class PersistState(Generic[T]):
    """The value of one state in one session."""

    def __init__(self, definition: State[T], store: Store, client: str, session: str) -> None:
        self.definition = definition
        self._store = store
        self._key = keys.session_state(client, session, definition.name)

    async def get(self) -> T:
        """Return the value, the default if there is none. Raises StateError."""
        return self._decode(await self._store.read(self._key))

    async def set(self, value: T) -> T:
        """Keep ``value``, or what the reducers make of it; return that."""
        return await self.update(lambda old: value)

    async def update(self, change: Callable[[T], T]) -> T:
        """Keep what ``change`` makes of the value; return it.

        Updates of several tools and processes come one after another, and none is lost: ``change`` may be called again
        with a newer value, so it must do nothing but compute. Raises StateError, and what ``change`` and the reducers
        raise.
        """
        latest: list[T] = []

        def edit(stored: bytes | None) -> bytes | None:
            old = self._decode(stored)
            new = change(self._decode(stored))
            for reducer in self.definition.reducers:
                new = reducer(old, new)
            latest[:] = [new]
            return self.definition.encode(new)

        changes = ChangeSet()
        changes.update(self._key, edit, self._store.lifetimes.session, ("state", self.definition.name))
        if self._store.changes is not None:
            # Collected for later, so try it now: a change that raises must not be collected.
            edit(await self._store.read(self._key))
        await self._store.apply(changes)
        return latest[0]

    async def clear(self) -> None:
        """Forget the value; the default holds again."""
        changes = ChangeSet()
        changes.update(self._key, lambda stored: None, recorded_as=("state", self.definition.name))
        await self._store.apply(changes)

    def _decode(self, stored: bytes | None) -> T:
        return self.definition.initial() if stored is None else self.definition.decode(stored)
