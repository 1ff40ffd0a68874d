"""The outcome of a replayed turn, and the checks of the calls and results of hand-written transcripts."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from swarmchat.swarm.agents.agent import PREFIX
from swarmchat.swarm.common.encoding import decode_json
from swarmchat.swarm.common.messages import MessageCall, calls_of, texts_of
from swarmchat.swarm.persistence.records import Record
from swarmchat.swarm.replay.compare import Difference
from swarmchat.swarm.replay.places import Place
from swarmchat.swarm.replay.script import RecordedResult, is_handoff, read_result
from swarmchat.swarm.tools.tool import Tool


@dataclass(frozen=True)
class Expectation:
    """An ``expect`` line of a transcript: the expected outcome of the turn before it."""

    turn: int
    fields: Mapping[str, Any]
    line: bytes
    """The line in the file, unchanged."""
    place: Place
    """Where it stands in the file."""

    def line_of(self, field: str) -> int:
        """Return the number of the line in which ``field`` stands."""
        return self.place.of(self.fields, field).line


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
    results: list[tuple[str, str]] = field(default_factory=list)
    """The results of calls that were carried out or failed, without handoffs: names and texts."""
    handoffs: list[str] = field(default_factory=list)
    rescues: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    tokens: int = 0
    """The tokens of its largest request."""
    requests: int = 0
    error: str = ""
    states: Mapping[str, Any] = field(default_factory=dict)
    memory: Mapping[str, Any] = field(default_factory=dict)
    cost: float | None = None
    """What it cost, if that is known."""
    seconds: float | None = None
    """How long it took in a live replay."""
    question: str = ""


CostOf = Callable[[Mapping[str, Any]], float | None]
"""Returns what an answer cost, by its usage; ``None`` if that is unknown."""

Unmet = tuple[str, Any]
"""Why an assertion failed: what was expected and what came, in words, and the actual value."""


@dataclass(frozen=True)
class TurnComparison:
    """The outcomes of one turn: the recorded one and the new one."""

    then: TurnOutcome
    now: TurnOutcome


def reported_cost(usage: Mapping[str, Any]) -> float | None:
    """Return what an answer cost, if the server says so with its usage."""
    cost = usage.get("cost")
    return float(cost) if isinstance(cost, int | float) else None


def outcome_of(
    turn: int,
    records: Sequence[Record],
    agent: str,
    states: Mapping[str, Any],
    *,
    by_hand: bool = False,
    cost_of: CostOf = reported_cost,
) -> TurnOutcome:
    """Return the outcome of a turn, from its records. ``agent`` and ``states`` are those at its end.

    A call without a result was not carried out, except in records written ``by_hand``, which may leave results out.
    """
    outcome = TurnOutcome(turn, agent, states=states)
    for call, result in _calls_and_results(records):
        if result is not None and not is_handoff(call.name):
            outcome.results.append((call.name, result.text))
        if by_hand and call.name.startswith(PREFIX):
            outcome.handoffs.append(call.name.removeprefix(PREFIX))
        if result is not None and result.status != "ok":
            outcome.failed.append(call.name)
        elif not is_handoff(call.name) and (by_hand or result is not None):
            arguments = call.arguments if result is None else result.arguments or call.arguments
            outcome.calls.append((call.name, _read_arguments(arguments)))
    for record in records:
        data = record.data
        usage = data.get("usage") if record.type in ("assistant", "rescue", "ask_model") else None
        if isinstance(usage, dict) and (cost := cost_of(usage)) is not None:
            outcome.cost = (outcome.cost or 0.0) + cost
        match record.type:
            case "user":
                outcome.question = "".join(texts_of(record.message))
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
                outcome.requests += 1
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


def check_refusals(turn: int, records: Sequence[Record]) -> Iterator[Difference]:
    """Yield the texts in a turn's records that a policy refused."""
    for record in records:
        if record.type == "policy":
            policy, text = (str(record.data.get(name)) for name in ("policy", "text"))
            yield Difference(turn, None, "refused", policy, None, text)


def check_bad_calls(
    turn: int, records: Sequence[Record], tools: Sequence[Tool], *, converted: bool
) -> Iterator[Difference]:
    """Yield the calls in a turn's records that do not fit ``tools`` as they are: refused, repaired or converted.

    ``converted`` says that conversions are expected.
    """
    for record in records:
        if record.type == "rescue" and (problem := _BAD_CALLS.get(str(record.data.get("cause")))):
            yield Difference(turn, None, "call", problem, None, record.data.get("detail"))
    for call in () if converted else converted_calls(records, tools):
        detail = f"{call.name}: {call.arguments}, converted to other types"
        yield Difference(turn, None, "call", _BAD_CALLS["bad_arguments"], None, detail)


def converted_calls(records: Sequence[Record], tools: Sequence[Tool]) -> Iterator[MessageCall]:
    """Yield the calls whose arguments ``tools`` took only after a conversion to other types."""
    for call, result in _calls_and_results(records):
        named = [tool for tool in tools if tool.name == call.name]
        if (
            named
            and result is not None
            and result.status == "ok"
            and not any(tool.signature.schema.fits(call.arguments) for tool in named)
        ):
            yield call


def turns_with_conversions(records: Sequence[Record], tools: Sequence[Tool]) -> frozenset[int]:
    """Return the turns in a log with calls whose arguments were converted to other types."""
    by_turn: dict[int, list[Record]] = {}
    for record in records:
        by_turn.setdefault(record.turn, []).append(record)
    return frozenset(turn for turn, own in by_turn.items() if any(converted_calls(own, tools)))


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
        if pair is None and not call_id:
            # It belongs to a call in the text, which may have been refused before it needed a result.
            pair = next((each for each in pairs if _same_result(expected, each[1])), None)
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


def _read_arguments(text: str) -> Mapping[str, Any]:
    try:
        value = decode_json(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
