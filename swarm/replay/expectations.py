"""Check the outcome of a replayed turn: its expectations, and the calls and results of hand-written transcripts."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from swarmchat.swarm.common.encoding import decode_json
from swarmchat.swarm.common.messages import MessageCall, calls_of, texts_of
from swarmchat.swarm.common.names import nearest
from swarmchat.swarm.errors import TranscriptError
from swarmchat.swarm.persistence.records import Record
from swarmchat.swarm.replay.compare import Difference
from swarmchat.swarm.replay.script import RecordedResult, is_handoff, read_result
from swarmchat.swarm.tools.tool import Tool

FIELDS: Mapping[str, tuple[type, ...]] = {
    "agent": (str,),
    "contains": (str, list),
    "matches": (str,),
    "tools": (list,),
    "failed": (list,),
    "handoffs": (list,),
    "states": (dict,),
    "rescues": (int, list),
    "refused": (bool, str),
    "max_tokens": (int,),
}
"""The fields of an ``expect`` line and the types of their values; see docs/replay.md."""


@dataclass(frozen=True)
class Expectation:
    """An ``expect`` line of a transcript: the expected outcome of the turn before it."""

    turn: int
    fields: Mapping[str, Any]
    line: bytes
    """The line in the file, unchanged."""


@dataclass
class TurnOutcome:
    """The outcome of a turn, as its records tell it."""

    turn: int
    agent: str = ""
    answer: str = ""
    calls: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    """The calls that were carried out, without handoffs: their names and arguments."""
    failed: list[str] = field(default_factory=list)
    """The names of the calls that were refused, denied or interrupted, or whose tool failed."""
    handoffs: list[str] = field(default_factory=list)
    rescues: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    tokens: int = 0
    error: str = ""
    states: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TurnComparison:
    """The outcomes of one turn: the recorded one and the new one."""

    then: TurnOutcome
    now: TurnOutcome


def outcome_of(
    turn: int, records: Sequence[Record], agent: str, states: Mapping[str, Any], *, by_hand: bool = False
) -> TurnOutcome:
    """Return the outcome of a turn, from its records. ``agent`` and ``states`` are those at its end.

    A call without a result was not carried out, except in records written ``by_hand``, which may leave results out.
    """
    outcome = TurnOutcome(turn, agent, states=states)
    for call, result in _calls_and_results(records):
        if result is not None and result.status != "ok":
            outcome.failed.append(call.name)
        elif not is_handoff(call.name) and (by_hand or result is not None):
            arguments = call.arguments if result is None else result.arguments or call.arguments
            outcome.calls.append((call.name, _read_arguments(arguments)))
    for record in records:
        data = record.data
        match record.type:
            case "assistant":
                outcome.answer = "".join(texts_of(record.message))
            case "handoff":
                outcome.handoffs.append(str(data.get("to")))
            case "rescue":
                outcome.rescues.append(str(data.get("cause")))
            case "policy":
                outcome.refused.append(str(data.get("policy")))
            case "request":
                outcome.tokens = max(outcome.tokens, int(data.get("tokens", 0)))
            case "error":
                outcome.error = str((data.get("error") or {}).get("kind", ""))
    return outcome


def _calls_and_results(records: Sequence[Record]) -> Iterator[tuple[MessageCall, RecordedResult | None]]:
    """Yield the calls in ``records`` in their order, each with its result if it has one."""
    for number, record in enumerate(records, 1):
        if record.type == "assistant":
            following = takewhile(lambda each: each.type != "assistant", records[number:])
            results = {each.message.get("tool_call_id"): read_result(each) for each in following if each.type == "tool"}
            yield from ((call, results.get(call.id)) for call in calls_of(record.message))


_BAD_CALLS = {
    "unknown_tool": "the model called an unknown tool",
    "bad_arguments": "the arguments of a call do not fit its tool",
}


def check_bad_calls(turn: int, records: Sequence[Record], tools: Sequence[Tool]) -> Iterator[Difference]:
    """Yield the calls in a turn's records that do not fit ``tools`` as they are: refused, repaired or converted."""
    for record in records:
        if record.type == "rescue" and (problem := _BAD_CALLS.get(str(record.data.get("cause")))):
            yield Difference(turn, None, "call", problem, None, record.data.get("detail"))
    for call, result in _calls_and_results(records):
        named = [tool for tool in tools if tool.name == call.name]
        if named and result is not None and result.status == "ok" and not any(_fits(tool, call) for tool in named):
            detail = f"{call.name}: {call.arguments}, converted to other types"
            yield Difference(turn, None, "call", _BAD_CALLS["bad_arguments"], None, detail)


def _fits(tool: Tool, call: MessageCall) -> bool:
    """Whether ``tool`` takes the arguments of ``call`` without converting any."""
    try:
        tool.signature.arguments.model_validate_json(call.arguments or "{}", strict=True)
    except ValueError:
        return False
    return True


def check_failed_calls(
    turn: int, records: Sequence[Record], written: Sequence[tuple[str, RecordedResult]]
) -> Iterator[Difference]:
    """Yield the calls in a turn's records that failed without a written result that says so."""
    ids = {call_id for call_id, _ in written}
    for call, result in _calls_and_results(records):
        if result is not None and result.status != "ok" and call.id not in ids:
            yield Difference(turn, None, "call", f"the call of {call.name} was not carried out", None, result.text)


def check_results(
    turn: int, records: Sequence[Record], written: Sequence[tuple[str, RecordedResult]]
) -> Iterator[Difference]:
    """Yield the ``written`` results, by the ids of their calls, that no call has in a turn's records."""
    pairs = [(call, result) for call, result in _calls_and_results(records) if result is not None]
    for call_id, expected in written:
        pair = next((each for each in pairs if each[0].id == call_id), None)
        if pair is None:
            yield Difference(turn, None, "transcript", "", None, f"the result {expected.text[:60]!r}")
            continue
        pairs.remove(pair)
        call, actual = pair
        if not _same_result(expected, actual):
            yield Difference(turn, None, "result", call.name, expected.text, actual.text)


def _same_result(expected: RecordedResult, actual: RecordedResult) -> bool:
    if expected.status != actual.status or expected.status in ("denied", "interrupted"):
        # The program writes the texts of calls that were not carried out.
        return expected.status == actual.status
    texts = [result.text.removeprefix("Error: ") for result in (expected, actual)]
    with suppress(ValueError):
        return bool(decode_json(texts[0]) == decode_json(texts[1]))
    return texts[0] == texts[1]


def check_fields(expected: Mapping[str, Any], where: str) -> None:
    """Raise TranscriptError for unknown fields and invalid values; ``where`` names the file and the line."""
    for name, value in expected.items():
        if name not in FIELDS:
            raise TranscriptError(f"{where}: unknown field {name!r} in an 'expect'; {nearest(name, FIELDS)}")
        if not isinstance(value, FIELDS[name]) or (isinstance(value, bool) and bool not in FIELDS[name]):
            kinds = " or ".join(kind.__name__ for kind in FIELDS[name])
            raise TranscriptError(f"{where}: {name!r} is {value!r}, expected {kinds}")
    if "matches" in expected:
        try:
            re.compile(expected["matches"])
        except re.error as error:
            raise TranscriptError(f"{where}: 'matches' is not a regular expression ({error})") from error


def check_expectation(expected: Mapping[str, Any], outcome: TurnOutcome) -> Iterator[Difference]:
    """Yield the expectations that the outcome of a turn does not meet."""
    for name, value in expected.items():
        actual = _actual_value(name, value, outcome)
        if not _is_met(name, value, actual):
            yield Difference(outcome.turn, None, "expect", name, value, actual)


def _actual_value(name: str, expected: Any, outcome: TurnOutcome) -> Any:
    if name in ("contains", "matches"):
        return outcome.answer
    if name == "tools":
        detailed = any(isinstance(each, dict) for each in expected)
        return [{name: dict(arguments)} if detailed else name for name, arguments in outcome.calls]
    if name == "rescues":
        return outcome.rescues if isinstance(expected, list) else len(outcome.rescues)
    if name == "refused":
        return bool(outcome.refused) if isinstance(expected, bool) else next(iter(outcome.refused), "")
    if name == "states":
        return {state: outcome.states.get(state) for state in expected}
    return outcome.tokens if name == "max_tokens" else getattr(outcome, name)


def _is_met(name: str, expected: Any, actual: Any) -> bool:
    if name == "contains":
        texts = [expected] if isinstance(expected, str) else expected
        return all(str(text).casefold() in actual.casefold() for text in texts)
    if name == "matches":
        return re.search(expected, actual) is not None
    if name == "max_tokens":
        return bool(actual <= expected)
    if name == "tools" and actual and isinstance(actual[0], dict):
        return len(expected) == len(actual) and all(map(_call_fits, expected, actual))
    if name == "states":
        return all(_includes(actual[state], value) for state, value in expected.items())
    return bool(actual == expected)


def _call_fits(expected: Any, actual: Mapping[str, Mapping[str, Any]]) -> bool:
    name, arguments = next(iter(actual.items()))
    if isinstance(expected, str):
        return expected == name
    return isinstance(expected, dict) and list(expected) == [name] and _includes(arguments, expected[name])


def _includes(actual: Any, expected: Any) -> bool:
    """Whether ``actual`` equals ``expected``; an object may have further fields."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        return all(name in actual and _includes(actual[name], value) for name, value in expected.items())
    return bool(actual == expected)


def _read_arguments(text: str) -> Mapping[str, Any]:
    try:
        value = decode_json(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
