"""Turn recorded turns into the steps of a hand-written conversation."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from swarmchat.swarm.common.encoding import decode_json, encode_json
from swarmchat.swarm.images.parts import url_of
from swarmchat.swarm.models.base import Answer, ToolCall
from swarmchat.swarm.persistence.log import hidden_turns
from swarmchat.swarm.persistence.records import Record
from swarmchat.swarm.replay.expectations import TurnOutcome, outcome_of
from swarmchat.swarm.replay.handwritten import SETTINGS
from swarmchat.swarm.replay.script import (
    Action,
    RecordedReply,
    RecordedResult,
    agent_after,
    is_handoff,
    split_actions,
)
from swarmchat.swarm.turn.tool_execution import EDITED

Step = tuple[str, dict[str, Any]]
"""The type of a step, and its fields."""

_ORDINARY = ("stop", "tool_calls", "")
_NO_TURNS = {"compact", "pin", "unpin", "set", "reset", "undo", "redo", "unsent", "rename", "change"}


@dataclass
class WrittenConversation:
    """A conversation in the form in which one is written by hand."""

    about: dict[str, Any]
    """The fields of the session line."""
    steps: list[Step] = field(default_factory=list)
    left_out: list[int] = field(default_factory=list)
    """The turns that it lacks: they were stopped, failed, or no file can say what they did."""


def written_conversation(records: Sequence[Record], name: str) -> WrittenConversation:
    """Return a recorded conversation as a test: its turns, with what is expected of each. Undone turns are left out."""
    hidden = hidden_turns(records)
    _, actions = split_actions([record for record in records if record.turn not in hidden or not record.turn])
    whole = any(record.type == "request" for record in records)
    written = WrittenConversation(_about(records, name, whole))
    agent = next((record.agent for record in records if record.agent), "")
    for action in actions:
        begins = action.records[0].agent or agent
        if action.kind == "go":
            written.steps.append(("go", {"agent": action.agent}))
            agent = action.agent
        elif action.kind == "ask" and (steps := _turn(action, whole=whole)):
            if begins != agent:
                # A turn that is left out has handed over.
                written.steps.append(("go", {"agent": begins}))
            written.steps += steps
            agent = agent_after(action) or begins
        elif action.kind not in _NO_TURNS:
            written.left_out.append(action.turn)
    return written


def _about(records: Sequence[Record], name: str, whole: bool) -> dict[str, Any]:
    first = records[0].data if records and records[0].type == "session" else {}
    about: dict[str, Any] = {"name": name}
    if isinstance(first.get("swarm"), str) and whole:
        about["swarm"] = first["swarm"]
    settings = first.get("settings") if whole else {"rescue": [], "max_requests": 10_000, "max_repeats": 10_000}
    if isinstance(settings, dict) and (
        recorded := {key: settings[key] for key in SETTINGS if settings.get(key) is not None}
    ):
        about["settings"] = recorded
    if isinstance(first.get("memory"), dict) and first["memory"]:
        about["memory"] = first["memory"]
    return about


def _turn(action: Action, *, whole: bool) -> list[Step] | None:
    """Return the steps of a turn; ``None`` if it cannot be repeated from a file."""
    first = action.records[0]
    types = {record.type for record in action.records}
    outcome = outcome_of(action.turn, action.records, agent_after(action), {})
    if types & {"error", "ask_user"} or {"before", "output"} & first.data.keys() or action.killed:
        return None
    question = _question(action)
    answers = list(answer_steps(action.outputs, whole=whole))
    if question is None or None in answers or (action.breaks_off and not outcome.refused):
        return None
    steps = [step for step in answers if step is not None]
    if not (whole or steps):
        # The other program ended with a question, as simulated users do to say goodbye.
        return None
    return [("user", question), *steps, ("expect", _expected(action, outcome))]


def _question(action: Action) -> dict[str, Any] | None:
    """Return the fields of a question: its text and its images; ``None`` if it holds something else."""
    if isinstance(action.question, str):
        return {"text": action.text}
    content = action.records[0].message.get("content")
    parts = [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []
    texts = [str(part.get("text", "")) for part in parts if part.get("type") == "text"]
    images = [url_of(part) for part in parts if part.get("type") == "image_url"]
    stored = any(url.startswith("blob:") for url in images)
    if len(texts) + len(images) < len(parts) or not images or stored:
        return None
    return ({"text": "\n".join(texts)} if texts else {}) | {"images": images}


def answer_steps(outputs: Sequence[RecordedReply], *, whole: bool = True) -> Iterator[Step | None]:
    """Yield the steps of the model's answers, with the results of their calls; ``None`` for one that broke off.

    If the log is not ``whole``, the first answer without calls ends the turn: another program may have had more.
    """
    for output in outputs:
        if output.too_long is not None:
            continue
        if output.answer is None or output.failed or output.stopped:
            yield None
            return
        yield "assistant", _answer(output.answer)
        results = {call_id: list(waiting) for call_id, waiting in output.results.items()}
        calls = [call for call in output.answer.tool_calls if not is_handoff(call.name)]
        for call in calls:
            own = results.pop(call.id, [])
            if len(own) != 1 or own[0].status == "interrupted":
                yield None
                return
            yield "tool", _result(own[0])
        # Those of calls that were written as text.
        for call_id, further in results.items():
            if not any(call.id == call_id for call in output.answer.tool_calls):
                yield from (("tool", _result(result)) for result in further if not is_handoff(result.name))
        if not whole and not output.answer.tool_calls:
            return


def _answer(answer: Answer) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if answer.text or not answer.tool_calls:
        fields["text"] = answer.text
    if answer.tool_calls:
        fields["calls"] = [_call(call) for call in answer.tool_calls]
    if answer.finish not in _ORDINARY:
        fields["finish"] = answer.finish
    if answer.reasoning and not answer.text and not answer.tool_calls:
        fields["reasoning"] = answer.reasoning
    return fields


def _call(call: ToolCall) -> Any:
    arguments = _json(call.arguments or "{}")
    if not isinstance(arguments, dict):
        return {"name": call.name, "arguments": call.arguments}
    return {call.name: arguments} if arguments else call.name


def _json(text: str) -> Any:
    """Return the JSON value of ``text``; the text itself if it is none, or one that a file cannot hold, such as NaN."""
    with suppress(ValueError):
        value = decode_json(text)
        if decode_json(encode_json(value)) == value:
            return value
    return text


def _result(result: RecordedResult) -> dict[str, Any]:
    text = result.text if result.arguments is None else f"{EDITED}{result.arguments}.\n{result.text}"
    value = _json(text) if text[:1] in ("{", "[") else text
    fields: dict[str, Any] = {"result": value}
    if result.status != ("error" if text.startswith("Error: ") else "ok"):
        fields["status"] = result.status
    if result.handoff is not None:
        fields["handoff"] = result.handoff
    if result.drawn:
        fields["drawn"] = result.drawn
    states = {
        str(change.data.get("name")): change.data.get("value") for change in result.changes if change.type == "state"
    }
    memory = [change.data.get("value") for change in result.changes if change.type == "memory"]
    return fields | ({"states": states} if states else {}) | ({"memory": memory[-1] or {}} if memory else {})


def _expected(action: Action, outcome: TurnOutcome) -> dict[str, Any]:
    """Return what a test expects of a turn: the course that it took, and the states that it changed."""
    expected: dict[str, Any] = {"agent": outcome.agent} if outcome.agent else {}
    if outcome.refused:
        return {"refused": outcome.refused[0]}
    if outcome.handoffs:
        expected["handoffs"] = outcome.handoffs
    expected["tools"] = [{name: dict(arguments)} if arguments else name for name, arguments in outcome.calls]
    if outcome.failed:
        expected["failed"] = outcome.failed
    if outcome.calls or outcome.failed or outcome.rescues:
        # Said even if there was none: otherwise, a call whose arguments were converted fails the test.
        expected["rescues"] = outcome.rescues or 0
    states = {
        str(record.data.get("name")): record.data.get("value") for record in action.records if record.type == "state"
    }
    return expected | ({"states": states} if states else {})
