"""Collect the records of one turn in order, and store them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from swarmchat.backends import BackendError
from swarmchat.swarm.agents.rules import rules_of
from swarmchat.swarm.common.cancellation import run_to_completion
from swarmchat.swarm.common.encoding import SHORT_DIGEST
from swarmchat.swarm.context.request_texts import new_texts, rules_digest
from swarmchat.swarm.context.rotation import Rotation
from swarmchat.swarm.conversation.conversation import Conversation
from swarmchat.swarm.conversation.events import HandedOver, TurnEnded
from swarmchat.swarm.errors import OverBudget, SessionBusy
from swarmchat.swarm.importers.record_builder import TYPES
from swarmchat.swarm.models.base import Answer, ModelRequest
from swarmchat.swarm.persistence.journal import Batch
from swarmchat.swarm.persistence.records import Record, RecordType
from swarmchat.swarm.persistence.store import ChangeSet
from swarmchat.swarm.tools.context import Outcome
from swarmchat.swarm.turn.question import Question

if TYPE_CHECKING:
    from swarmchat.swarm.turn.answer_reader import AnswerReader


class TurnRecorder:
    """The records of a turn that are not stored yet, and its last answer."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._turn = conversation.journal.highest_turn + 1
        self._changes = ChangeSet()
        self._batch = conversation.batch()
        self.answer = Answer()
        """The last whole answer."""
        self.question = ""
        """The user's message."""
        self.output: Any = None
        """The last answer as a value of the type that was asked for."""
        self.entered = ""
        """The user's message as it was entered, if a hook changed it."""
        self.replaced = ""
        """The text of the last answer before a hook changed it."""
        self.unusable = False
        """Whether the answer has a fault that no step of the rescue could deal with, and says nothing."""
        self.reader: AnswerReader | None = None
        """The reader of the answer that streams in now; ``None`` if no text of it is shown yet."""
        self.context_tokens = 0
        self.kept_by_flush: list[int] = []
        """The numbers of records that a flush leaves in place: the question, and calls that took effect."""
        self._answer_seq = 0
        self._rescues = 0

    @property
    def pending(self) -> Sequence[Record]:
        """The records that are not stored yet."""
        return self._batch.records

    def add(self, kind: RecordType, /, **data: Any) -> Record:
        """Add a record of the active agent."""
        self._rescues += kind == "rescue"
        self.renumber()
        return self._batch.add(kind, turn=self._turn, agent=self._conversation.agent.name, **data)

    def renumber(self) -> None:
        """Give the pending records the next numbers of the log: a task in the background may have stored some."""
        first, has_records = self._batch.first, bool(self._batch.records)
        if (growth := self._batch.renumber()) and has_records:
            # In place: a pending record of a flush has the same list.
            self.kept_by_flush[:] = [seq + growth * (seq >= first) for seq in self.kept_by_flush]
            self._answer_seq += growth * (self._answer_seq >= first)

    def add_question(self, question: Question, output: str | None = None) -> None:
        """Add the user's message, after those that were given with it, which make turns of their own.

        ``output`` names the type of answer that was asked for.
        """
        self.question = question.text
        fields = {} if output is None else {"output": output}
        if self.entered:
            fields["entered"] = self.entered
        asked = False
        for message in question.earlier:
            self._turn += asked and message["role"] == "user"
            asked = asked or message["role"] == "user"
            about = {"finish": "stop"} if message["role"] == "assistant" else {}
            message = self._conversation.blobs.take(message)
            tokens = self._conversation.count(message)
            self.add(TYPES[message["role"]], message=message, tokens=tokens, given=True, **about)
        self._turn += asked
        message = self._conversation.blobs.take(question.message)
        tokens = self._conversation.count(message)
        self.kept_by_flush.append(self.add("user", message=message, tokens=tokens, **fields).seq)

    def add_request(self, request: ModelRequest, tokens: int) -> None:
        """Add a request and its tokens as counted here."""
        self.context_tokens = tokens
        budget = self._conversation.budget
        marks = [budget.high, budget.low]
        fields: dict[str, Any] = {"window": budget.window, "reserve": budget.reserve, "marks": marks}
        if request.tools and self._conversation.measures_overhead:
            fields["overhead"] = budget.overhead
        if request.images:
            fields["images"] = request.images
        if request.parameters:
            fields["parameters"] = dict(request.parameters)
        fields |= self._conversation.retained.for_record()
        rules = rules_of(self._conversation.swarm, self._conversation.agent)
        parts = {name: digest[:SHORT_DIGEST] for name, digest in request.parts.items()}
        parts["rules"] = rules_digest(rules)
        journal = self._conversation.journal
        records = [*journal.log.records, *journal.unsaved, *self.pending]
        if texts := new_texts(request, rules, self._conversation.agent.name, records):
            fields["texts"] = texts
        fields |= self._conversation.draws.for_record()
        self.add("request", model=request.model, key=request.key, parts=parts, tokens=tokens, **fields)

    def add_answer(self, ms: int | None = None) -> None:
        """Add the answer, which took ``ms`` milliseconds."""
        answer = self.answer
        message = answer.to_message()
        data: dict[str, Any] = {"tokens": self._conversation.count(message), "finish": answer.finish}
        if answer.fallback:
            data["model"] = answer.fallback
        if answer.usage is not None:
            data["usage"] = dict(answer.usage)
        if answer.reasoning:
            data["reasoning"] = answer.reasoning
        if answer.echo:
            data["echo"] = dict(answer.echo)
        if ms is not None:
            data["ms"] = ms
        if self.replaced:
            data["replaced"], self.replaced = self.replaced, ""
        self._answer_seq = self.add("assistant", message=message, **data).seq

    def add_rotation(self, rotation: Rotation) -> None:
        """Add a cut: from here on, less of the conversation is sent."""
        dropped, before = {"to": rotation.dropped[-1]}, {}
        if rotation.is_counted:
            dropped = {"groups": len(rotation.dropped), "from": rotation.dropped[0], **dropped}
            before = {"tokens_before": rotation.tokens_before}
        fields = {"first_kept": rotation.first_kept, "window": self._conversation.budget.window, **before}
        self.add("rotate", **fields, tokens_after=rotation.tokens_after, dropped=dropped)

    def add_results(self, outcomes: Sequence[Outcome], changes: ChangeSet) -> None:
        """Add the results of calls, in the order of the calls, and the changes that the tools made."""
        for outcome in outcomes:
            call = outcome.call
            for kind, asked in outcome.asked:
                self.add(kind, call=call.id, **asked)
            for task, assignment in outcome.started if outcome.status == "ok" else ():
                about = {"task": task, "via": call.id, **assignment.fields}
                self._batch.add("task_start", turn=self._turn, agent=assignment.agent, **about)
            message = self._conversation.blobs.take(
                {"role": "tool", "tool_call_id": call.id, "content": outcome.content}
            )
            tokens = self._conversation.count(message, parallel=len(outcomes) > 1)
            data: dict[str, Any] = {"name": call.name, "status": outcome.status, "ms": round(outcome.seconds * 1000)}
            if outcome.approve != "auto":
                data["approve"] = outcome.approve
            if outcome.effects is not None:
                data["effects"] = outcome.effects
            if outcome.replaced_digest is not None:
                data["replaced_digest"] = outcome.replaced_digest
            data |= outcome.draws.for_record()
            self.add("tool", message=message, tokens=tokens, **data)
        self._changes.extend(changes)
        if any(outcome.status == "ok" for outcome in outcomes):
            self.kept_by_flush.append(self._answer_seq)

    async def add_handoff(self, outcomes: Sequence[Outcome]) -> HandedOver | None:
        """Switch to the agent that a call hands over to, if one does, and add a record of it."""
        outcome = next((outcome for outcome in outcomes if outcome.handoff), None)
        if outcome is None or outcome.handoff is None:
            return None
        source, target = self._conversation.agent.name, outcome.handoff
        navigation = self._conversation.navigation.to(target)
        self.add("handoff", **{"from": source, "to": target, "stack": list(navigation.stack), "via": outcome.call.id})
        await self._conversation.stage_navigation(self._changes, navigation, outcome.call.arguments)
        self._conversation.switch(navigation)
        return HandedOver(source, target, navigation.stack)

    async def store(self) -> None:
        """Commit the pending records. If that fails, the next commit includes them, except the user's message.

        The user can send that again, and sees the error.
        """
        if self._batch.records or self._changes:
            # To the end: records waiting when the turn is stopped are not lost, and come before later ones.
            await run_to_completion(self._store())

    async def _store(self) -> None:
        async with self._conversation.step(storing=True):
            self.renumber()
            batch, self._batch = self._batch, Batch(self._conversation.journal)
            changes, self._changes = self._changes, ChangeSet()
            keep = all(record.type != "user" for record in batch.records)
            await self._conversation.commit(batch, changes, keep=keep)

    @property
    def partial_text(self) -> str:
        """The text shown so far of the answer that streams in now."""
        return "" if self.reader is None else self.reader.text

    async def abandon(self, error: BaseException) -> None:
        """Store the pending records when ``error`` ends the turn."""
        if self.reader is not None:
            # Takes the end of the text, which was held back as the possible start of a call.
            list(self.reader.finish())
        if partial := self.partial_text:
            self.answer = Answer(partial, finish="interrupted")
            self.add_answer()
        if isinstance(error, Exception):
            # What does not fit depends on the window, which is in no request then.
            budget = self._conversation.budget if isinstance(error, OverBudget) else None
            room = {} if budget is None else {"window": budget.window, "reserve": budget.reserve}
            self.add("error", error={"kind": type(error).__name__, "message": str(error)}, **room)
        # A backend that has just failed is not asked again, and nothing is stored behind another process.
        if not isinstance(error, BackendError | SessionBusy):
            await self.store()

    def ended(self) -> TurnEnded:
        """Return the event that closes the turn."""
        answer = self.answer
        recovered = answer.finish != "placeholder" and not self.unusable
        finish = "person" if self._conversation.agent.is_person and not answer.text else answer.finish
        return TurnEnded(
            self._turn,
            answer.text,
            finish,
            self.context_tokens,
            answer.usage,
            self._rescues,
            recovered,
            self.output,
        )
