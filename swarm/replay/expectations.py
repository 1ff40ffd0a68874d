"""What a transcript expects of a turn, beside the records themselves: for regression tests that are written by hand."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from swarmchat.swarm.common.encoding import decode_json
from swarmchat.swarm.common.messages import calls_of, texts_of
from swarmchat.swarm.common.names import nearest
from swarmchat.swarm.errors import TranscriptError
from swarmchat.swarm.persistence.records import Record
from swarmchat.swarm.replay.compare import Difference
from swarmchat.swarm.replay.script import is_handoff

FIELDS: Mapping[str, tuple[type, ...]] = {
    "agent": (str,),
    "contains": (str, list),
    "matches": (str,),
    "tools": (list,),
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


def happened_in(turn: int, records: Sequence[Record], agent: str, states: Mapping[str, Any]) -> TurnOutcome:
    """Return what the records of a turn tell. ``agent`` and ``states`` are those at its end."""
    happened = TurnOutcome(turn, agent, states=states)
    for record in records:
        data = record.data
        match record.type:
            case "assistant":
                happened.answer = "".join(texts_of(record.message))
                happened.calls += [
                    (call.name, _arguments(call.arguments))
                    for call in calls_of(record.message)
                    if not is_handoff(call.name)
                ]
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


def _arguments(text: str) -> Mapping[str, Any]:
    try:
        value = decode_json(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
