"""Separate causes from consequences among the differences of a conversation."""

from collections.abc import Collection, Iterable, Sequence, Set
from dataclasses import replace

from swarmchat.swarm.agents.replay_rules import ReplayRules
from swarmchat.swarm.replay.compare import ASSERTED, Difference
from swarmchat.swarm.replay.script import ASKED

_COMPUTED = (
    "key",
    "parts.conversation",
    "tokens",
    "overhead",
    "first_kept",
    "pinned",
    "summaries",
    "through",
)
"""Fields that are computed from the rest of a conversation, and begin the names of others."""
_CAUSED_BY_TOOLS = frozenset({"unknown_tool", "bad_arguments"})


def causes_first(differences: Iterable[Difference]) -> list[Difference]:
    """Return the differences with ``follows``, in the order of turns: first the causes, then what follows from them."""
    differences = list(differences)
    sorter = _Sorter(
        failed={each.turn for each in differences if each.field == "status"},
        tools_differ={each.turn for each in differences if each.field == "parts.tools"},
    )
    marked = [replace(each, follows=sorter.follows(each)) for each in differences]
    return sorted(marked, key=lambda each: (each.follows, each.turn, each.type == "expect"))


Cause = tuple[str, tuple[str, ...]]
"""What changed: the kind, and the changed words. The words around them may be others in each request."""


def grouped_causes(differences: Iterable[Difference]) -> dict[Cause, list[Difference]]:
    """Return the differences that follow from no other one, those that say the same together."""
    causes: dict[Cause, list[Difference]] = {}
    for each in differences:
        if not each.follows:
            causes.setdefault((each.kind, tuple(line.changed for line in each.lines())), []).append(each)
    return causes


def cause_lines(same: Sequence[Difference], where: str = "") -> list[str]:
    """Return the first of some differences that say the same, after ``where``, with its diff."""
    more = f" (and {len(same) - 1:,} more in this conversation)" if len(same) > 1 else ""
    return [f"{where}{same[0]}{more}", *(f"  {line}" for line in same[0].diff())]


def compared(differences: Iterable[Difference], rules: ReplayRules) -> list[Difference]:
    """Return the differences that ``rules`` do not exclude, the causes first.

    What follows from excluded ones alone is excluded too, except for what fails an expectation or a written result.
    """
    marked = causes_first(differences)
    relevant = [each for each in marked if each.type in ASSERTED or not _is_excluded(each, rules)]
    if len(relevant) < len(marked) and all(each.follows for each in relevant):
        relevant = [each for each in relevant if each.type in ASSERTED]
    return relevant


def _is_excluded(difference: Difference, rules: ReplayRules) -> bool:
    kind = difference.type.partition(" of ")[0]
    if rules.ignores(kind, difference.field):
        return True
    return bool(difference.field) and rules.same(difference.expected, difference.actual)


class _Sorter:
    """Sees the differences of a conversation in their order."""

    def __init__(self, *, failed: Set[int], tools_differ: Collection[int]) -> None:
        """``tools_differ`` are the turns with requests that offer other tools."""
        self._tools_differ = tools_differ
        self._caused = False
        """Whether there was a cause."""
        self._failed = failed
        """The turns in which a call had another outcome."""
        self._tools_changed = False
        self._rules_changed = False
        self._results_changed = False
        self._off_course = False
        """Whether other requests and answers follow than in the transcript, so that records no longer correspond."""
        self._bad_calls: set[int] = set()
        """The hand-written turns in which a call does not fit its tool."""

    def follows(self, difference: Difference) -> bool:
        """Whether the next difference follows from the earlier ones."""
        kind = difference.type.partition(" of ")[0]
        if kind in ASSERTED:
            if kind == "call":
                self._bad_calls.add(difference.turn)
            return kind == "result" and difference.turn in self._bad_calls
        if kind == "tools" and difference.turn in self._tools_differ:
            # The request with these tools shows more.
            return True
        if kind in ASKED and not difference.field and difference.turn in self._failed:
            # A tool that fails earlier or later asks fewer or more questions, which come before its result.
            return True
        follows = self._caused and (self._off_course or self._is_consequence(kind, difference))
        self._caused = True
        self._tools_changed |= difference.field == "parts.tools"
        self._results_changed |= kind == "tool" and difference.field == "message.content"
        self._rules_changed |= difference.field == "parts.rules" or kind == "tools"
        is_record = not difference.field and kind in ("request", "assistant", "handoff", "policy")
        self._off_course |= is_record or kind == "rescue" or difference.field in ("agent", "message.tool_calls")
        return follows

    def _is_consequence(self, kind: str, difference: Difference) -> bool:
        if difference.field.partition(".")[0] in _COMPUTED or difference.field in _COMPUTED or kind == "rotate":
            return True
        if kind == "tool" and difference.field in ("approve", "effects"):
            return self._rules_changed
        if kind == "user":
            # What an agent is told with its task: the conversation, with the results in it.
            return self._results_changed
        if kind == "rescue":
            return self._tools_changed and difference.subject in _CAUSED_BY_TOOLS
        # A tool that failed changed nothing.
        return difference.turn in self._failed and kind in ("state", "memory", "handoff", "error")
