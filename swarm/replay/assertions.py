"""The fields of an ``expect`` line: the value that each takes, and the message if a turn fails it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from swarmchat.swarm.common.names import nearest
from swarmchat.swarm.common.patterns import bounded_pattern
from swarmchat.swarm.errors import DefinitionError, TranscriptError
from swarmchat.swarm.replay.compare import Difference
from swarmchat.swarm.replay.expectations import TurnOutcome, Unmet
from swarmchat.swarm.replay.matchers import (
    Matching,
    as_json,
    check_expected_value,
    check_path,
    check_pattern,
    check_schema_of,
    described,
    schema_problem,
    shown,
    values_at,
)
from swarmchat.swarm.replay.places import Place
from swarmchat.swarm.replay.tool_assertions import (
    check_calls,
    names_of,
    tools_at_least,
    tools_in_order,
    tools_never,
    tools_unordered,
)
from swarmchat.swarm.replay.value_diff import DiffLine
from swarmchat.swarm.turn.output import json_values

_LONGEST = 300


@dataclass(frozen=True, slots=True)
class UnmetExpectation(Difference):
    """An assertion about a turn that failed."""

    words: str = ""
    """What was expected, and what came."""

    @property
    def kind(self) -> str:
        """What was expected: the same for all answers that fail it."""
        return self.words.partition(", got ")[0]

    def __str__(self) -> str:
        return f"{self.place}: {self.words}"

    def lines(self, *, whole: bool = False) -> list[DiffLine]:
        """Return the two values if they are texts that belong side by side; the words say the rest."""
        if self.field == "equals" and isinstance(self.actual, str):
            return Difference.lines(self, whole=whole)
        is_long = isinstance(self.actual, str) and len(self.actual) > 100
        return [DiffLine("+", ((self.actual[:_LONGEST], False),))] if is_long else []


@dataclass(frozen=True)
class Assertion:
    """A field of an ``expect`` line."""

    takes: str
    """What its value may be, in words."""
    is_valid: Callable[[Any], bool]
    unmet: Callable[[Any, TurnOutcome, Matching], Unmet | None] = lambda expected, outcome, matching: None
    """Returns why the outcome of a turn fails it. Those of `swarm/replay/judging.py` need more than the outcome."""
    check: Callable[[Any, str, Place], None] = lambda value, name, where: None
    """Raises TranscriptError for what is wrong inside the value."""


def check_fields(expected: Mapping[str, Any], where: Place) -> None:
    """Raise TranscriptError for unknown fields and invalid values; ``where`` is the place of the line."""
    for name, value in expected.items():
        place = where.of(expected, name)
        if name not in ASSERTIONS:
            raise TranscriptError(f"{place}: unknown field {name!r} in an 'expect'; {nearest(name, ASSERTIONS)}")
        assertion = ASSERTIONS[name]
        if not assertion.is_valid(value):
            raise TranscriptError(f"{place}: {name!r} is {shown(value)}, expected {assertion.takes}")
        if name in _MET_IF_EMPTY and (not value or (isinstance(value, list) and "" in value)):
            raise TranscriptError(f"{place}: {name!r} is empty, so every turn passes: remove it, or give a value")
        assertion.check(value, name, place)


def unmet_expectations(
    expected: Mapping[str, Any], outcome: TurnOutcome, matching: Matching
) -> Iterator[UnmetExpectation]:
    """Yield the assertions that the outcome of a turn fails, but for those that only a live replay can check."""
    for name, value in expected.items():
        try:
            unmet = ASSERTIONS[name].unmet(value, outcome, matching)
        except DefinitionError as error:
            # A pattern that takes too long.
            unmet = f"{name!r} cannot be checked: {error}", outcome.answer
        if unmet:
            words, actual = unmet
            yield UnmetExpectation(outcome.turn, None, "expect", name, value, actual, words=words)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and _is_number(value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, str) for each in value)


def _names_or_none(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def _quoted(texts: Sequence[str], joint: str = " and ") -> str:
    return joint.join(map(shown, texts))


def _answer_is(outcome: TurnOutcome) -> str:
    if not outcome.answer and outcome.error:
        return f"but the turn ended with {outcome.error}"
    return f"got {shown(outcome.answer)}" if outcome.answer else "but there is no answer"


def _equals(expected: Any, outcome: TurnOutcome, matching: Matching) -> Unmet | None:
    if matching.equal(expected.strip(), outcome.answer.strip()):
        return None
    return f"expected the answer {shown(expected)}, {_answer_is(outcome)}", outcome.answer


def _contains(expected: Any, outcome: TurnOutcome, matching: Matching) -> Unmet | None:
    missing = [text for text in _listed(expected) if not matching.contains(outcome.answer, text)]
    if not missing:
        return None
    return f"expected an answer that contains {_quoted(missing)}, {_answer_is(outcome)}", outcome.answer


def _not_contains(expected: Any, outcome: TurnOutcome, matching: Matching) -> Unmet | None:
    present = [text for text in _listed(expected) if matching.contains(outcome.answer, text)]
    return (
        (f"expected an answer without {_quoted(present)}, {_answer_is(outcome)}", outcome.answer) if present else None
    )


def _any_of(expected: Any, outcome: TurnOutcome, matching: Matching) -> Unmet | None:
    if any(matching.contains(outcome.answer, text) for text in expected):
        return None
    return f"expected an answer that contains {_quoted(expected, ' or ')}, {_answer_is(outcome)}", outcome.answer


def _matches(expected: Any, outcome: TurnOutcome, matching: Matching) -> Unmet | None:
    unmatched = [pattern for pattern in _listed(expected) if not bounded_pattern(pattern).search(outcome.answer)]
    if not unmatched:
        return None
    return f"expected an answer that matches {' and '.join(unmatched)}, {_answer_is(outcome)}", outcome.answer


def _not_matches(expected: Any, outcome: TurnOutcome, matching: Matching) -> Unmet | None:
    matched = [pattern for pattern in _listed(expected) if bounded_pattern(pattern).search(outcome.answer)]
    if not matched:
        return None
    return f"expected an answer that does not match {' or '.join(matched)}, {_answer_is(outcome)}", outcome.answer


def _json_of(outcome: TurnOutcome) -> Any:
    """The JSON value of the answer, or the first one in it; the text itself if it has none."""
    value = as_json(outcome.answer)
    return next(json_values(value), value) if isinstance(value, str) else value


def _json(expected: Any, outcome: TurnOutcome, matching: Matching) -> Unmet | None:
    answer = _json_of(outcome)
    if isinstance(answer, str):
        return f"expected an answer with JSON, {_answer_is(outcome)}", outcome.answer
    for path, value in expected.items():
        values = list(values_at(answer, path))
        if not values and isinstance(value, dict) and value.get("$exists") is False:
            continue
        problems = [matching.mismatch(value, each, f"{path} of the answer") for each in values]
        if not values:
            return f"{path} of the answer is missing, expected {described(value)}", answer
        if all(problems):
            return str(problems[0]), values[0]
    return None


def _schema(expected: Any, outcome: TurnOutcome, matching: Matching) -> Unmet | None:
    answer = _json_of(outcome)
    problem = schema_problem(expected, answer)
    return (f"the answer does not fit the schema: {problem}", answer) if problem else None


def _agent(expected: Any, outcome: TurnOutcome, matching: Matching) -> Unmet | None:
    if expected == outcome.agent:
        return None
    return f"expected the agent {expected!r} at the end, got {outcome.agent!r}", outcome.agent


def _results(expected: Any, outcome: TurnOutcome, matching: Matching) -> Unmet | None:
    for tool, value in expected.items():
        texts = [text for name, text in outcome.results if name == tool]
        problems = [_result_mismatch(value, text, f"the result of {tool}", matching) for text in texts]
        if not texts:
            return f"expected a result of {tool}, but it was not called", None
        if all(problems):
            return str(problems[-1]), texts[-1]
    return None


def _result_mismatch(expected: Any, text: str, at: str, matching: Matching) -> str | None:
    problem = matching.mismatch(expected, text, at)
    value = as_json(text)
    return problem if problem is None or isinstance(value, str) else matching.mismatch(expected, value, at)


def _of_object(what: str, attribute: str) -> Callable[[Any, TurnOutcome, Matching], Unmet | None]:
    def unmet(expected: Any, outcome: TurnOutcome, matching: Matching) -> Unmet | None:
        values = getattr(outcome, attribute)
        for name, value in expected.items():
            if name not in values and not (isinstance(value, dict) and value.get("$exists") is False):
                if attribute == "states":
                    return f"unknown state {name!r}, expected {described(value)}; {nearest(name, values)}", None
                return f"{what} has no {name!r}, expected {described(value)}", None
            if name in values and (problem := matching.mismatch(value, values[name], f"{what} {name}")):
                return problem, {each: values.get(each) for each in expected}
        return None

    return unmet


def _same_names(what: str, attribute: str) -> Callable[[Any, TurnOutcome, Matching], Unmet | None]:
    def unmet(expected: Any, outcome: TurnOutcome, matching: Matching) -> Unmet | None:
        actual = getattr(outcome, attribute)
        return (
            None if expected == actual else (f"expected {what}: {names_of(expected)}, got {names_of(actual)}", actual)
        )

    return unmet


def _rescues(expected: Any, outcome: TurnOutcome, matching: Matching) -> Unmet | None:
    actual = outcome.rescues if isinstance(expected, list) else len(outcome.rescues)
    if expected == actual:
        return None
    names = names_of(expected) if isinstance(expected, list) else str(expected)
    return f"expected rescue steps: {names}, got {names_of(outcome.rescues)}", actual


def _happened(what: str, attribute: str) -> Callable[[Any, TurnOutcome, Matching], Unmet | None]:
    """Return the check of an event that is expected (true), not expected (false), or expected with a name."""

    def unmet(expected: Any, outcome: TurnOutcome, matching: Matching) -> Unmet | None:
        value = getattr(outcome, attribute)
        actual = next(iter(value), "") if isinstance(value, list) else value
        if actual == expected or (isinstance(expected, bool) and bool(actual) is expected):
            return None
        expectation = {True: f"a {what}", False: f"no {what}"}.get(expected, f"the {what} {expected}")
        return f"expected {expectation}, got {actual or 'none'}", bool(actual) if isinstance(expected, bool) else actual

    return unmet


def _at_most(what: str, attribute: str) -> Callable[[Any, TurnOutcome, Matching], Unmet | None]:
    def unmet(expected: Any, outcome: TurnOutcome, matching: Matching) -> Unmet | None:
        actual = getattr(outcome, attribute)
        if actual is None or actual <= expected:
            return None
        return f"expected at most {expected:,} {what}, got {_number(actual)}", actual

    return unmet


def _number(value: float) -> str:
    """Return a number without digits that mean nothing."""
    return f"{value:,}" if isinstance(value, int) else f"{value:,.6f}".rstrip("0").rstrip(".")


def _max_cost(expected: Any, outcome: TurnOutcome, matching: Matching) -> Unmet | None:
    if outcome.cost is None:
        unknown = "but it is not known: give the model prices in the settings"
        return None if outcome.seconds is None else (f"expected a cost of at most {expected:,}, {unknown}", None)
    return (
        None
        if outcome.cost <= expected
        else (f"expected a cost of at most {expected:,}, got {_number(outcome.cost)}", outcome.cost)
    )


def _check_patterns(value: Any, name: str, where: Place) -> None:
    for pattern in _listed(value):
        check_pattern(pattern, name, where)


def _check_values(value: Any, name: str, where: Place) -> None:
    for key, each in value.items():
        check_expected_value(each, where.of(value, key))


def _check_paths(value: Any, name: str, where: Place) -> None:
    for path in value:
        check_path(path, where.of(value, path))
    _check_values(value, name, where)


_TEXTS = "a text, or a list of texts"
_CALLS = "a list of tools, each a name, or an object with the name and arguments"


def _text_or_texts(value: Any) -> bool:
    return _is_text(value) or _are_texts(value)


def _is_similarity(value: Any) -> bool:
    if not isinstance(value, dict):
        return isinstance(value, str) and bool(value.strip())
    return (
        value.keys() <= {"text", "min"}
        and _is_similarity(value.get("text"))
        and ("min" not in value or (_is_number(value["min"]) and value["min"] <= 1))
    )


ASSERTIONS: Mapping[str, Assertion] = {
    "equals": Assertion("a text", _is_text, _equals),
    "contains": Assertion(_TEXTS, _text_or_texts, _contains),
    "not_contains": Assertion(_TEXTS, _text_or_texts, _not_contains),
    "any_of": Assertion("a list of texts", _are_texts, _any_of),
    "matches": Assertion(_TEXTS, _text_or_texts, _matches, _check_patterns),
    "not_matches": Assertion(_TEXTS, _text_or_texts, _not_matches, _check_patterns),
    "json": Assertion("an object with paths and values", _is_object, _json, _check_paths),
    "schema": Assertion("a JSON schema", _is_object, _schema, lambda value, name, where: check_schema_of(value, where)),
    "similar_to": Assertion('a text, or {"text": "…", "min": 0.5}', _is_similarity),
    "judge": Assertion("a text that says what a good answer is, or a list of them", _text_or_texts),
    "agent": Assertion("the name of an agent", _is_text, _agent),
    "handoffs": Assertion("a list of agents", _names_or_none, _same_names("handoffs to", "handoffs")),
    "tools": Assertion(_CALLS, lambda value: isinstance(value, list), tools_in_order, check_calls),
    "tools_unordered": Assertion(_CALLS, lambda value: isinstance(value, list), tools_unordered, check_calls),
    "tools_at_least": Assertion(_CALLS, lambda value: isinstance(value, list), tools_at_least, check_calls),
    "tools_never": Assertion(_CALLS, lambda value: isinstance(value, list), tools_never, check_calls),
    "results": Assertion("an object with tools and results", _is_object, _results, _check_values),
    "failed": Assertion("a list of tools", _names_or_none, _same_names("failed calls", "failed")),
    "states": Assertion("an object with states", _is_object, _of_object("the state", "states"), _check_values),
    "memory": Assertion(
        "an object with names in memory", _is_object, _of_object("the memory", "memory"), _check_values
    ),
    "rescues": Assertion("a number, or a list of causes", lambda v: _is_count(v) or _names_or_none(v), _rescues),
    "refused": Assertion(
        "true, false or the name of a policy", lambda v: isinstance(v, bool | str), _happened("refusal", "refused")
    ),
    "error": Assertion(
        "true, false or the kind of an error", lambda v: isinstance(v, bool | str), _happened("failure", "error")
    ),
    "max_tokens": Assertion("a number of tokens", _is_count, _at_most("tokens in a request", "tokens")),
    "max_requests": Assertion("a number of requests", _is_count, _at_most("requests to the model", "requests")),
    "max_cost": Assertion("an amount", _is_number, _max_cost),
    "max_seconds": Assertion("a number of seconds", _is_number, _at_most("seconds", "seconds")),
}
"""The fields of an ``expect`` line; see docs/replay.md."""
_MET_IF_EMPTY = frozenset(
    "contains any_of matches json schema tools_at_least tools_never results states memory".split()
)
"""The fields that mean nothing if they are empty; in the others, empty means none."""
