"""Compare a backend with a dict of values and lists: random commits by Hypothesis, and every read checked.

Keys are put together from a few parts, so that one is often the beginning of another: with random text, a driver that
mixed the lists "x" and "x-1" passed 400 examples.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test
from swarmchat.backends.base import Append, Backend, Delete, Expect, ExpectLength, Put, Touch, Truncate, Write
from swarmchat.backends.errors import BackendError, Conflict, CorruptValue, LengthConflict

PARTS = ("a", "1", "b", "a-1", ":", "*", "{", "}", "..", "/", "\0", "é", "🦦", "[a]", "?", "\\", "%", "_", " ", "\n")
"""What hostile keys are made of."""

HOSTILE = (*PARTS, *(f"{part}:{part}" for part in PARTS), "", "a" * 4096, "{a}:b", "a{}b", "a}b{c", "k", "i", "A")
"""Keys that have to work as well as any other, and stay apart from each other."""

_LONG = 600.0

keys = st.lists(st.sampled_from(PARTS), min_size=1, max_size=3).flatmap(
    lambda parts: st.sampled_from([separator.join(parts) for separator in (":", "-", "")])
)
_values = st.binary(max_size=4)
_ttls = st.sampled_from((None, None, _LONG, 0.0))
_writes: st.SearchStrategy[Write] = st.one_of(
    st.builds(Put, keys, _values, _ttls),
    st.builds(Append, keys, st.lists(_values, max_size=4).map(tuple), _ttls),
    st.builds(Delete, keys),
    st.builds(Truncate, keys, st.integers(0, 5)),
    st.builds(Touch, keys, _ttls),
)
_bounds = st.integers(-6, 6)

_Model = dict[str, bytes | list[bytes]]


def check_model(make_backend: Callable[[], Backend], examples: int = 60, steps: int = 30) -> None:
    """Compare the backends that ``make_backend`` opens, on an empty store, with the model.

    Raises AssertionError, and prints the shortest commits that show the difference. Leaves the store empty.
    """

    class Comparison(_Comparison):
        def __init__(self) -> None:
            super().__init__(make_backend)

    run_state_machine_as_test(
        Comparison,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


class _Comparison(RuleBasedStateMachine):
    def __init__(self, make_backend: Callable[[], Backend]) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.backend = make_backend()
        self.model: _Model = {}

    def teardown(self) -> None:
        self.runner.run(self.backend.commit(*(Delete(key) for key in self.model)))
        self.runner.run(self.backend.close())
        self.runner.close()

    @rule(writes=st.lists(_writes, min_size=1, max_size=4))
    def commit(self, writes: list[Write]) -> None:
        refusal: type[BackendError] | None = None
        try:
            self.model = _applied(self.model, writes)
        except BackendError as error:
            refusal = type(error)
        assert self._outcome(self.backend.commit(*writes)) is refusal
        for write in writes:
            self.read(write.key, 0, None)

    @rule(writes=st.lists(_writes, max_size=4), data=st.data())
    def commit_if(self, writes: list[Write], data: st.DataObject) -> None:
        mixed = list(writes)
        for _ in range(data.draw(st.integers(1, 3))):
            mixed.insert(data.draw(st.integers(0, len(mixed))), data.draw(_expects(self.model)))
        self.commit(mixed)

    @rule(key=keys, start=_bounds, stop=st.none() | _bounds)
    def read(self, key: str, start: int, stop: int | None) -> None:
        content = self.model.get(key)
        as_value = content if not isinstance(content, list) else CorruptValue
        as_list = [] if content is None else content if isinstance(content, list) else CorruptValue
        wanted_slice = as_list[start:stop] if isinstance(as_list, list) else CorruptValue
        wanted_length = len(as_list) if isinstance(as_list, list) else CorruptValue
        assert self._outcome(self.backend.get(key)) == as_value
        assert self._outcome(self.backend.slice(key, start, stop)) == wanted_slice
        assert self._outcome(self.backend.length(key)) == wanted_length

    @rule(wanted=st.lists(keys, max_size=4))
    def get_many(self, wanted: list[str]) -> None:
        contents = map(self.model.get, wanted)
        values = [content if isinstance(content, bytes) else None for content in contents]
        assert self.runner.run(self.backend.get_many(wanted)) == values

    @rule(prefix=st.just("") | keys)
    def scan(self, prefix: str) -> None:
        async def collect() -> list[tuple[str, bytes]]:
            return [found async for found in self.backend.scan(prefix)]

        wanted = [
            (key, content)
            for key, content in sorted(self.model.items())
            if key.startswith(prefix) and isinstance(content, bytes)
        ]
        assert self.runner.run(collect()) == wanted

    def _outcome(self, call: Any) -> object:
        try:
            return self.runner.run(call)
        except (Conflict, CorruptValue) as error:
            return type(error)


def _expects(model: _Model) -> st.SearchStrategy[Expect | ExpectLength]:
    """What holds, mostly, and what nearly does, mostly on keys that are there."""

    def of(key: str) -> st.SearchStrategy[Expect | ExpectLength]:
        content = model.get(key)
        if isinstance(content, list):
            length = st.sampled_from((len(content),) * 5 + (0, len(content) + 1))
            return st.builds(ExpectLength, st.just(key), length) | st.builds(Expect, st.just(key), st.none() | _values)
        nearly = (b"",) if content is None else (None, content[:-1], content + b"\0")
        expect = st.builds(Expect, st.just(key), st.sampled_from((content,) * 5 + nearly))
        return expect | st.builds(ExpectLength, st.just(key), st.sampled_from((0, 0, 0, 1)))

    there = list(model)
    return (st.sampled_from(there) | keys if there else keys).flatmap(of)


def _applied(model: _Model, writes: list[Write]) -> _Model:
    """Return what ``writes`` make of ``model``. Raises what a backend has to refuse them with."""
    for write in writes:
        if isinstance(write, Expect):
            content = model.get(write.key)
            if isinstance(content, list):
                raise CorruptValue
            if content != write.value:
                raise Conflict
        elif isinstance(write, ExpectLength):
            content = model.get(write.key)
            if isinstance(content, bytes):
                raise CorruptValue
            if len(content or []) != write.length:
                raise LengthConflict
    after = {key: list(content) if isinstance(content, list) else content for key, content in model.items()}
    for write in writes:
        content = after.get(write.key)
        match write:
            case Put(key, value):
                if isinstance(content, list):
                    raise CorruptValue
                after[key] = value
            case Append(key, values):
                if isinstance(content, bytes):
                    raise CorruptValue
                if content or values:
                    after[key] = [*(content or []), *values]
            case Truncate(key, keep):
                if isinstance(content, bytes):
                    raise CorruptValue
                if content:
                    after[key] = content[:keep]
            case Delete(key):
                after.pop(key, None)
            case Touch() | Expect() | ExpectLength():
                pass
        is_gone = isinstance(write, Put | Append | Touch) and write.ttl == 0
        if is_gone or after.get(write.key) == []:
            after.pop(write.key, None)
    return after
