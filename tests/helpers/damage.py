"""Damaged files and answers of others: any value in an example replaced by one that nobody expects there."""

import json
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

DEEP: Any = "x"
for _ in range(90):
    DEEP = [DEEP]

UNEXPECTED: Sequence[Any] = (
    *(None, True, False, 0, 1, -1, 7, 2**31, 2**63, -(2**63), 10**30, 10**400, 0.5, -0.5, 1e308, -1e308),
    *(
        float("inf"),
        float("nan"),
        "",
        " ",
        "x",
        "\0",
        "\ud800",
        "\x1b[2J",
        "9" * 30,
        "null",
        "{}",
        "[",
        "1e999",
        "é" * 40,
    ),
    *("1e999", "é" * 40, "2026-01-02T03:04:05.000Z", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00"),
    *([], {}, [None], [[]], [{}], {"": None}, {"type": []}, {"id": {}}, ["x", 1], {"x": {"x": ["x"]}}, DEEP),
)
"""Values that no reader expects: of every type, and numbers and texts at the edge of what others can hold."""


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path to each value in ``value``, itself included."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, each in inner for place in places(each, (*path, key)))]


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """Return a copy of ``value`` with ``new`` at ``path``."""
    if not path:
        return new
    key, *rest = path
    if isinstance(value, dict):
        return {**value, key: replaced(value.get(key), tuple(rest), new)}
    return [replaced(each, tuple(rest), new) if index == key else each for index, each in enumerate(value)]


def damaged(*examples: Any) -> st.SearchStrategy[Any]:
    """Return one of ``examples`` with up to three of its values replaced, or their fields renamed to one another."""

    @st.composite
    def values(draw: st.DrawFn) -> Any:
        value = draw(st.sampled_from(examples))
        for _ in range(draw(st.integers(1, 3))):
            value = replaced(value, draw(st.sampled_from(places(value))), draw(st.sampled_from(UNEXPECTED)))
        return value

    return values()


def as_json(value: Any) -> bytes:
    """Return ``value`` as JSON, as Python writes it: with NaN, and with surrogates as escapes."""
    return json.dumps(value).encode()


def as_toml(value: Any) -> str:
    """Return ``value`` as TOML: a table at the top, everything in it inline."""
    return "".join(f"{json.dumps(key)} = {_inline(each)}\n" for key, each in value.items())


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {_inline(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_inline, value)) + "]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, bool) or value is None:
        return json.dumps(bool(value))
    # Hexadecimal: Python refuses to write long numbers in decimal digits.
    return repr(value) if isinstance(value, float) or value < 0 else hex(value)
