"""What can be set for a session."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from swarmchat.swarm.context import Budget
from swarmchat.swarm.persist import Lifetimes


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """Bounds, lifetimes and parameters. Times are in seconds, sizes in tokens."""

    context_window: int | None = None
    """Overrides what the model says of itself."""
    reserve: int | None = None
    """Kept free for the answer. ``None``: an eighth of the window, at most 4,096."""
    high: float = 0.9
    low: float = 0.7
    max_requests: int = 20
    """Requests to the model in one turn."""
    max_repeats: int = 3
    """How often one turn may hold the same call with the same arguments; the last of them ends it."""
    lifetimes: Lifetimes = field(default_factory=Lifetimes)
    lease: float = 30
    """How long a session stays closed to others after its process vanished from another machine."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Fields for each request: temperature, max_tokens …"""
    approve: Mapping[str, str] = field(default_factory=dict)
    """Patterns of tool names (``refund*``) to auto, ask or deny; the first that fits goes before the tool's own."""

    def budget(self, window: int, correction: float = 1.0) -> Budget:
        """Return the budget for a context window of ``window`` tokens."""
        reserve = self.reserve
        if reserve is None:
            reserve = int(self.parameters.get("max_tokens") or min(4096, window // 8))
        return Budget(window, min(reserve, window - 1), self.high, self.low, correction)
