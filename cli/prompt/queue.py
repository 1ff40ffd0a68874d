"""Messages and commands that were entered while an answer came."""

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True)
class Entered:
    """What the user entered: as it stood at the prompt, and in full."""

    shown: str
    text: str


class Queue:
    """What waits for its turn, in order. ``held``: until the user says so, as after an error."""

    def __init__(self) -> None:
        self._waiting: deque[Entered] = deque()
        self.held = False

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, entered: Entered) -> None:
        """Put ``entered`` at the end."""
        self._waiting.append(entered)

    def next(self) -> Entered | None:
        """Take the first one, unless they are held."""
        if self.held or not self._waiting:
            return None
        return self._waiting.popleft()

    def take_back(self) -> Entered | None:
        """Take the last one."""
        taken = self._waiting.pop() if self._waiting else None
        self.held = self.held and bool(self._waiting)
        return taken

    def drop(self) -> int:
        """Let go of all; return how many there were."""
        count = len(self._waiting)
        self._waiting.clear()
        self.held = False
        return count
