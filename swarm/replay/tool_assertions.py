"""The assertions about the tools that a turn called."""

from collections.abc import Mapping, Sequence
from typing import Any

from swarmchat.swarm.errors import TranscriptError
from swarmchat.swarm.replay.expectations import TurnOutcome, Unmet
from swarmchat.swarm.replay.matchers import Matching, check_expected_value, shown
from swarmchat.swarm.replay.places import Place


def names_of(names: Sequence[Any]) -> str:
    """Return tools, agents or causes for a message, with arguments where they are given."""
    return (
        ", ".join(each if isinstance(each, str) else f"{next(iter(each))}({shown(*each.values())})" for each in names)
        or "none"
    )


Call = tuple[str, Mapping[str, Any]]


def _call_mismatch(expected: Any, call: Call, matching: Matching) -> str | None:
    name, arguments = (expected, {}) if isinstance(expected, str) else next(iter(expected.items()))
    if name != call[0]:
        return f"it calls {call[0]}, expected {name}"
    return matching.mismatch(arguments, dict(call[1]), "it")


def _calls_shown(expected: Any, outcome: TurnOutcome) -> list[Any]:
    detailed = any(isinstance(each, dict) for each in expected)
    return [{name: dict(arguments)} if detailed else name for name, arguments in outcome.calls]


def _got_calls(outcome: TurnOutcome, calls: Sequence[Any] | None = None) -> str:
    carried_out = names_of([name for name, _ in outcome.calls] if calls is None else calls)
    return f"got {carried_out}" + (f"; not carried out: {names_of(outcome.failed)}" if outcome.failed else "")


def tools_in_order(expected: Any, outcome: TurnOutcome, matching: Matching) -> Unmet | None:
    """Return why other tools were called, or in another order, or with other arguments."""
    calls = _calls_shown(expected, outcome)
    names = [each if isinstance(each, str) else next(iter(each)) for each in expected]
    if names != [name for name, _ in outcome.calls]:
        return f"expected the calls {names_of(names)}, {_got_calls(outcome)}", calls
    for number, (each, call) in enumerate(zip(expected, outcome.calls, strict=True), 1):
        if problem := _call_mismatch(each, call, matching):
            which = f"call {number}, of {call[0]}" if len(expected) > 1 else f"the call of {call[0]}"
            return f"{which}: {problem}", calls
    return None


def _unpaired(expected: Sequence[Any], calls: Sequence[Call], matching: Matching) -> list[Any]:
    """Return the expected calls that are left if each is paired with a call of its own."""
    paired: dict[int, int] = {}

    def pair(number: int, tried: set[int]) -> bool:
        for index, call in enumerate(calls):
            if index in tried or _call_mismatch(expected[number], call, matching):
                continue
            tried.add(index)
            if index not in paired or pair(paired[index], tried):
                paired[index] = number
                return True
        return False

    return [each for number, each in enumerate(expected) if not pair(number, set())]


def tools_at_least(expected: Any, outcome: TurnOutcome, matching: Matching) -> Unmet | None:
    """Return which of the expected calls are missing."""
    if missing := _unpaired(expected, outcome.calls, matching):
        calls = _calls_shown(expected, outcome)
        return f"expected also the calls {names_of(missing)}, {_got_calls(outcome, calls)}", calls
    return None


def tools_unordered(expected: Any, outcome: TurnOutcome, matching: Matching) -> Unmet | None:
    """Return which of the expected calls are missing, or that there are further ones."""
    if (unmet := tools_at_least(expected, outcome, matching)) or len(expected) == len(outcome.calls):
        return unmet
    calls = _calls_shown(expected, outcome)
    return f"expected only the calls {names_of(expected)}, in any order, {_got_calls(outcome, calls)}", calls


def tools_never(expected: Any, outcome: TurnOutcome, matching: Matching) -> Unmet | None:
    """Return which calls were not to be made."""
    calls = [call for call in outcome.calls if any(_call_mismatch(each, call, matching) is None for each in expected)]
    if not calls:
        return None
    shown_calls = [{name: dict(arguments)} for name, arguments in calls]
    return f"expected no call of {names_of(expected)}, got {names_of(shown_calls)}", shown_calls


def check_calls(value: Any, name: str, where: Place) -> None:
    """Raise TranscriptError for a call that is neither a name nor an object with a name and arguments."""
    for each in value:
        if not isinstance(each, str) and not (
            isinstance(each, dict) and len(each) == 1 and isinstance(next(iter(each.values())), dict)
        ):
            expected = 'a name, or an object with a name and arguments: {"find": {"about": "tea"}}'
            raise TranscriptError(f"{where}: {name!r} has {shown(each)}, expected {expected}")
        check_expected_value(list(each.values()) if isinstance(each, dict) else None, where)
