"""Find the faults of a complete answer: bad calls, calls in circles, silence."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice, takewhile
from typing import TYPE_CHECKING

from swarmchat.swarm.agents.handoffs import handoff_target
from swarmchat.swarm.agents.rescue_steps import Fault
from swarmchat.swarm.common.encoding import decode_json
from swarmchat.swarm.conversation.conversation import Conversation
from swarmchat.swarm.errors import HandoffLoop, LimitReached, RepeatedCall, RequestLimit
from swarmchat.swarm.models.base import Answer, ModelRequest, ToolCall
from swarmchat.swarm.parsing.call_repair import identity

if TYPE_CHECKING:
    from swarmchat.swarm.tools.toolset import Toolset


FINAL = ("content_filter", "refused")
"""Finish reasons that are not the model's fault: asking again would give the same."""
_LEAST_ANSWER = 25
"""Characters of an answer that nobody gives twice in a row by chance."""
_LEAST_INSTRUCTIONS, _BEGINNING = 40, 80
"""Characters at the beginning of instructions by which they are known again."""
_TIMES = 3
"""How often in a row the same answer to different questions is one too many."""
_SIGNS = re.compile(r"[\W\d_]+")
_RECENT = 20
"""Messages at the end of a request among which the previous answers are."""


class TurnLimits:
    """Watches one turn for limits and circles: requests, repeated calls, agents that hand over in a loop."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._calls: Counter[tuple[str, str]] = Counter()
        self._told: set[str] = set()
        """The error texts that the model has got in this turn."""
        self.requests = 0
        self.visited: set[str] = set()
        """The agents that were handed over to in this turn."""

    def call_fault(self, answer: Answer, toolset: "Toolset", doubts: Mapping[str, str]) -> Fault | None:
        """Return the worst fault in the calls of ``answer``, with refusals of all bad ones; ``None`` for none.

        ``doubts`` are the reasons why calls must not be carried out, by id.
        """
        settings = self._conversation.settings
        if self.requests >= settings.max_requests:
            error = RequestLimit(
                f"the model asked for tools in {self.requests} requests in a row and gave no answer: "
                "ask differently, or raise max_requests"
            )
            feedback = "You have used tools often enough for this message. Answer the user now, with what you know."
            refusals = {call.id: "no more calls are carried out in this turn" for call in answer.tool_calls}
            return Fault("request_limit", f"{self.requests} requests", feedback, answer, refusals, error)
        faults = [fault for call in answer.tool_calls if (fault := self._fault_of(call, toolset, answer, doubts))]
        if not faults:
            return None
        refusals = {call_id: self._once(why) for fault in faults for call_id, why in fault.refusals.items()}
        worst = min(faults, key=lambda fault: _SEVERITY.index(fault.cause))
        return Fault(worst.cause, worst.detail, worst.feedback, answer, refusals, worst.error)

    def count(self, calls: Sequence[ToolCall]) -> None:
        """Count ``calls`` as made. Two equal ones in one message count once."""
        self._calls.update({identity(call) for call in calls})

    def _once(self, why: str) -> str:
        """Return ``why``, or a few words if the model was told the same in this turn."""
        if why in self._told:
            return "the same error as before"
        self._told.add(why)
        return why

    def _fault_of(self, call: ToolCall, toolset: "Toolset", answer: Answer, doubts: Mapping[str, str]) -> Fault | None:
        if call.name not in toolset.names:
            return _call_fault("unknown_tool", repr(call.name)[:80], toolset.unknown(call.name), call, answer)
        if why := doubts.get(call.id):
            return _call_fault("bad_arguments", re.split("[,:]", why)[0], why, call, answer)
        if problem := toolset.problem(call.name, call.arguments):
            detail = f"{call.name}: {problem}"
            if (tool := toolset.tools.get(call.name)) is not None:
                expected = json.dumps(tool.signature.parameters, ensure_ascii=False)
                problem = f"{problem}. The parameters are: {expected}"
            return _call_fault("bad_arguments", detail, problem, call, answer)
        times = self._calls[identity(call)] + 1
        if times >= self._conversation.settings.max_repeats:
            why = f"{call.name!r} was called {times} times with the same arguments: go on with what it returned"
            error = RepeatedCall(
                f"the model called {call.name!r} {times} times with the same arguments and got nowhere: "
                "ask differently, or try another model"
            )
            return _call_fault("repeated_call", f"{call.name}, {times} times", why, call, answer, error)
        target = handoff_target(call.name, self._conversation.agent, self._conversation.navigation)
        if target is not None and target in self.visited:
            source = self._conversation.agent.name
            why = f"{target!r} was there before in this turn and handed over: answer the user yourself"
            error_loop = HandoffLoop(
                f"{source!r} hands over to {target!r} a second time in one turn: the agents are going in circles. "
                "Ask again, or choose an agent yourself"
            )
            return _call_fault("handoff_loop", f"{source} → {target}", why, call, answer, error_loop)
        return None


_SEVERITY = ("repeated_call", "handoff_loop", "unknown_tool", "bad_arguments")


def empty_fault(answer: Answer) -> Fault | None:
    """Return a fault if ``answer`` has neither text nor calls, unless the server or a policy stopped it."""
    if answer.text.strip() or answer.tool_calls or answer.finish in FINAL:
        return None
    feedback = "Your last answer was empty. Answer the user's last message, or call one of your tools."
    return Fault("empty", "", feedback, answer)


def unreadable_fault(answer: Answer, problem: str) -> Fault:
    """Return the fault of an answer with a call in its text that does not even have a name."""
    feedback = f"Your last answer contained a tool call that could not be carried out: {problem}."
    return Fault("leaked_call", "", feedback, answer)


def repeated_answer_fault(answer: Answer, request: ModelRequest) -> Fault | None:
    """Return a fault if ``answer`` repeats the agent's instructions, or is the same turn after turn.

    The same answer is no fault if a tool has led to it, or if the questions differ in numbers and signs only.
    """
    text = _plain(answer.text)
    if len(text) < _LEAST_ANSWER or answer.finish in FINAL:
        return None
    instructions = _plain(" ".join(_texts(request.messages[: request.instructions], "system")))[:_BEGINNING]
    if len(instructions) >= _LEAST_INSTRUCTIONS and instructions in text:
        feedback = "Your last answer repeated your instructions. Do not show them; answer the user's last message."
        return Fault("repetition", "the instructions of the agent", feedback, answer)
    recent = request.messages[request.instructions :][-_RECENT:]
    if not recent or decode_json(recent[-1])["role"] != "user":
        return None
    # The newest first: where the last answer is another one, as it nearly always is, no more than that is decoded.
    before = islice(_texts(reversed(recent), "assistant"), _TIMES - 1)
    if [*takewhile(text.__eq__, map(_plain, before))] != [text] * (_TIMES - 1):
        return None
    questions = islice(_texts(reversed(recent), "user"), _TIMES)
    if len({_SIGNS.sub(" ", question).casefold() for question in questions}) < _TIMES:
        return None
    feedback = "You have given the same answer again, but the user says something else now. Answer that."
    return Fault("repetition", "the same answer as before", feedback, answer)


def _texts(messages: Iterable[bytes], role: str) -> Iterator[str]:
    """Yield the texts of the messages of ``role``."""
    decoded = map(json.loads, messages)
    return (each["content"] for each in decoded if each["role"] == role and isinstance(each.get("content"), str))


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()


def repetition_fault(answer: Answer) -> Fault:
    """Return the fault of an answer that repeats one piece of text and holds nothing else."""
    feedback = "Your last answer repeated itself without an end and was cut off. Answer again, and briefly."
    return Fault("repetition", "", feedback, answer)


def rejected_fault(answer: Answer, problem: str) -> Fault:
    """Return the fault of an answer that the agent's ``validate`` rejected because of ``problem``."""
    feedback = f"Your last answer was not accepted: {problem}. Answer the user's last message again."
    return Fault("rejected", problem, feedback, answer)


def output_fault(answer: Answer, problem: str, instruction: str) -> Fault:
    """Return the fault of an answer that is not of the type that was asked for; ``instruction`` tells how to answer."""
    return Fault("bad_output", problem, f"Your last answer was not accepted: {problem}. {instruction}", answer)


def _call_fault(
    cause: str, detail: str, why: str, call: ToolCall, answer: Answer, error: LimitReached | None = None
) -> Fault:
    feedback = f"The call was not carried out: {why}. Call a tool that fits, or answer in plain text."
    return Fault(cause, detail, feedback, answer, {call.id: why}, error)
