"""User messages to a running turn."""

from collections import deque

from swarmchat.swarm.common.encoding import clean_text


class Steering:
    """Messages that go along with the next request of the running turn, in their order.

    The next request also takes one that came between two turns.
    """

    def __init__(self) -> None:
        self.waiting = deque[str]()
        self.refused: list[str] = []
        """Those that a hook or a policy refused."""

    def add(self, text: str) -> None:
        """Send ``text`` along with the next request."""
        self.waiting.append(clean_text(text))

    def take_unsent(self) -> list[str]:
        """Take back what was refused, or came too late for the last request, to be sent in a turn of its own."""
        unsent = [*self.refused, *self.waiting]
        self.refused.clear()
        self.waiting.clear()
        return unsent
