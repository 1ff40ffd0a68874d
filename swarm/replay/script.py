"""Read the actions to replay from a log: the user's actions, the model's answers and the tools' results."""

import json
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from operator import attrgetter
from typing import Any

from swarmchat.swarm.agents.agent import BACK, PREFIX
from swarmchat.swarm.common.messages import calls_of, others_of, texts_of
from swarmchat.swarm.importers.record_builder import message_problem
from swarmchat.swarm.models.base import Answer, ToolCall
from swarmchat.swarm.persistence.records import Record
from swarmchat.swarm.session.hand_call import BY_HAND
from swarmchat.swarm.turn.question import Asked
from swarmchat.swarm.turn.tool_execution import EDITED


@dataclass(slots=True)
class RecordedResult:
    """The result of one call, and the changes that the tool made."""

    status: str
    text: str
    name: str = ""
    arguments: str | None = None
    """The arguments that the user put in place of the model's."""
    handoff: str | None = None
    changes: list[Record] = field(default_factory=list)
    """The records of states and memory that follow the call."""
    asked: deque[Record] = field(default_factory=deque)
    """The records of what the tool asked a model and the user."""
    shown: Sequence[Mapping[str, Any]] = ()
    """The images beside the text, as content parts."""
    started: Sequence[Record] = ()
    """The records of the tasks in the background that the tool started."""
    replaced_digest: str | None = None
    """The digest of the tool's own result, if a hook changed or refused it."""
    drawn: Any = None
    """The times and ids that the tool drew, as `Draws` records them."""
    failed: tuple[str, str] | None = None
    """The kind and message of the error that ended the turn before any call of the answer was carried out."""
    failed_after: tuple[str, str] | None = None
    """The same of the error of a hook that saw this result, the last one."""


@dataclass(frozen=True, slots=True)
class RecordedReply:
    """The model's reaction to one request."""

    answer: Answer | None = None
    """The answer; with ``failed`` or ``stopped``, the part that had come by then."""
    failed: tuple[str, str] | None = None
    """The kind and message of the error that replaced the answer or cut it off."""
    stopped: bool = False
    """Whether the user stopped the answer there."""
    too_long: Record | None = None
    """The shorter request that followed, if the server refused this one as too long."""
    results: dict[str, deque[RecordedResult]] = field(default_factory=dict)
    """The results of its calls, by their ids; an empty id is for results that do not name their call."""


@dataclass
class Action:
    """One step of the session, with its records: a message and its turn, a command, or a change from outside."""

    kind: str
    """ask, unsent, go, reset, undo, redo, compact, pin, unpin, set; given: a message that came with a question;
    rename, mail and change: written by another process; react: the turn that a message from outside starts."""
    records: list[Record]
    text: str = ""
    agent: str = ""
    turns: int = 1
    outputs: deque[RecordedReply] = field(default_factory=deque)
    requests: deque[Record] = field(default_factory=deque)
    """The requests, without those that repeat one that was too long."""
    steering: deque[list[str]] = field(default_factory=deque)
    """For each of the requests, the messages to the running turn that went along with it."""
    asked: deque[Record] = field(default_factory=deque)
    """What its tools asked the user, in order."""
    interleaved: list[tuple[int, Record]] = field(default_factory=list)
    """What tasks in the background have stored meanwhile; each with the number of ``records`` before it."""
    tasks: dict[str, "Action"] = field(default_factory=dict)
    """The tasks that agents worked on in it, by their ids."""
    breaks_off: bool = False
    """Whether it ends with calls or their results, without a further request."""
    killed: bool = False
    """Whether it ends with calls without results, because the process died there."""

    @cached_property
    def all_records(self) -> list[Record]:
        """Its records, and those that tasks in the background have stored meanwhile, in the order of the log."""
        return sorted([*self.records, *(record for _, record in self.interleaved)], key=attrgetter("seq"))

    def error_of_hook(self, point: str) -> tuple[str, str] | None:
        """The kind and message of the error that ended the turn, if a hook at ``point`` raised it."""
        failure = _failure(self.records)
        return failure if failure and failure[1].startswith("the hook ") and f".{point} " in failure[1] else None

    @property
    def failed_before_request(self) -> Record | None:
        """The error that ended the turn because no further request fits into the window, which it names."""
        last = next((record for record in reversed(self.records) if record.type not in CHANGES), None)
        return last if last is not None and last.type == "error" and "window" in last.data else None

    @property
    def is_turn(self) -> bool:
        """Whether it is a turn of the model."""
        return self.kind in ("ask", "react")

    @property
    def question(self) -> Asked:
        """What the turn was begun with: the text, or the user's message if it is more than a text."""
        message = self.records[0].message if self.records[0].type == "user" else {}
        plain = message.keys() <= {"role", "content"} and isinstance(message.get("content"), str)
        return self.text if plain or message_problem(message) else [message]

    @property
    def turn(self) -> int:
        """The turn that it belongs to."""
        return self.records[0].turn


def split_actions(records: Sequence[Record]) -> tuple[list[Record], list[Action]]:
    """Return the records before the first action, and the actions."""
    before: list[Record] = []
    actions: list[Action] = []
    for record in records:
        if action := _new_action(record, actions[-1] if actions else None):
            actions.append(action)
        elif actions and record.is_background:
            actions[-1].interleaved.append((len(actions[-1].records), record))
        elif actions:
            actions[-1].records.append(record)
        else:
            before.append(record)
    for action in actions:
        if action.is_turn:
            action.tasks = tasks_in(action.records)
            for task in action.tasks.values():
                action.asked.extend(task.asked)
            _Reader(action).read()
    return before, actions


def tasks_in(records: Sequence[Record]) -> dict[str, Action]:
    """Return the tasks whose records are among ``records``, each as an action with the records in these."""
    tasks: dict[str, Action] = {}
    for record in records:
        inner = record.inner_record
        if record.type in CHANGES and record.task:
            inner = replace(record, data={name: value for name, value in record.data.items() if name != "task"})
        if inner is not None:
            tasks.setdefault(record.task, Action("ask", [])).records.append(inner)
    for task in tasks.values():
        _Reader(task).read()
        task.breaks_off = task.breaks_off or not _has_ended(task)
    return tasks


def _has_ended(task: Action) -> bool:
    """Whether a task has ended by itself: with an answer, an error or a refusal."""
    last = next((record for record in reversed(task.records) if record.type not in CHANGES), None)
    return last is not None and last.type in ("assistant", "error", "policy")


def _new_action(record: Record, current: Action | None) -> Action | None:
    """Return the action that ``record`` begins; ``None`` if the record belongs to ``current``."""
    data = record.data
    if record.task:
        return None
    if data.get("given") is True or data.get("hook") is True or (record.type in ASKED and data.get("call") == BY_HAND):
        return Action("given", [record])
    if record.type == "user":
        return Action("ask", [record], text="".join(texts_of(record.message)))
    if record.type == "policy" and data.get("direction") == "input":
        return Action("ask", [record], text=str(data.get("text", "")))
    if record.type == "unsent":
        return Action("unsent", [record], text=str(data.get("text", "")))
    if record.type == "handoff" and not data.get("via"):
        return Action("go", [record], agent=str(data.get("to", "")))
    if record.type == "reset" and record.agent is None:
        return Action("reset", [record])
    if record.type in ("undo", "redo"):
        return Action(record.type, [record], turns=int(data.get("to", 0)) - int(data.get("from", 0)) + 1)
    if record.type in ("pin", "unpin"):
        target = data.get("target")
        return Action(record.type, [record], turns=target if isinstance(target, int) else 0)
    if record.type == "compact":
        summary = RecordedReply(_from_message({"content": data.get("summary")}, "stop", data))
        return Action("compact", [record], text=str(data.get("focus", "")), outputs=deque([summary]))
    if record.type in ("rename", "set", "mail"):
        return Action(record.type, [record])
    if record.type in _BEGINNINGS and current is not None and record.turn > current.turn:
        return Action("react", [record])
    if record.type in CHANGES and current is not None and _is_over(current, record):
        return Action("change", [record])
    return None


_BEGINNINGS = ("rotate", "tools", "request", "error")
"""Types of the first record of a turn that begins without a question: it reacts to a message from outside."""

ASKED = ("ask_model", "ask_user")
"""Types of records of what a tool asked."""

IN_TEXT = "text"
"""What a handoff names as its call if that has no id."""

CHANGES = ("state", "memory")
"""Types of records that change what is stored beside the log."""


def _is_over(action: Action, record: Record) -> bool:
    """Whether the change in ``record`` is not one of ``action``: such changes come with the results of tools."""
    if action.kind == "change":
        # One commit changes each value once.
        about = [(each.type, each.data.get("name")) for each in action.records]
        return (record.type, record.data.get("name")) in about
    last = next((record for record in reversed(action.records) if record.type not in CHANGES), action.records[0])
    if last.type == "assistant":
        return not any(calls_of(last.message))
    if last.type in ("error", "tool", "request"):
        # Changes by tools come after the next request, or after the end of a failed or stopped turn.
        requests = [n for n, each in enumerate(action.records) if each.type == "request"]
        since = requests[-2:-1] if last.type == "request" else requests[-1:]
        return not any(map(_can_change, action.records[since[0] if since else 0 :]))
    return last.type != "handoff" or action.kind == "go"


def _can_change(record: Record) -> bool:
    """Whether ``record`` is a result after which what its tool changed may stand."""
    succeeded = record.type == "tool" and record.data.get("status", "ok") == "ok"
    return succeeded and not is_handoff(str(record.data.get("name")))


def agent_after(action: Action) -> str:
    """Return the name of the agent that was active at the end of ``action``."""
    agent = ""
    for record in action.records:
        agent = str(record.data.get("to")) if record.type == "handoff" else record.agent or agent
    return agent


def is_handoff(tool: str) -> bool:
    """Whether ``tool`` is the name of a handoff, which no tool of a swarm may have."""
    return tool == BACK or tool.startswith(PREFIX)


class _Reader:
    """Finds the outputs and results in the records of a turn."""

    def __init__(self, action: Action) -> None:
        self._action = action
        self._asked: Record | None = None
        self._raw: Record | None = None
        """The record with the model's raw answer, if it differs from the accepted one."""
        self._batch: dict[str, RecordedResult] = {}
        """The results of the last answer's calls, by their ids."""
        self._calls = False
        self._steering: list[str] = []
        """Messages to the running turn since the last request."""
        self._waiting: dict[str, deque[Record]] = {}
        """What tools asked, by the ids of calls whose results follow."""
        self._started: dict[str, list[Record]] = {}
        """The tasks that tools started in the background, likewise."""

    def read(self) -> None:
        """Read all records of the action into its fields."""
        for index, record in enumerate(self._action.records):
            if record.type == "task_start":
                self._started.setdefault(record.text("via"), []).append(record)
            if record.task:
                continue
            match record.type:
                case "request":
                    self._read_request(record)
                case "steer":
                    self._steering.append("".join(texts_of(record.message)))
                case "rescue" | "policy" if "bad" in record.data or record.data.get("direction") == "output":
                    self._read_rejected(record)
                case "assistant":
                    self._read_answer(record, self._action.records[index + 1 :])
                case "ask_model" | "ask_user":
                    self._waiting.setdefault(str(record.data.get("call")), deque()).append(record)
                    if record.type == "ask_user":
                        self._action.asked.append(record)
                case "tool":
                    self._read_result(record)
                case "handoff" if str(record.data.get("via")) in self._batch:
                    self._batch[str(record.data["via"])].handoff = str(record.data.get("to"))
                case "state" | "memory":
                    ran = [each for each in self._batch.values() if each.status == "ok" and not is_handoff(each.name)]
                    if ran:
                        ran[-1].changes.append(record)
                case "error":
                    if self._asked is not None:
                        self._action.outputs.append(RecordedReply(failed=_failure([record])))
                    self._read_failure(record)
                    self._asked, self._calls = None, False
        if self._asked is not None:
            self._action.outputs.append(RecordedReply(stopped=True))
        if self._steering:
            # The request that they were to go along with was never sent.
            self._action.steering.append(self._steering)
        self._action.breaks_off = self._calls
        self._action.killed = self._calls and not self._batch

    def _read_failure(self, record: Record) -> None:
        """Note which results an error of the program has ended the turn with."""
        results = [result for result in self._batch.values() if not is_handoff(result.name)]
        carried_out = [result for result in results if result.status in ("ok", "error")]
        if carried_out:
            carried_out[-1].failed_after = self._action.error_of_hook("after_tool")
        for result in () if carried_out else results:
            result.failed = _failure([record]) if result.status == "interrupted" else None

    def _read_request(self, record: Record) -> None:
        if self._asked is not None:
            # Asked again without an answer: the context was too long, and was made shorter.
            self._action.outputs.append(RecordedReply(too_long=record))
        else:
            self._action.requests.append(record)
            self._action.steering.append(self._steering)
            self._steering = []
        self._asked, self._calls = record, False

    def _read_rejected(self, record: Record) -> None:
        self._raw = self._raw or record
        if record.data.get("step") in ("recomplete", "flush"):
            self._action.outputs.append(RecordedReply(_answer_of(self._raw, None)))
            self._asked = self._raw = None

    def _read_answer(self, record: Record, following: Sequence[Record]) -> None:
        if record.data.get("finish") == "interrupted":
            failed = _failure(following)
            self._action.outputs.append(RecordedReply(_answer_of(None, record), failed, stopped=failed is None))
        else:
            self._action.outputs.append(RecordedReply(_answer_of(self._raw, record)))
        self._asked = self._raw = None
        self._batch = {}
        self._calls = any(calls_of(record.message))

    def _read_result(self, record: Record) -> None:
        call_id = str(record.message.get("tool_call_id"))
        result = read_result(record)
        result.asked = self._waiting.pop(call_id, result.asked)
        result.started = self._started.pop(call_id, result.started)
        if self._action.outputs:
            self._action.outputs[-1].results.setdefault(call_id, deque()).append(result)
        # Results of calls in the text of a handwritten answer have no id.
        self._batch[call_id or IN_TEXT] = result


def read_result(record: Record) -> RecordedResult:
    """Return the result in a ``tool`` record, without the sentence on arguments that the user edited."""
    text = "".join(texts_of(record.message))
    arguments = None
    if text.startswith(EDITED):
        with suppress(ValueError, RecursionError):
            end = json.JSONDecoder().raw_decode(text, len(EDITED))[1]
            if text.startswith(".\n", end):
                arguments, text = text[len(EDITED) : end], text[end + 2 :]
    status, name = str(record.data.get("status", "ok")), str(record.data.get("name", ""))
    result = RecordedResult(status, text, name, arguments, shown=others_of(record.message))
    result.drawn, result.replaced_digest = record.data.get("drawn"), record.data.get("replaced_digest")
    return result


def _failure(records: Sequence[Record]) -> tuple[str, str] | None:
    error = next((record.data.get("error") for record in records if record.type == "error"), None)
    return (str(error.get("kind")), str(error.get("message"))) if isinstance(error, dict) else None


def _answer_of(raw: Record | None, used: Record | None) -> Answer:
    """Return the model's raw answer: the one that the rescue or a policy recorded, else the accepted one."""
    data: Mapping[str, Any] = {} if used is None else used.data
    if raw is None:
        assert used is not None
        return _from_message(used.message, str(data.get("finish", "stop")), data, str(data.get("reasoning", "")))
    if raw.type == "policy" and "bad" not in raw.data:
        return _from_message({"content": raw.data.get("text")}, "stop", data)
    usage = data if raw.data.get("usage") is None else raw.data
    message = raw.data["bad"] if isinstance(raw.data["bad"], dict) else {}
    return _from_message(message, str(raw.data.get("finish", "stop")), usage, str(raw.data.get("reasoning", "")))


def _from_message(message: Mapping[str, Any], finish: str, data: Mapping[str, Any], reasoning: str = "") -> Answer:
    text = "".join(texts_of(message))
    calls = tuple(ToolCall(*call) for call in calls_of(message))
    usage = data["usage"] if isinstance(data.get("usage"), dict) else None
    return Answer(text, calls, finish, usage, fallback=str(data.get("model") or ""), reasoning=reasoning)
