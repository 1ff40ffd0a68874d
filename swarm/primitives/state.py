"""States of a session: typed values, such as a form that is being filled in, kept outside the history."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar

from swarmchat.swarm.errors import StateError
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.store import Store

T = TypeVar("T")
Reducer = Callable[[T, T], T]


@dataclass(frozen=True)
class State(Generic[T]):
    """A value that each session keeps under a name. A swarm declares it; tools use it with ``ctx.state(name)``."""

    name: str
    default: Callable[[], T] | T
    """The value at first and after ``clear``, or a function (or class) that returns it."""
    type: Any = None
    """Type of the value: any that pydantic knows. ``None``: the type of the default."""
    reducers: Sequence[Reducer[T]] = ()
    """Functions that take the old and the new value and return the one to keep; they may raise to refuse it."""

    def initial(self) -> T:
        """Return a fresh copy of the default, which the caller may change."""
        return self.decode(self.encode(self._default()))

    def _default(self) -> T:
        return self.default() if callable(self.default) else self.default

    @cached_property
    def _adapter(self) -> Any:
        from pydantic import TypeAdapter

        return TypeAdapter(type(self._default()) if self.type is None else self.type)

    def encode(self, value: T) -> bytes:
        """Return ``value`` as JSON."""
        encoded: bytes = self._adapter.dump_json(value)
        return encoded

    def decode(self, stored: bytes) -> T:
        """Return the value that is ``stored``. Raises StateError if it does not fit the type."""
        from pydantic import ValidationError

        try:
            value: T = self._adapter.validate_json(stored)
        except ValidationError as error:
            problem = error.errors()[0]
            where = ".".join(map(str, problem["loc"])) or "value"
            raise StateError(
                f"the stored value of state {self.name!r} does not fit its type: {where}: {problem['msg']}; "
                "it was not changed: clear the state to start again with the default"
            ) from error
        return value


class PersistState(Generic[T]):
    """The value of one state in one session, where it is stored as ``name``; by default that of its definition."""

    def __init__(self, definition: State[T], store: Store, client: str, session: str, name: str | None = None) -> None:
        self.definition = definition
        self._store = store
        self._name = definition.name if name is None else name
        self._key = keys.session_state(client, session, self._name)

    async def get(self) -> T:
        """Return the value, or the default if none is stored. Raises StateError."""
        return self._decode(await self._store.read(self._key))

    async def set(self, value: T) -> T:
        """Store ``value`` as the reducers return it; return that."""
        return await self.update(lambda old: value)

    async def update(self, change: Callable[[T], T]) -> T:
        """Store what ``change`` returns for the current value; return it.

        Concurrent updates by tools and processes happen one after another, and none is lost: ``change`` may be called
        again with a newer value, so it must have no side effects. Raises StateError, and the errors of ``change`` and
        the reducers.
        """
        latest: list[T] = []

        def edit(stored: bytes | None) -> bytes | None:
            old = self._decode(stored)
            new = change(self._decode(stored))
            for reducer in self.definition.reducers:
                new = reducer(old, new)
            latest[:] = [new]
            return self.definition.encode(new)

        if self._store.changes is not None:
            # The change is committed later, so try it now: one that raises must not be staged.
            edit(await self._store.read(self._key))
        await self._store.update(self._key, edit, self._store.lifetimes.session, ("state", self._name))
        return latest[0]

    async def clear(self) -> None:
        """Remove the value, so that the default applies again."""
        await self._store.update(self._key, lambda stored: None, recorded_as=("state", self._name))

    def _decode(self, stored: bytes | None) -> T:
        return self.definition.initial() if stored is None else self.definition.decode(stored)
