"""Positions in test files, for error messages."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


class LocatedObject(dict[str, Any]):
    """An object of a file that knows the line of each key."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: dict[str, int] = {}

    @classmethod
    def of(cls, values: Mapping[str, Any], original: Mapping[str, Any]) -> "LocatedObject":
        """Return an object with ``values``, whose keys have the lines of those of ``original``."""
        located = cls()
        located.update(values)
        located.lines = original.lines if isinstance(original, LocatedObject) else {}
        return located


@dataclass(frozen=True)
class Place:
    """A line of a file."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}"

    def of(self, value: Mapping[str, Any], key: str) -> "Place":
        """Return the place of ``key`` in an object that begins here."""
        lines = value.lines if isinstance(value, LocatedObject) else {}
        return Place(self.file, lines.get(key, self.line))
