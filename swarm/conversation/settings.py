"""The settings of a session."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swarmchat.swarm.common.bounds import MAX_RESULT, MAX_TASK_DEPTH
from swarmchat.swarm.common.mistakes import (
    COUNT,
    SECONDS,
    TEXT,
    Expected,
    check_fields,
    explained,
    instance_of,
    many,
    optional,
)
from swarmchat.swarm.errors import DefinitionError
from swarmchat.swarm.persistence.store import Lifetimes

if TYPE_CHECKING:
    from swarmchat.swarm.agents.rescue_steps import Step
    from swarmchat.swarm.context.builder import Budget


_RECORDED = ("reserve", "high", "low", "max_requests", "max_repeats", "placeholder", "parameters")
_RECORDED_OF_TASKS = ("task_requests", "task_tokens", "task_depth")
"""The settings that a replay needs and that only ``session`` and ``set`` records contain, besides the rescue."""


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


_SIZE = Expected("a whole number, 0 or more", _is_size)
_TABLE = instance_of(Mapping, "a mapping")
_RULES = ("auto", "ask", "deny")
"""The rules for approval, the strictest last."""
_EXPECTED = {
    **dict.fromkeys(("context_window", "reserve"), optional(_SIZE)),
    **dict.fromkeys(("max_requests", "max_result", "max_repeats"), _SIZE),
    **dict.fromkeys(("task_requests", "task_tokens", "tasks_at_once"), COUNT),
    "task_seconds": SECONDS,
    "task_depth": _SIZE,
    **dict.fromkeys(("parameters", "approve", "approve_at_least"), _TABLE),
    "lifetimes": instance_of(Lifetimes, "Lifetimes(…)"),
    "rescue": optional(many("steps", lambda step: isinstance(step, str) or callable(step))),
    "placeholder": optional(TEXT),
}
"""What the settings are expected to be."""


@explained
@dataclass(frozen=True, slots=True)
class SessionSettings:
    """Limits, lifetimes and parameters. Times are in seconds, sizes in tokens."""

    context_window: int | None = None
    """The context window; overrides that of the model."""
    reserve: int | None = None
    """Tokens kept free for the answer. ``None``: an eighth of the window, at most 4,096."""
    auto_compact: bool = False
    """Whether older turns are summarized, as by ``Session.compact``, before a turn that would drop some of them."""
    high: float | None = None
    """Share of the room for conversation at which the oldest messages are dropped. ``None``: by the window."""
    low: float | None = None
    """Share of that room that is filled after that. ``None``: by the window."""
    max_requests: int = 20
    """The most requests to the model in one turn."""
    max_result: int = MAX_RESULT
    """Characters of a tool's result; the rest is cut off, and the model is told."""
    max_repeats: int = 3
    """The call of one tool with the same arguments in one turn that is refused: 3 allows two."""
    task_requests: int = 20
    """The most requests to the model in one task of an agent that is used as a tool."""
    task_tokens: int = 200_000
    """The most tokens of one task, requests and answers of the tasks that it gives included."""
    task_seconds: float = 300
    """How long one task may take; time in which the user is asked does not count."""
    task_depth: int = MAX_TASK_DEPTH
    """How deep tasks may be nested: 1 lets no agent that works on a task give one."""
    tasks_at_once: int = 4
    """How many tasks of one message run side by side; the others wait."""
    lifetimes: Lifetimes = field(default_factory=Lifetimes)
    lease: float = 30
    """Seconds until another machine can open the session after this process vanished."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Fields of each request: temperature, max_tokens …"""
    rescue: Sequence["Step"] | None = None
    """The rescue steps, in order. ``None``: those of the swarm."""
    placeholder: str | None = None
    """The answer when no rescue step helped. ``None``: that of the swarm."""
    resume_with: Mapping[str, str] | None = None
    """What your program needs to continue the session, such as the file of its swarm: kept in the session's entry in
    the list (``SessionInfo.resume_with``). ``None`` keeps what is there. A ``base_url`` in it is the model's server: it
    is kept, with the ``model``, once that has answered."""
    approve: Mapping[str, str] = field(default_factory=dict)
    """Patterns of tool names (``refund*``) to auto, ask or deny; the first match overrides the tool's own rule."""
    approve_at_least: Mapping[str, str] = field(default_factory=dict)
    """The same, but these can only make the rule stricter that the tool has otherwise."""
    rescue_confirm: str = "ask"
    """Whether a call that the rescue made of text is asked for, if its tool has effects: ask (where there is somebody
    to ask), always (denied where there is nobody), or never."""

    token_tables: Path | None = None
    """A folder for tables that count the tokens of short conversations in less time and memory: see ``counter_for``."""

    def __post_init__(self) -> None:
        check_fields("SessionSettings", self, _EXPECTED)
        for name in ("approve", "approve_at_least"):
            for pattern, rule in getattr(self, name).items():
                if rule not in _RULES:
                    raise DefinitionError(
                        f"SessionSettings: {name}[{pattern!r}] is {rule!r}, expected auto, ask or deny"
                    )

    def asks_about_guess(self, tool: str, can_ask: bool) -> bool:
        """Return whether a call of ``tool`` that the model wrote as text needs approval, although the tool does not."""
        if any(fnmatchcase(tool, pattern) for pattern in self.approve):
            return False
        return self.rescue_confirm == "always" or (self.rescue_confirm == "ask" and can_ask)

    def rule_for(self, tool: str, default: str) -> str:
        """Return the approval rule for ``tool``: auto, ask or deny; ``default`` is the tool's own."""
        rule = _first_match(self.approve, tool, default)
        return max(rule, _first_match(self.approve_at_least, tool, "auto"), key=_RULES.index)

    def for_record(self, *, one_model: bool = False) -> dict[str, Any]:
        """Return the settings that a replay needs and no other record contains, except defaults."""
        names = (*_RECORDED, *_RECORDED_OF_TASKS)
        fields = {name: getattr(self, name) for name in names if getattr(self, name) != getattr(_DEFAULTS, name)}
        if self.rescue is not None:
            fields["rescue"] = [step if isinstance(step, str) else step.__name__ for step in self.rescue]
        if one_model:
            # The same model answers for agents that name another one.
            fields["one_model"] = True
        return {"settings": fields} if fields else {}

    def with_recorded(self, fields: Mapping[str, Any]) -> "SessionSettings":
        """Return the settings after a ``set`` record with ``fields``; a missing field means the default."""
        names = (*_RECORDED, *_RECORDED_OF_TASKS, "rescue")
        return replace(self, **{name: fields.get(name, getattr(_DEFAULTS, name)) for name in names})

    def budget(self, window: int, correction: float = 1.0, overhead: int = 0) -> "Budget":
        """Return the budget for a context window of ``window`` tokens."""
        from swarmchat.swarm.context.builder import Budget, marks

        reserve, least = self.reserve, None
        if reserve is None and not (reserve := int(self.parameters.get("max_tokens") or 0)):
            reserve = min(4096, window // 8)
            least = reserve // 4
        high, low = marks(window)
        high = max(high, self.low or 0) if self.high is None else self.high
        low = min(low, high) if self.low is None else self.low
        return Budget(window, min(reserve, window - 1), high, low, correction, overhead, least)


_DEFAULTS = SessionSettings()


def _first_match(rules: Mapping[str, str], tool: str, default: str) -> str:
    return next((rule for pattern, rule in rules.items() if fnmatchcase(tool, pattern)), default)
