"""What a transcript expects of a turn, beside the records themselves: for regression tests that are written by hand."""

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
from swarmchat.swarm.replay.script import Result, is_handoff, read_result
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
"""What can be expected, and the kinds of value that it takes; see docs/replay.md."""


@dataclass(frozen=True)
class Expectation:
    """What a line of a transcript expects of the turn before it."""

    turn: int
    fields: Mapping[str, Any]
    line: bytes
    """As it stands in the file."""


@dataclass
class TurnOutcome:
    """What a turn came to."""

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
    """A turn: what it came to in the transcript, and now."""

    then: TurnOutcome
    now: TurnOutcome


def happened_in(
    turn: int, records: Sequence[Record], agent: str, states: Mapping[str, Any], *, by_hand: bool = False
) -> TurnOutcome:
    """Return the outcome of a turn, from its records. ``agent`` and ``states`` are those at its end.

    A call without a result was not carried out, except in records written ``by_hand``, which may leave results out.
    """
    happened = TurnOutcome(turn, agent, states=states)
    for call, result in _calls_and_results(records):
        if result is not None and result.status != "ok":
            happened.failed.append(call.name)
        elif not is_handoff(call.name) and (by_hand or result is not None):
            arguments = call.arguments if result is None else result.arguments or call.arguments
            happened.calls.append((call.name, _read_arguments(arguments)))
    for record in records:
        data = record.data
        match record.type:
            case "assistant":
                happened.answer = "".join(texts_of(record.message))
            case "handoff":
                happened.handoffs.append(str(data.get("to")))
            case "rescue":
                happened.rescues.append(str(data.get("cause")))
            case "policy":
                happened.refused.append(str(data.get("policy")))
            case "request":
                happened.tokens = max(happened.tokens, int(data.get("tokens", 0)))
            case "error":
                happened.error = str((data.get("error") or {}).get("kind", ""))
    return happened


def _calls_and_results(records: Sequence[Record]) -> Iterator[tuple[MessageCall, Result | None]]:
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
    turn: int, records: Sequence[Record], written: Sequence[tuple[str, Result]]
) -> Iterator[Difference]:
    """Yield the calls in a turn's records that failed without a written result that says so."""
    ids = {call_id for call_id, _ in written}
    for call, result in _calls_and_results(records):
        if result is not None and result.status != "ok" and call.id not in ids:
            yield Difference(turn, None, "call", f"the call of {call.name} was not carried out", None, result.text)


def check_results(turn: int, records: Sequence[Record], written: Sequence[tuple[str, Result]]) -> Iterator[Difference]:
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


def _same_result(expected: Result, actual: Result) -> bool:
    if expected.status != actual.status or expected.status in ("denied", "interrupted"):
        # The program writes the texts of calls that were not carried out.
        return expected.status == actual.status
    texts = [result.text.removeprefix("Error: ") for result in (expected, actual)]
    with suppress(ValueError):
        return bool(decode_json(texts[0]) == decode_json(texts[1]))
    return texts[0] == texts[1]


def check_fields(expected: Mapping[str, Any], where: str) -> None:
    """Raise TranscriptError for what cannot be expected; ``where`` names the file and the line."""
    for name, value in expected.items():
        if name not in FIELDS:
            raise TranscriptError(f"{where}: nothing is known of {name!r} in an 'expect'; {nearest(name, FIELDS)}")
        if not isinstance(value, FIELDS[name]) or (isinstance(value, bool) and bool not in FIELDS[name]):
            kinds = " or ".join(kind.__name__ for kind in FIELDS[name])
            raise TranscriptError(f"{where}: {name!r} is {value!r}, expected {kinds}")
    if "matches" in expected:
        try:
            re.compile(expected["matches"])
        except re.error as error:
            raise TranscriptError(f"{where}: 'matches' is no regular expression ({error})") from error


def check_expectation(expected: Mapping[str, Any], happened: TurnOutcome) -> Iterator[Difference]:
    """Yield what is not as expected."""
    for name, wanted in expected.items():
        found = _found(name, wanted, happened)
        if not _holds(name, wanted, found):
            yield Difference(happened.turn, None, "expect", name, wanted, found)


def _found(name: str, wanted: Any, happened: TurnOutcome) -> Any:
    if name in ("contains", "matches"):
        return happened.answer
    if name == "tools":
        detailed = any(isinstance(each, dict) for each in wanted)
        return [{name: dict(arguments)} if detailed else name for name, arguments in happened.calls]
    if name == "rescues":
        return happened.rescues if isinstance(wanted, list) else len(happened.rescues)
    if name == "refused":
        return bool(happened.refused) if isinstance(wanted, bool) else next(iter(happened.refused), "")
    if name == "states":
        return {state: happened.states.get(state) for state in wanted}
    return happened.tokens if name == "max_tokens" else getattr(happened, name)


def _holds(name: str, wanted: Any, found: Any) -> bool:
    if name == "contains":
        texts = [wanted] if isinstance(wanted, str) else wanted
        return all(str(text).casefold() in found.casefold() for text in texts)
    if name == "matches":
        return re.search(wanted, found) is not None
    if name == "max_tokens":
        return bool(found <= wanted)
    if name == "tools" and found and isinstance(found[0], dict):
        return len(wanted) == len(found) and all(map(_call_fits, wanted, found))
    if name == "states":
        return all(_includes(found[state], value) for state, value in wanted.items())
    return bool(found == wanted)


def _call_fits(wanted: Any, found: Mapping[str, Mapping[str, Any]]) -> bool:
    name, arguments = next(iter(found.items()))
    if isinstance(wanted, str):
        return wanted == name
    return isinstance(wanted, dict) and list(wanted) == [name] and _includes(arguments, wanted[name])


def _includes(found: Any, wanted: Any) -> bool:
    """Whether ``found`` is ``wanted``; of objects, whether the fields of ``wanted`` are."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        return all(name in found and _includes(found[name], value) for name, value in wanted.items())
    return bool(found == wanted)


def _read_arguments(text: str) -> Mapping[str, Any]:
    try:
        value = decode_json(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
