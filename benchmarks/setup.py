"""The setup of every benchmark: where to put its files, and how much to measure."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

_Size = TypeVar("_Size")


@dataclass(frozen=True)
class Setup:
    """A folder for files, and whether all of it is to be over in two minutes."""

    folder: Path
    quick: bool = False

    def rounds(self, number: int) -> int:
        """Return how many rounds in place of ``number``: where it has to be quick, a fifth, and at least three."""
        return max(3, number // 5) if self.quick else number

    def sizes(self, sizes: Sequence[_Size], quick: int = 2) -> Sequence[_Size]:
        """Return which ``sizes`` to measure: all of them, or the first ``quick`` ones."""
        return sizes[:quick] if self.quick else sizes

    def subfolder(self, name: str) -> Path:
        """Return a new folder."""
        path = self.folder / name
        path.mkdir()
        return path
