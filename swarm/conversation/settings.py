"""What can be set for a session."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from swarmchat.swarm.context.builder import Budget
from swarmchat.swarm.persistence.store import Lifetimes

if TYPE_CHECKING:
    from swarmchat.swarm.agents.rescue_steps import Step


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
    """The same call with the same arguments is not carried out for this time in one turn."""
    lifetimes: Lifetimes = field(default_factory=Lifetimes)
    lease: float = 30
    """How long a session stays closed to others after its process vanished from another machine."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Fields for each request: temperature, max_tokens …"""
    rescue: Sequence["Step"] | None = None
    """The steps of the rescue, in order. ``None``: those of the swarm."""
    placeholder: str | None = None
    """What is answered when no step has helped. ``None``: what the swarm says."""
    approve: Mapping[str, str] = field(default_factory=dict)
    """Patterns of tool names (``refund*``) to auto, ask or deny; the first that fits goes before the tool's own."""

    def rule_for(self, tool: str, default: str) -> str:
        """Return whether ``tool`` may run: auto, ask or deny; ``default`` is what it says itself."""
        return next((rule for pattern, rule in self.approve.items() if fnmatchcase(tool, pattern)), default)

    def for_record(self, *, one_model: bool = False) -> dict[str, Any]:
        """Return what a replay has to know and cannot see in the log: fields that are not as they are by default."""
        default = SessionSettings()
        names = ("reserve", "high", "low", "max_requests", "max_repeats", "placeholder", "parameters")
        told = {name: getattr(self, name) for name in names if getattr(self, name) != getattr(default, name)}
        if self.rescue is not None:
            told["rescue"] = [step if isinstance(step, str) else step.__name__ for step in self.rescue]
        if one_model:
            # It answered for agents that name another one too.
            told["one_model"] = True
        return {"settings": told} if told else {}

    def budget(self, window: int, correction: float = 1.0) -> Budget:
        """Return the budget for a context window of ``window`` tokens."""
        reserve = self.reserve
        if reserve is None:
            reserve = int(self.parameters.get("max_tokens") or min(4096, window // 8))
        return Budget(window, min(reserve, window - 1), self.high, self.low, correction)
