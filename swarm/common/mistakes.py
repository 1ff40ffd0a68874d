"""Error messages for a swarm's author: the wrong argument, where it is given, and what was expected."""

import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from typing import Any, NamedTuple, ParamSpec, TypeVar

from swarmchat.swarm.common.names import nearest
from swarmchat.swarm.errors import DefinitionError

_P = ParamSpec("_P")
_T = TypeVar("_T")
_LONGEST = 60


class Expected(NamedTuple):
    """What an argument is expected to be; with ``many``, each item of a list."""

    words: str
    fits: Callable[[Any], bool]
    many: bool = False


def instance_of(kind: type, words: str) -> Expected:
    """Return that an instance of ``kind`` is expected."""
    return Expected(words, lambda value: isinstance(value, kind))


def many(words: str, fits: Callable[[Any], bool]) -> Expected:
    """Return the expectation of a list whose items fit."""
    return Expected(words, fits, many=True)


def named_part(value: object) -> bool:
    """Whether ``value`` is the name of a part of a swarm, or a part."""
    return isinstance(value, str) or isinstance(getattr(value, "name", None), str)


TEXT = instance_of(str, "a text")
FUNCTION = Expected("a function", callable)
COUNT = Expected("a whole number above 0", lambda value: isinstance(value, int) and _is_number(value) and value > 0)
SECONDS = Expected("seconds above 0", lambda value: _is_number(value) and value > 0)


def optional(expected: Expected) -> Expected:
    """Return that ``None`` is fine, too."""
    return Expected(expected.words, lambda value: value is None or expected.fits(value), expected.many)


def check_fields(owner: str, part: object, expected: Mapping[str, Expected]) -> None:
    """Raise DefinitionError for the first attribute of ``part`` that does not fit the ``expected`` one of its name."""
    for name, each in expected.items():
        check_value(owner, name, getattr(part, name), each)


def check_value(owner: str, name: str, value: object, expected: Expected) -> None:
    """Raise DefinitionError unless ``value``, the argument ``name`` of ``owner``, is as ``expected``."""
    if not expected.many:
        if not expected.fits(value):
            raise DefinitionError(f"{owner}: {name} is {shown(value)}, expected {expected.words}")
        return
    if value is None and expected.fits(None):
        return
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Sequence | set | frozenset):
        item = repr(value) if isinstance(value, str) else getattr(value, "__name__", "…")
        advice = f": write {name}=[{item}]" if expected.fits(value) else ""
        raise DefinitionError(f"{owner}: {name} is {shown(value)}, expected a list of {expected.words}{advice}")
    for index, item in enumerate(value):
        if not expected.fits(item):
            raise DefinitionError(f"{owner}: {name}[{index}] is {shown(item)}, expected {expected.words}")


def shown(value: object) -> str:
    """Return ``value`` as a message names it."""
    if inspect.isclass(value):
        return f"the class {value.__name__}"
    if inspect.isroutine(value):
        return f"the function {value.__name__}"
    if inspect.iscoroutine(value):
        return "a coroutine that was not awaited"
    if isinstance(value, list | tuple):
        items = ", ".join(map(shown, value[:3])) + (", …" if len(value) > 3 else "")
        return f"[{items}]"
    if value is None or isinstance(value, str | bytes | int | float | dict | set):
        text = repr(value)
        return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
    name = type(value).__name__
    return f"{'an' if name[0] in 'AEIOUaeiou' else 'a'} {name}"


def described(error: Exception) -> str:
    """Return in short why pydantic cannot describe a type."""
    reason = str(error).splitlines()[0].partition(". Set ")[0]
    return re.sub(r"<class '(?:.*\.)?(\w+)'>", r"\1", reason)


def explained(cls: type[_T]) -> type[_T]:
    """Have ``cls`` raise DefinitionError for arguments that it does not have, or that are missing."""
    cls.__init__ = explained_method(cls.__name__)(cls.__init__)  # type: ignore[method-assign]  # the same signature
    return cls


def explained_method(owner: str) -> Callable[[Callable[_P, _T]], Callable[_P, _T]]:
    """Have a method, which messages call ``owner``, raise DefinitionError as an ``explained`` class does."""

    def explain(plain: Callable[_P, _T]) -> Callable[_P, _T]:
        @wraps(plain)
        def call(*arguments: _P.args, **named: _P.kwargs) -> _T:
            try:
                return plain(*arguments, **named)
            except TypeError:
                problem = _problem(inspect.signature(plain), arguments[1:], named)
                if problem is None:
                    raise
                raise DefinitionError(f"{owner}: {problem}") from None

        return call

    return explain


def _problem(signature: inspect.Signature, arguments: Sequence[Any], named: Iterable[str]) -> str | None:
    names = [name for name in signature.parameters if name not in ("self", "cls")]
    for name in named:
        if name not in names:
            return f"unknown argument {name!r}; {nearest(name, names)}"
    if len(arguments) > len(names):
        return f"{len(arguments)} arguments, expected at most {len(names)}: {', '.join(names)}"
    names_passed = {*names[: len(arguments)], *named}
    required = [name for name in names if signature.parameters[name].default is inspect.Parameter.empty]
    missing = [name for name in required if name not in names_passed]
    return f"missing argument {missing[0]!r}" if missing else None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
