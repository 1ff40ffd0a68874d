"""The rescue ladder: what to do about an unusable answer, one step after the other until one helps.

1. repair: fix the form without losing content (``answer_reader``, ``parsing.call_repair``).
2. feedback: return the fault to the model as the result of its call, with the nearest names and the parameters.
3. recomplete: ask again, with the bad answer, the reason and the question; no later request contains these.
4. flush: hide the conversation from this agent and ask the user's question again without it.
5. placeholder: answer with a polite line.

Errors of the provider are not answers and never come here.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from swarmchat.swarm.agents.rescue_steps import Fault
from swarmchat.swarm.common.author_functions import call_author_function
from swarmchat.swarm.common.mistakes import shown
from swarmchat.swarm.conversation.conversation import Conversation
from swarmchat.swarm.conversation.events import Event, Rescued
from swarmchat.swarm.errors import HookError, LimitReached
from swarmchat.swarm.models.base import Answer, ModelRequest
from swarmchat.swarm.parsing.call_repair import Repair
from swarmchat.swarm.parsing.formats import TURN_MARK
from swarmchat.swarm.tools.context import ArgumentsError
from swarmchat.swarm.turn import faults
from swarmchat.swarm.turn.answer_reader import AnswerReader

if TYPE_CHECKING:
    from swarmchat.swarm.tools.output import OutputType
    from swarmchat.swarm.turn.recorder import TurnRecorder

_LONGEST_SHOWN = 2000
"""Characters of a bad answer that are shown to the model again."""
_SILENCE = "Let me think about that again."
"""Shown to the model in place of an answer without text. Whatever stands here, models repeat it."""


@dataclass(frozen=True, slots=True)
class RescueDecision:
    """What to do with an answer."""

    events: Sequence[Event] = ()
    again: bool = False
    """Whether to ask the model again; otherwise the answer was accepted."""
    replaced: bool = False
    """Whether the accepted answer is not the model's, and so was not shown yet."""
    refusals: Mapping[str, str] = field(default_factory=dict)
    """Reasons why calls are refused, by their ids."""
    error: LimitReached | None = None
    """The error that ends the turn, when no step is left."""


class Rescue:
    """The rescue ladder of one turn."""

    def __init__(
        self,
        conversation: Conversation,
        recorder: "TurnRecorder",
        limits: faults.TurnLimits,
        output: "OutputType | None" = None,
    ) -> None:
        """``output`` is the type of the turn's answer; ``None``: that of the agent."""
        self.tail: tuple[Mapping[str, Any], ...] = ()
        """Messages at the end of the next request, and of no later one."""
        self.parameters: Mapping[str, Any] = {}
        """Parameters of the next request only."""
        self.problem = ""
        """The fault that no step could deal with."""
        self._conversation = conversation
        self._recorder = recorder
        self._limits = limits
        self._output = output
        self._steps = conversation.rescue_steps
        self._next = 0
        self._attempts: Counter[str] = Counter()
        self._flushed = False

    @property
    def repairs(self) -> bool:
        """Whether answers are repaired as they stream in."""
        return "repair" in self._steps

    async def judge(
        self, reader: AnswerReader, request: ModelRequest, raw: Answer, prefix: str, ms: int
    ) -> RescueDecision:
        """Decide on the answer ``raw``, which ``reader`` has read; if it is accepted, make it the turn's answer.

        ``prefix`` begins the ids of calls that were written as text. Raises HookError.
        """
        was_asked_again = bool(self.tail)
        self.tail, self.parameters = (), {}
        self._recorder.unusable = False
        answer, repairs = reader.repaired_answer(raw, prefix)
        fault = await self._find_fault(reader, answer, repairs)
        kind = self._output_type
        if fault is None and kind is not None and not answer.tool_calls and answer.finish not in faults.FINAL:
            answer, fault = self._read_output(kind, answer, repairs)
        if (
            fault is None
            and kind is None
            and not answer.tool_calls
            and not was_asked_again
            and "recomplete" in self._steps[self._next :]
        ):
            fault = faults.repeated_answer_fault(answer, request)
        self._limits.count(answer.tool_calls)
        if fault is None:
            self._recorder.answer = answer
            self._next = 0
            return RescueDecision(self._note_repairs(repairs, raw))
        return await self._climb(fault, repairs, raw, ms)

    async def _find_fault(self, reader: AnswerReader, answer: Answer, repairs: Sequence[Repair]) -> Fault | None:
        if answer.tool_calls:
            return self._limits.call_fault(answer, reader.toolset, reader.doubts)
        if reader.unreadable:
            return faults.unreadable_fault(answer, reader.unreadable)
        if answer.finish == "repetition" and not any(repair.cause == "repetition" for repair in repairs):
            return faults.repetition_fault(answer)
        if fault := faults.empty_fault(answer):
            return fault
        validate = self._conversation.agent.validate
        if validate is None:
            return None
        label = f"the check of agent {self._conversation.agent.name!r}"
        problem: object = await call_author_function(label, validate, answer.text)
        if not isinstance(problem, str | None):
            expected = "a text that says what is wrong, or None if nothing is"
            raise HookError(f"{label} returned {shown(problem)}, expected {expected}")
        return faults.rejected_fault(answer, problem) if problem else None

    @property
    def _output_type(self) -> "OutputType | None":
        return self._output or self._conversation.agent.output_type

    def _read_output(self, kind: "OutputType", answer: Answer, repairs: list[Repair]) -> tuple[Answer, Fault | None]:
        """Take the value out of ``answer``; return the answer with the JSON alone, or the fault."""
        from swarmchat.swarm.turn.output import instruction, read_output

        try:
            whole, self._recorder.output = read_output(kind, answer, repair=self.repairs)
        except ArgumentsError as error:
            return answer, faults.output_fault(answer, str(error), instruction(kind))
        if whole.text != answer.text:
            repairs.append(Repair("bad_output", "text around the JSON, or its form"))
        return whole, None

    async def _climb(self, fault: Fault, repairs: Sequence[Repair], raw: Answer, ms: int) -> RescueDecision:
        """Take the next step that applies to ``fault``."""
        while self._next < len(self._steps):
            step = self._steps[self._next]
            self._next += 1
            if callable(step):
                ctx = self._conversation.tool_context()
                reply = await call_author_function("a step of the rescue", step, fault, ctx)
                answer = Answer(reply, finish="rescued") if isinstance(reply, str) else reply
                if answer is None or not (answer.text.strip() or answer.tool_calls):
                    continue
                if (kind := self._output_type) is not None and not answer.tool_calls:
                    answer, wrong = self._read_output(kind, answer, [])
                    if wrong is not None:
                        continue
                self._recorder.answer = answer
                return RescueDecision(
                    [self._note(fault, getattr(step, "__name__", "function"), raw, ms)], replaced=True
                )
            if step == "feedback" and fault.refusals and fault.cause != "request_limit":
                self._recorder.answer = fault.answer
                events = [*self._note_repairs(repairs, raw), self._note(fault, step)]
                return RescueDecision(events, refusals=fault.refusals)
            if step == "recomplete":
                self._ask_again(fault, raw)
                return RescueDecision([self._note(fault, step, raw, ms)], again=True)
            if step == "flush" and not self._flushed and fault.cause != "request_limit":
                self._flushed = True
                event = self._note(fault, step, raw, ms)
                self._recorder.add("reset", keep=self._recorder.kept_by_flush)
                return RescueDecision([event], again=True)
            # A sentence is no answer of another type.
            if step == "placeholder" and self._output_type is None:
                self._recorder.answer = Answer(self._conversation.placeholder, finish="placeholder")
                return RescueDecision([self._note(fault, step, raw, ms)], replaced=True)
        self._recorder.answer = fault.answer
        self._recorder.unusable = not fault.answer.text.strip()
        self.problem = f"{fault.cause}: {fault.detail}" if fault.detail else fault.cause
        return RescueDecision(self._note_repairs(repairs, raw), refusals=fault.refusals, error=fault.error)

    def _ask_again(self, fault: Fault, raw: Answer) -> None:
        """Put the bad answer as the model wrote it, its fault, and the question at the end of the request.

        They are a pair of messages, because the chat templates of some models refuse two messages of one role in a row.
        They use no notation of swarmchat's: models copy it.
        """
        parts = (part.strip() for part in TURN_MARK.split(raw.text))
        bad = next(filter(None, parts), _SILENCE)
        self.tail = (
            {"role": "assistant", "content": bad[:_LONGEST_SHOWN]},
            {"role": "user", "content": f"{fault.feedback}\n\n{self._recorder.question}"},
        )
        if fault.cause == "request_limit":
            self.parameters = {"tool_choice": "none"}

    def _note_repairs(self, repairs: Sequence[Repair], raw: Answer) -> list[Event]:
        """Record the repairs; the first record holds the raw answer."""
        events: list[Event] = []
        for repair in repairs:
            bad: dict[str, Any] = {} if events else {"bad": raw.to_message(), "finish": raw.finish}
            if bad and raw.reasoning:
                bad["reasoning"] = raw.reasoning
            events.append(self._add(repair.cause, "repair", repair.detail, **bad))
        return events

    def _note(self, fault: Fault, step: str, raw: Answer | None = None, ms: int = 0) -> Event:
        """Record a step, with the rejected answer ``raw`` and its cost."""
        bad: dict[str, Any] = {}
        if raw is not None:
            bad = {"bad": raw.to_message(), "finish": raw.finish, "ms": ms}
            if raw.usage is not None:
                bad["usage"] = dict(raw.usage)
            if raw.reasoning:
                bad["reasoning"] = raw.reasoning
        return self._add(fault.cause, step, fault.detail, **bad)

    def _add(self, cause: str, step: str, detail: str, **bad: Any) -> Rescued:
        self._attempts[step] += 1
        attempt = self._attempts[step]
        agent = self._conversation.agent.name
        if step == "placeholder":
            bad["recovered"] = False
        self._recorder.add("rescue", cause=cause, step=step, attempt=attempt, detail=detail, **bad)
        return Rescued(cause, step, attempt, detail, agent)
