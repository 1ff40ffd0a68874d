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
from swarmchat.backends.testing.tools import scan

PARTS = ("a", "1", "b", "a-1", ":", "*", "{", "}", "..", "/", "\0", "é", "🦦", "[a]", "?", "\\", "%", "_", " ", "\n")
"""Parts of hostile keys."""

HOSTILE = (*PARTS, *(f"{part}:{part}" for part in PARTS), "", "a" * 4096, "{a}:b", "a{}b", "a}b{c", "k", "i", "A")
"""Keys that must work as well as any other, and must not be confused with each other."""

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


def check_model(make_backend: Callable[[], Backend], examples: int = 15, steps: int = 30) -> None:
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
        expected_slice = as_list[start:stop] if isinstance(as_list, list) else CorruptValue
        expected_length = len(as_list) if isinstance(as_list, list) else CorruptValue
        assert self._outcome(self.backend.get(key)) == as_value
        assert self._outcome(self.backend.slice(key, start, stop)) == expected_slice
        assert self._outcome(self.backend.length(key)) == expected_length

    @rule(several=st.lists(keys, max_size=4))
    def get_many(self, several: list[str]) -> None:
        contents = map(self.model.get, several)
        values = [content if isinstance(content, bytes) else None for content in contents]
        assert self.runner.run(self.backend.get_many(several)) == values

    @rule(prefix=st.just("") | keys)
    def scan(self, prefix: str) -> None:
        values = {key: content for key, content in self.model.items() if isinstance(content, bytes)}
        expected = sorted(pair for pair in values.items() if pair[0].startswith(prefix))
        assert self.runner.run(scan(self.backend, prefix)) == expected

    def _outcome(self, call: Any) -> object:
        try:
            return self.runner.run(call)
        except (Conflict, CorruptValue) as error:
            return type(error)


def _expects(model: _Model) -> st.SearchStrategy[Expect | ExpectLength]:
    """Conditions: mostly ones that hold, the others nearly do; mostly on keys that exist."""

    def of(key: str) -> st.SearchStrategy[Expect | ExpectLength]:
        content = model.get(key)
        if isinstance(content, list):
            length = st.sampled_from((len(content),) * 5 + (0, len(content) + 1))
            return st.builds(ExpectLength, st.just(key), length) | st.builds(Expect, st.just(key), st.none() | _values)
        nearly = (b"",) if content is None else (None, content[:-1], content + b"\0")
        expect = st.builds(Expect, st.just(key), st.sampled_from((content,) * 5 + nearly))
        return expect | st.builds(ExpectLength, st.just(key), st.sampled_from((0, 0, 0, 1)))

    return (st.sampled_from(list(model)) | keys if model else keys).flatmap(of)


def _applied(model: _Model, writes: list[Write]) -> _Model:
    """Return ``model`` after ``writes``. Raises the error with which a backend must refuse them."""
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
        expired = isinstance(write, Put | Append | Touch) and write.ttl == 0
        if expired or after.get(write.key) == []:
            after.pop(write.key, None)
    return after
