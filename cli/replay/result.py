"""The results of replays: one replay, and all replays of a conversation with one model."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cached_property
from pathlib import Path
from typing import Any

from swarmchat.swarm.replay.compare import ASSERTED, Difference
from swarmchat.swarm.replay.expectations import TurnComparison, TurnOutcome
from swarmchat.swarm.replay.files import RecordedConversation
from swarmchat.swarm.replay.judging import judged_key, rubrics_in
from swarmchat.swarm.replay.runner import Replayed
from swarmchat.swarm.replay.selection import case_name

_SIMILAR = 0.6
"""Share of equal words from which two answers count as similar."""
_ROUNDING = 1e-9


@dataclass(frozen=True)
class ModelUse:
    """What the model of a live replay did."""

    model: str
    asked: int
    """How many answers the model gave; the others come from the cassette."""
    answers: int
    seconds: float
    tokens: int
    """Tokens of requests and answers, as the server counts."""
    dollars: float | None
    """The cost; ``None`` without a price of the model, or without a count of the server."""


@dataclass(frozen=True)
class ReplayResult:
    """The result of one replay."""

    path: Path
    replayed: Replayed
    seconds: float
    remarks: Sequence[str]
    use: ModelUse | None = None
    """What the model did, in ``live``."""

    @property
    def unmet(self) -> int:
        """How many expectations were not met."""
        return sum(difference.type == "expect" for difference in self.replayed.differences)

    @property
    def remaining(self) -> int:
        """How many differences remain when the file is updated: expectations, and calls that do not fit."""
        return sum(each.type in ASSERTED - {"result"} for each in self.replayed.differences)

    @property
    def unjudged(self) -> int:
        """How many requirements of ``judge`` were judged neither now nor in the recording."""
        answers = {each.now.turn: each.now.answer for each in self.replayed.turns}
        return sum(
            judged_key(rubric, answers[each.turn]) not in self.replayed.verdicts
            for each in self.replayed.conversation.expectations
            if each.turn in answers
            for rubric in rubrics_in(each.fields)
        )

    @cached_property
    def drift(self) -> list[dict[str, Any]]:
        """The recorded and the new outcome of each turn, and whether the answers are the same, similar or different.

        What a hand-written turn does not tell is ``None``; an answer that it lacks makes the new one ``new``.
        """
        return [self._drift_of(comparison) for comparison in self.replayed.turns]

    def _drift_of(self, comparison: TurnComparison) -> dict[str, Any]:
        then, now = comparison.then, comparison.now
        recorded = _outcome_as_json(then)
        by_hand = self.replayed.conversation.by_hand
        unanswered = by_hand and not (then.answer or then.calls or then.handoffs)
        unknown = ("rescues", "agent") * by_hand + ("tools", "handoffs") * unanswered
        recorded |= {name: None for name in unknown if not recorded[name]}
        answer = "new" if unanswered else _likeness(then.answer, now.answer)
        return {"turn": then.turn, "recorded": recorded, "now": _outcome_as_json(now), "answer": answer}


@dataclass(frozen=True)
class Case:
    """All replays of one conversation with one model: a single one, but for ``--repeat``."""

    results: Sequence[ReplayResult]
    several: bool
    """Whether its file holds other conversations too."""
    min_pass: float = 1.0
    """The share of the replays that must pass."""

    @property
    def path(self) -> Path:
        """The file of the conversation."""
        return self.results[0].path

    @property
    def conversation(self) -> RecordedConversation:
        """The recorded conversation."""
        return self.results[0].replayed.conversation

    @property
    def model(self) -> str:
        """The model's name; empty unless one was asked."""
        use = self.results[0].use
        return "" if use is None else use.model

    @property
    def where(self) -> str:
        """The file, with the name if it is not the only conversation in it."""
        return case_name(self.path, self.conversation.name) if self.several else str(self.path)

    @property
    def passed(self) -> int:
        """How many replays have no difference."""
        return sum(result.replayed.same for result in self.results)

    @property
    def same(self) -> bool:
        """Whether enough replays pass."""
        return self.passed >= self.min_pass * len(self.results) - _ROUNDING

    @property
    def turns(self) -> int:
        """The number of replayed turns."""
        return sum(len(result.replayed.turns) for result in self.results)

    @property
    def seconds(self) -> float:
        """How long the replays took."""
        return sum(result.seconds for result in self.results)

    @property
    def differences(self) -> Sequence[Difference]:
        """The differences of the first replay that has any."""
        return next((each.replayed.differences for each in self.results if not each.replayed.same), ())

    @property
    def line(self) -> int:
        """The line of the expectation that failed first; else the line at which the conversation begins."""
        return (self.differences[0].line if self.differences else 0) or self.conversation.line

    @property
    def uses(self) -> list[ModelUse]:
        """What the model did, in ``live``."""
        return [result.use for result in self.results if result.use is not None]

    @property
    def outcome(self) -> str:
        """How many replays passed, if there are several."""
        count = len(self.results)
        return f"{self.passed} of {count} passed ({self.passed / count:.0%})" if count > 1 else ""


def total_dollars(uses: Sequence[ModelUse]) -> float | None:
    """Return the cost of ``uses``; ``None`` if that of any is unknown."""
    costs = [use.dollars for use in uses if use.dollars is not None]
    return sum(costs) if costs and len(costs) == len(uses) else None


def _outcome_as_json(outcome: TurnOutcome) -> dict[str, Any]:
    return {
        "agent": outcome.agent,
        "handoffs": outcome.handoffs,
        "tools": [name for name, _ in outcome.calls],
        "rescues": len(outcome.rescues),
        "tokens": outcome.tokens,
        "answer": outcome.answer,
    }


def _likeness(then: str, now: str) -> str:
    old, new = then.split(), now.split()
    if old == new:
        return "same"
    return "similar" if SequenceMatcher(None, old, new, autojunk=False).ratio() >= _SIMILAR else "different"
