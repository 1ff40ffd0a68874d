"""The records of one turn: those that are still to be stored, in the order in which things happened."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from swarmchat.backends import BackendError
from swarmchat.swarm.context.builder import Rotation
from swarmchat.swarm.conversation.events import HandedOver, TurnEnded
from swarmchat.swarm.models.base import Answer, ModelRequest
from swarmchat.swarm.persistence.store import ChangeSet
from swarmchat.swarm.tools.outcome import Outcome

if TYPE_CHECKING:
    from swarmchat.swarm.persistence.records import Record
    from swarmchat.swarm.session.session import Session
    from swarmchat.swarm.turn.answer_reader import AnswerReader


_SHORT = 12
"""Characters of a digest that only tells a difference."""


class TurnRecords:
    """What happened in a turn and is not stored yet, and what was said last."""

    def __init__(self, session: "Session") -> None:
        self._session = session
        self._number = session.turns + 1
        self._edits = ChangeSet()
        self.pending: list[Record] = []
        self.answer = Answer()
        """The last whole answer."""
        self.hearing: AnswerReader | None = None
        """An answer that is still coming, if it is shown as it comes."""
        self.context_tokens = 0
        self.kept_by_flush: list[int] = []
        """What a flush leaves in place: the question, and calls that took effect and must not be made twice."""
        self._answered = 0
        self._rescues = 0
        if (first := session.session_record()) is not None:
            self.pending.append(first)

    def add(self, kind: str, **data: Any) -> "Record":
        """Add a record of the active agent."""
        record = self._session.record(kind, offset=len(self.pending), turn=self._number, **data)
        self.pending.append(record)
        self._rescues += kind == "rescue"
        return record

    def add_user(self, text: str) -> None:
        """Add the user's message."""
        message = {"role": "user", "content": text}
        self.kept_by_flush.append(self.add("user", message=message, tokens=self._session.count(message)).seq)

    def add_request(self, request: ModelRequest, tokens: int) -> None:
        """Add that a request goes out, and what it costs as we count."""
        self.context_tokens = tokens
        budget = self._session.budget
        about: dict[str, Any] = {"window": budget.window, "reserve": budget.reserve}
        if request.parameters:
            about["parameters"] = dict(request.parameters)
        about |= self._session.protected.for_record()
        parts = {name: digest[:_SHORT] for name, digest in request.parts.items()}
        self.add("request", model=request.model, key=request.key, parts=parts, tokens=tokens, **about)

    def add_answer(self, ms: int | None = None) -> None:
        """Add the answer, which took ``ms`` milliseconds."""
        answer = self.answer
        message = answer.to_message()
        data: dict[str, Any] = {"tokens": self._session.count(message), "finish": answer.finish}
        if answer.usage is not None:
            data["usage"] = dict(answer.usage)
        if answer.reasoning:
            data["reasoning"] = answer.reasoning
        if ms is not None:
            data["ms"] = ms
        self._answered = self.add("assistant", message=message, **data).seq

    def add_rotation(self, rotation: Rotation) -> None:
        """Add that from here on less of the conversation is sent."""
        self.add(
            "rotate",
            first_kept=rotation.first_kept,
            window=self._session.budget.window,
            tokens_before=rotation.tokens_before,
            tokens_after=rotation.tokens_after,
            dropped={"groups": len(rotation.dropped), "from": rotation.dropped[0], "to": rotation.dropped[-1]},
        )

    def add_results(self, outcomes: Sequence[Outcome], changes: ChangeSet) -> None:
        """Add the results of calls, in the order of the calls, and what the tools changed."""
        for outcome in outcomes:
            call = outcome.call
            message = {"role": "tool", "tool_call_id": call.id, "content": outcome.result}
            tokens = self._session.count(message, parallel=len(outcomes) > 1)
            data = {"name": call.name, "status": outcome.status, "ms": round(outcome.seconds * 1000)}
            self.add("tool", message=message, tokens=tokens, **data)
        self._edits.extend(changes)
        if any(outcome.status == "ok" for outcome in outcomes):
            self.kept_by_flush.append(self._answered)

    async def add_handoff(self, outcomes: Sequence[Outcome]) -> HandedOver | None:
        """Let the agent that a call hands over to go on."""
        outcome = next((outcome for outcome in outcomes if outcome.handoff), None)
        if outcome is None or outcome.handoff is None:
            return None
        source, target = self._session.agent.name, outcome.handoff
        navigation = self._session.navigation.to(target)
        self.add("handoff", **{"from": source, "to": target, "stack": list(navigation.stack), "via": outcome.call.id})
        await self._session.primitives.staging(self._edits).navigation.set(navigation)
        self._session.switch(navigation)
        return HandedOver(source, target, navigation.stack)

    async def store(self) -> None:
        """Commit what is pending. What cannot be stored is held for the next commit, but for the user's message.

        The user still has that one and is told that it was not taken.
        """
        pending, self.pending = self.pending, []
        changes, self._edits = self._edits, ChangeSet()
        keep = all(record.type != "user" for record in pending)
        if pending or changes:
            await self._session.commit(pending, changes, keep=keep)

    @property
    def partial_text(self) -> str:
        """What was shown of an answer that is still coming."""
        return "" if self.hearing is None else self.hearing.text

    async def abandon(self, error: BaseException) -> None:
        """Store what is left when the turn ends before its time."""
        if self.hearing is not None:
            # What was held back and is no call after all.
            list(self.hearing.finish())
        if partial := self.partial_text:
            self.answer = Answer(partial, finish="interrupted")
            self.add_answer()
        if isinstance(error, Exception):
            self.add("error", error={"kind": type(error).__name__, "message": str(error)})
        # A backend that has just failed is not asked again; the answer waits for the next commit.
        if not isinstance(error, BackendError):
            await self.store()

    def ended(self) -> TurnEnded:
        """Return the event that closes the turn."""
        answer = self.answer
        recovered = answer.finish != "placeholder"
        return TurnEnded(
            self._number, answer.text, answer.finish, self.context_tokens, answer.usage, self._rescues, recovered
        )
