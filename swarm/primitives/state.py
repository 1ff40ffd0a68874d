"""States: typed values, such as a form that is being filled in, kept outside the history.

A state belongs to a session, or to all sessions and clients if it is shared; a computed one is a function of others.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from inspect import isclass, iscoroutinefunction
from typing import TYPE_CHECKING, Any, Generic, TypeVar, get_type_hints, is_typeddict, overload

from swarmchat.swarm.common.author_functions import call_author_function
from swarmchat.swarm.common.mistakes import Expected, check_value, explained, many, shown
from swarmchat.swarm.common.names import name_of
from swarmchat.swarm.errors import DefinitionError, StateError
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.records import RecordType
from swarmchat.swarm.persistence.store import Store

T = TypeVar("T")
Reducer = Callable[[T, T], T]


@explained
@dataclass(frozen=True)
class State(Generic[T]):
    """A value that each session keeps under a name. A swarm declares it; tools use it with ``ctx.state(state)``."""

    name: str
    default: Callable[[], T] | T
    """The value at first and after ``clear``, or a function (or class) that returns it."""
    type: Any = None
    """Type of the value: any that pydantic knows. ``None``: the type of the default."""
    reducers: Sequence[Reducer[T]] = ()
    """Functions that take the old and the new value and return the one to keep; they may raise to refuse it."""
    shared: bool = False
    """Whether all sessions of all clients share one value."""
    compute: Callable[..., T | Awaitable[T]] | None = None
    """The function of a state that is never stored: see ``computed``."""
    of: Sequence[str] = ()
    """The states whose values ``compute`` gets."""

    if TYPE_CHECKING:
        # Type checkers cannot tell a class that makes the default from a default that is a class.
        @overload
        def __init__(
            self,
            name: str,
            default: Callable[[], T],
            type: Any = None,
            reducers: Sequence[Reducer[T]] = (),
            shared: bool = False,
            compute: Callable[..., T | Awaitable[T]] | None = None,
            of: Sequence[str] = (),
        ) -> None: ...

        @overload
        def __init__(
            self, name: str, default: T, type: Any = None, reducers: Sequence[Reducer[T]] = (), shared: bool = False
        ) -> None: ...

        def __init__(self, name: str, default: Any, *options: Any, **named: Any) -> None: ...

    def __post_init__(self) -> None:
        check_value("State", "name", self.name, Expected("a text that is not empty", _is_name))
        check_value(f"state {self.name!r}", "reducers", self.reducers, many("functions", callable))
        if self.default is None and self.type is None:
            raise DefinitionError(f"state {self.name!r}: the default is None: give it a type, such as type=str | None")
        # Other types need pydantic, which is not loaded before a state is used.
        plain = isclass(self.type) and not is_typeddict(self.type) and not getattr(self.type, "_is_protocol", False)
        expected = (int, float) if self.type is float else self.type
        if plain and not callable(self.default) and not isinstance(self.default, expected):
            raise self._default_problem()

    def initial(self) -> T:
        """Return a fresh copy of the default, which the caller may change."""
        try:
            return self.decode(self.encode(self._default()))
        except StateError as error:
            raise self._default_problem() from error

    def _default_problem(self) -> DefinitionError:
        return DefinitionError(
            f"state {self.name!r}: the default is {shown(self._default())}, which does not fit its type {self._kind}"
        )

    @property
    def _kind(self) -> str:
        """The type of the value, as messages name it."""
        kind = type(self._default()) if self.type is None else self.type
        return kind.__name__ if isclass(kind) else str(kind)

    def _default(self) -> T:
        return self.default() if callable(self.default) else self.default

    @cached_property
    def _adapter(self) -> Any:
        from pydantic import PydanticUserError, TypeAdapter

        kind = type(self._default()) if self.type is None else self.type
        try:
            return TypeAdapter(kind)
        except PydanticUserError as error:
            raise DefinitionError(
                f"state {self.name!r}: {shown(kind)} cannot be stored as JSON: use a dataclass, a BaseModel, or a type "
                "that pydantic knows"
            ) from error

    def encode(self, value: T) -> bytes:
        """Return ``value`` as JSON. Raises StateError if it does not fit the type."""
        from pydantic import ValidationError
        from pydantic_core import PydanticSerializationError

        try:
            encoded: bytes = self._adapter.dump_json(value, warnings="error")
            # The serializer says nothing of None, nor of numbers that JSON does not have.
            self._adapter.validate_json(encoded)
        except (PydanticSerializationError, ValidationError) as error:
            raise StateError(f"state {self.name!r}: {shown(value)} does not fit its type {self._kind}") from error
        return encoded

    def decode(self, stored: bytes) -> T:
        """Return the value of the JSON ``stored``. Raises StateError if it does not fit the type."""
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


def _is_name(name: object) -> bool:
    return isinstance(name, str) and bool(name)


def computed(*of: State[Any] | str) -> Callable[[Callable[..., T]], State[T]]:
    """Turn a function of the values of the states ``of``, async or not, into a state: ``@computed(basket, prices)``.

    Its name is the function's, its type the function's return annotation. Raises DefinitionError if that is missing.
    """

    def make(function: Callable[..., T]) -> State[T]:
        name = function.__name__
        if not of:
            raise DefinitionError(f"the computed state {name!r} names no states: write @computed(basket)")
        kind = get_type_hints(function).get("return")
        if kind is None:
            raise DefinitionError(
                f"the computed state {name!r} has no return annotation: add one, as in def {name}(…) -> int"
            )

        def never() -> T:
            raise StateError(f"the computed state {name!r} has no default")

        return State(name, never, kind, compute=function, of=tuple(map(name_of, of)))

    return make


class PersistState(Generic[T]):
    """The value of one state: of one session, or shared by all sessions with a swarm.

    ``others`` finds the states that a computed one needs. ``scope`` is the swarm's; ``name`` is the state's name in the
    session, by default that of its definition.
    """

    def __init__(
        self,
        definition: State[T],
        store: Store,
        client: str,
        session: str,
        others: "Callable[[str], PersistState[Any]] | None" = None,
        *,
        scope: str = "",
        name: str | None = None,
    ) -> None:
        self.definition = definition
        self._store = store
        self._others = others
        name = definition.name if name is None else name
        if definition.shared:
            self._key, self._ttl = keys.shared_state(definition.name, scope), store.lifetimes.storage
        else:
            self._key, self._ttl = keys.session_state(client, session, name), store.lifetimes.session
        # As with storages: a session's log does not mention shared data.
        self._recorded_as: tuple[RecordType, str] | None = None if definition.shared else ("state", name)

    async def get(self) -> T:
        """Return the value, or the default if none is stored. Raises StateError, and HookError if it is computed."""
        definition = self.definition
        if definition.compute is None:
            return self._decode(await self._store.read(self._key))
        assert self._others is not None
        values = await asyncio.gather(*(self._others(name).get() for name in definition.of))
        return await call_author_function(f"the computed state {definition.name!r}", definition.compute, *values)

    async def set(self, value: T) -> T:
        """Pass ``value`` through the reducers, store the result and return it."""
        return await self.update(lambda old: value)

    async def update(self, change: Callable[[T], T]) -> T:
        """Store the result of ``change(current value)``, and return it.

        Concurrent updates by tools and processes happen one after another, and none is lost: ``change`` may be called
        again with a newer value, so it must have no side effects. Raises StateError, and the errors of ``change`` and
        the reducers.
        """
        self._check_stored()
        advice = f"a function of the old value: to store a value, write set({shown(change)})"
        check_value(f"state {self.definition.name!r}", "change", change, Expected(advice, callable))
        if iscoroutinefunction(change):
            problem = f"change is {shown(change)}, which is async: await what it needs before the update"
            raise DefinitionError(f"state {self.definition.name!r}: {problem}")
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
        await self._store.update(self._key, edit, self._ttl, self._recorded_as)
        return latest[0]

    async def clear(self) -> None:
        """Remove the value, so that the default applies again."""
        self._check_stored()
        await self._store.update(self._key, lambda stored: None, recorded_as=self._recorded_as)

    def _check_stored(self) -> None:
        if self.definition.compute is not None:
            sources = " and ".join(map(repr, self.definition.of))
            raise StateError(f"the state {self.definition.name!r} is computed: change {sources} instead")

    def _decode(self, stored: bytes | None) -> T:
        return self.definition.initial() if stored is None else self.definition.decode(stored)
