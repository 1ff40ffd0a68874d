"""The rescue ladder: what is done about an answer that cannot be used, one step after the other until one helps.

1. repair: put the form right, without losing anything (``hearing``, ``call_repair``).
2. feedback: the fault goes to the model as the result of its call, with the nearest names and the parameters.
3. recomplete: ask again and say why; the bad answer is in that request and nowhere else.
4. flush: hide the conversation from this agent and ask the user's question again on the clean slate.
5. placeholder: answer with a polite line.

An error of the provider is no answer and never comes here.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from swarmchat.swarm.agents.rescue_steps import Fault
from swarmchat.swarm.common.hooks import call_hook
from swarmchat.swarm.conversation.conversation import Conversation
from swarmchat.swarm.conversation.events import Event, Rescued
from swarmchat.swarm.errors import LimitReached
from swarmchat.swarm.models.base import Answer
from swarmchat.swarm.parsing.call_repair import Repair
from swarmchat.swarm.turn.answer_reader import AnswerReader
from swarmchat.swarm.turn.faults import Guards, empty_fault, rejected_fault, repetition_fault

if TYPE_CHECKING:
    from swarmchat.swarm.turn.recorder import TurnRecorder

_LONGEST_SHOWN = 2000
"""Characters of a bad answer that the model is shown again."""


@dataclass(frozen=True, slots=True)
class RescueDecision:
    """What becomes of an answer."""

    events: Sequence[Event] = ()
    again: bool = False
    """Whether the model is asked again; else the answer was taken."""
    replaced: bool = False
    """Whether the answer is another one than the model's, and was not shown."""
    refusals: Mapping[str, str] = field(default_factory=dict)
    """Calls that are not carried out, and why, by their ids."""
    error: LimitReached | None = None
    """What ends the turn: no step was left."""


class Rescue:
    """The ladder of one turn."""

    def __init__(self, conversation: Conversation, records: "TurnRecorder", guards: Guards) -> None:
        self.tail: tuple[Mapping[str, Any], ...] = ()
        """Messages that the next request ends with, and no later one."""
        self.parameters: Mapping[str, Any] = {}
        """Fields of the next request only."""
        self._conversation = conversation
        self._records = records
        self._guards = guards
        self._steps = conversation.rescue_steps
        self._next = 0
        self._attempts: Counter[str] = Counter()
        self._flushed = False

    @property
    def repairs(self) -> bool:
        """Whether answers are put right while they come."""
        return "repair" in self._steps

    async def judge(self, hearing: AnswerReader, said: Answer, prefix: str, ms: int) -> RescueDecision:
        """Decide on ``said``, the answer that ``hearing`` has heard, and make it, repaired, the turn's answer.

        ``prefix`` begins the ids of calls that come out of the text. Raises HookError.
        """
        self.tail, self.parameters = (), {}
        answer, repairs = hearing.repaired_answer(said, prefix)
        fault = await self._find_fault(hearing, answer, repairs)
        self._guards.count(answer.tool_calls)
        if fault is None:
            self._records.answer = answer
            self._next = 0
            return RescueDecision(self._note_repairs(repairs, said))
        return await self._climb(fault, repairs, said, ms)

    async def _find_fault(self, hearing: AnswerReader, answer: Answer, repairs: Sequence[Repair]) -> Fault | None:
        if answer.tool_calls:
            return self._guards.call_fault(answer, hearing.toolset)
        if answer.finish == "repetition" and not any(repair.cause == "repetition" for repair in repairs):
            return repetition_fault(answer)
        if fault := empty_fault(answer):
            return fault
        validate = self._conversation.agent.validate
        if validate is None:
            return None
        problem = await call_hook(f"the check of agent {self._conversation.agent.name!r}", validate, answer.text)
        return rejected_fault(answer, str(problem)) if problem else None

    async def _climb(self, fault: Fault, repairs: Sequence[Repair], said: Answer, ms: int) -> RescueDecision:
        """Take the next step that can be taken for ``fault``."""
        while self._next < len(self._steps):
            step = self._steps[self._next]
            self._next += 1
            if callable(step):
                made = await call_hook("a step of the rescue", step, fault, self._conversation.tool_context())
                answer = Answer(made, finish="rescued") if isinstance(made, str) else made
                if answer is None or not (answer.text.strip() or answer.tool_calls):
                    continue
                self._records.answer = answer
                return RescueDecision(
                    [self._note(fault, getattr(step, "__name__", "function"), said, ms)], replaced=True
                )
            if step == "feedback" and fault.refusals and fault.cause != "request_limit":
                self._records.answer = fault.answer
                events = [*self._note_repairs(repairs, said), self._note(fault, step)]
                return RescueDecision(events, refusals=fault.refusals)
            if step == "recomplete":
                self._ask_again(fault)
                return RescueDecision([self._note(fault, step, said, ms)], again=True)
            if step == "flush" and not self._flushed and fault.cause != "request_limit":
                self._flushed = True
                event = self._note(fault, step, said, ms)
                self._records.add("reset", keep=self._records.kept_by_flush)
                return RescueDecision([event], again=True)
            if step == "placeholder":
                self._records.answer = Answer(self._conversation.placeholder, finish="placeholder")
                return RescueDecision([self._note(fault, step, said, ms)], replaced=True)
        self._records.answer = fault.answer
        return RescueDecision(self._note_repairs(repairs, said), refusals=fault.refusals, error=fault.error)

    def _ask_again(self, fault: Fault) -> None:
        """Let the next request show the bad answer and say what is wrong with it.

        As a pair of messages: the templates of some models refuse two messages of one role in a row.
        """
        bad = fault.answer.text.strip()
        if len(bad) > _LONGEST_SHOWN:
            bad = bad[:_LONGEST_SHOWN] + " […]"
        bad += "".join(f"\n[call of {call.name} with {call.arguments[:500]}]" for call in fault.answer.tool_calls)
        self.tail = (
            {"role": "assistant", "content": bad.strip() or "(nothing)"},
            {"role": "user", "content": f"[{fault.told}]"},
        )
        if fault.cause == "request_limit":
            self.parameters = {"tool_choice": "none"}

    def _note_repairs(self, repairs: Sequence[Repair], said: Answer) -> list[Event]:
        """Record what was put right; the first record holds what the model said."""
        events: list[Event] = []
        for repair in repairs:
            bad: dict[str, Any] = {} if events else {"bad": said.to_message(), "finish": said.finish}
            if bad and said.reasoning:
                bad["reasoning"] = said.reasoning
            events.append(self._add(repair.cause, "repair", repair.detail, **bad))
        return events

    def _note(self, fault: Fault, step: str, said: Answer | None = None, ms: int = 0) -> Event:
        """Record a step; ``said`` is an answer that is not taken, so that what it was and cost is kept."""
        bad: dict[str, Any] = {}
        if said is not None:
            bad = {"bad": said.to_message(), "finish": said.finish, "ms": ms}
            if said.usage is not None:
                bad["usage"] = dict(said.usage)
            if said.reasoning:
                bad["reasoning"] = said.reasoning
        return self._add(fault.cause, step, fault.detail, **bad)

    def _add(self, cause: str, step: str, detail: str, **bad: Any) -> Rescued:
        self._attempts[step] += 1
        attempt = self._attempts[step]
        agent = self._conversation.agent.name
        if step == "placeholder":
            bad["recovered"] = False
        self._records.add("rescue", cause=cause, step=step, attempt=attempt, detail=detail, **bad)
        return Rescued(cause, step, attempt, detail, agent)
