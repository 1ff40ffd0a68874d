"""Replay a recorded conversation and compare the outcome.

In the mode ``verify``, user messages, answers and tool results come from the transcript; context and rotation,
handoffs, policies, rescue and states are computed again and compared. In ``tools``, the tools run too. In ``live``,
only the user messages come from the transcript. The network is used only by a live model or a tool.
"""

import asyncio
import json
import secrets
import time
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from itertools import takewhile
from typing import Any

from swarmchat.backends import Append, Backend, Delete, Put, Write
from swarmchat.swarm.agents.agent import Swarm
from swarmchat.swarm.agents.replay_rules import ReplayRules
from swarmchat.swarm.archive.log_summary import LogSummary
from swarmchat.swarm.common.encoding import encode_json
from swarmchat.swarm.common.names import nearest
from swarmchat.swarm.context.request_texts import RequestTexts
from swarmchat.swarm.conversation.events import Event
from swarmchat.swarm.conversation.program import Program
from swarmchat.swarm.conversation.settings import SessionSettings
from swarmchat.swarm.errors import McpError, ModelError, PinError, SwarmError, TranscriptError
from swarmchat.swarm.importers.record_builder import moment_of
from swarmchat.swarm.models.base import Model
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.blobs import Blobs
from swarmchat.swarm.persistence.log import read_records
from swarmchat.swarm.persistence.records import Record
from swarmchat.swarm.persistence.session_index import SessionInfo, find_session
from swarmchat.swarm.replay.background import ReplayedTasks
from swarmchat.swarm.replay.compare import Difference, compare_logs
from swarmchat.swarm.replay.consequences import compared
from swarmchat.swarm.replay.expectations import (
    CostOf,
    TurnComparison,
    check_bad_calls,
    check_failed_calls,
    check_refusals,
    check_results,
    outcome_of,
    reported_cost,
    turns_with_conversions,
)
from swarmchat.swarm.replay.files import RecordedConversation
from swarmchat.swarm.replay.handwritten import MOMENT
from swarmchat.swarm.replay.judging import Judging, recorded_verdicts
from swarmchat.swarm.replay.matchers import Matching
from swarmchat.swarm.replay.recorded_model import Recording, ReplayModel
from swarmchat.swarm.replay.recorded_output import recorded_output
from swarmchat.swarm.replay.recorded_settings import recorded_settings
from swarmchat.swarm.replay.replay_conversation import ReplayConversation
from swarmchat.swarm.replay.script import Action, agent_after, split_actions
from swarmchat.swarm.replay.stand_in import offered_tools, swarm_of
from swarmchat.swarm.session.session import Session
from swarmchat.swarm.tools.tool import Tool

_CLIENT = "replay"

MODES = ("verify", "tools", "live")


@dataclass
class Replayed:
    """The outcome of one replay."""

    conversation: RecordedConversation
    records: list[Record]
    """The whole new log. It holds no times but those of the transcript."""
    differences: list[Difference] = field(default_factory=list)
    """The differences from the transcript: first the causes, then what follows from them, each in order."""
    turns: list[TurnComparison] = field(default_factory=list)
    """The replayed turns: the recorded outcome and the new one of each."""
    verdicts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """What a model judged of answers, by `judged_key`."""
    converted: frozenset[int] = frozenset()
    """The turns of a live replay with calls whose arguments were converted to other types."""

    @property
    def same(self) -> bool:
        """Whether nothing differs."""
        return not self.differences


async def replay(
    conversation: RecordedConversation,
    backend: Backend,
    *,
    swarm: Swarm | None = None,
    mode: str = "verify",
    model: Model | None = None,
    settings: SessionSettings | None = None,
    start: int | None = None,
    until: int | None = None,
    rules: ReplayRules | None = None,
    cost_of: CostOf = reported_cost,
) -> Replayed:
    """Replay ``conversation`` in a session of its own on ``backend``, which is removed afterwards.

    ``swarm`` answers; without one, stand-in agents have the tools that were called. ``model`` answers in the mode
    ``live``. Only the turns from ``start`` to ``until`` are replayed; earlier ones are taken as they are. ``rules``
    add to those of the transcript and the swarm. ``cost_of`` returns what an answer cost, by its usage. Raises what
    opening a session raises, the model's errors in the mode ``live``, and SwarmError for an invalid swarm.
    """
    before, actions = split_actions(conversation.records)
    while conversation.whole and actions and _was_imported(actions[0]):
        before = [*before, *actions.pop(0).all_records]
    if start is not None:
        first = next((place for place, action in enumerate(actions) if action.turn >= start), len(actions))
        before = [*before, *(record for action in actions[:first] for record in action.all_records)]
        actions = actions[first:]
    if until is not None:
        # Messages from outside are of no turn.
        actions = [*takewhile(lambda action: action.turn <= until, actions)]
    own_tools = [tool for agent in swarm.agents for tool in agent.own_tools] if swarm else []
    swarm = swarm or swarm_of(conversation)
    all_rules = conversation.rules.and_also(swarm.replay).and_also(rules)
    return await _Replay(
        conversation, backend, swarm, own_tools, mode, model, settings, before, all_rules, cost_of
    ).run(actions)


@dataclass
class _Replay:
    conversation: RecordedConversation
    backend: Backend
    swarm: Swarm
    own_tools: Sequence[Tool]
    """The tools of the given swarm; empty for a stand-in."""
    mode: str
    model: Model | None
    base_settings: SessionSettings | None
    before: Sequence[Record]
    rules: ReplayRules
    cost_of: CostOf
    recording: Recording = field(default_factory=Recording)
    moment: str = MOMENT
    # A separate client, in case other people use the store.
    client: str = field(default_factory=lambda: f"{_CLIENT}-{secrets.token_hex(8)}")
    turns: list[TurnComparison] = field(default_factory=list)

    @property
    def live(self) -> bool:
        return self.mode == "live"

    async def run(self, actions: Sequence[Action]) -> Replayed:
        conversation = self.conversation
        for action in actions if conversation.by_hand else ():
            # Whatever a hand-written transcript lacks was left out, not interrupted.
            action.breaks_off = action.killed = False
        try:
            info = await self._put_beginning()
            differences = await self._perform(info, actions)
            records = [record async for record in read_records(self.backend, info)]
        finally:
            await self._remove_all()
        if not self.live:
            new = list(map(_timeless, records[len(self.before) :]))
            records = [*records[: len(self.before)], *new]
            if not conversation.by_hand:
                expected = [record for action in actions for record in action.all_records]
                texts = RequestTexts(conversation.records, new)
                # A failed expectation may follow from a record, but not the other way round.
                differences = [*compare_logs(expected, new, whole=conversation.whole, texts=texts), *differences]
        converted = turns_with_conversions(records, self.own_tools) if self.live else frozenset()
        return Replayed(
            conversation, records, compared(differences, self.rules), self.turns, self.judging.verdicts, converted
        )

    async def _put_beginning(self) -> SessionInfo:
        """Store the records that are not replayed, and the state after them."""
        summary = LogSummary()
        memory = self.conversation.about.get("memory")
        for record in self.before:
            summary.take(record)
            if record.type == "memory":
                memory = record.data.get("value")
        info = replace(summary.info, id=_CLIENT, name=_CLIENT, client=self.client, swarm=self.swarm.name)
        if self.live:
            info = replace(info, settings=None)
        writes: list[Write] = [*summary.stored_state.writes(info, None)]
        if isinstance(memory, dict) and memory:
            writes.append(Put(keys.memory(self.client, self.swarm.scope), encode_json(memory)))
        writes += await Blobs(self.backend, self.client, info.id).put(*self.conversation.blobs.values())
        lines = tuple(record.line for record in self.before)
        await self.backend.commit(Append(keys.session_log(self.client, info.id), lines), info.put(None), *writes)
        return info

    async def _remove_all(self) -> None:
        stored_keys = [key async for key, _ in self.backend.scan(keys.owned(self.client))]
        stored_keys += [key async for key, _ in self.backend.scan(keys.bans()) if keys.is_ban_of(key, self.client)]
        stored_keys += await Blobs(self.backend, self.client, _CLIENT).keys()
        await self.backend.commit(*map(Delete, [*stored_keys, keys.session_log(self.client, _CLIENT)]))

    async def _open(self, info: SessionInfo, actions: Sequence[Action]) -> tuple[Session, ReplayConversation]:
        models: dict[str, Model] = {}
        about = self.conversation.about
        asked = (str(record.data.get("model")) for action in actions for record in action.requests)
        first = next(asked, str(about.get("model") or "")) or "replayed"
        # One model may have answered for all agents, as the demo model does.
        recorded = about.get("settings")
        alone = first == "demo" or (isinstance(recorded, dict) and recorded.get("one_model") is True)

        def model_named(name: str) -> Model:
            if self.live and self.model is not None:
                return self.model
            return models.setdefault(name, ReplayModel(self.recording, name))

        info = await find_session(self.backend, self.client, info.id) or info
        conversation = ReplayConversation(
            self.backend,
            info,
            self.swarm,
            self._settings(info),
            model_named(first),
            None if alone else model_named,
            lambda: datetime.fromisoformat(self.moment),
            Program(),
        )
        await conversation.open()
        # The recorded swarm may have had another name.
        conversation.primitives.session_scope = self.swarm.scope
        conversation.about = about
        conversation.recorded_tools = offered_tools(self.conversation, self.swarm)
        conversation.initial_reserve = conversation.settings.reserve
        conversation.records_settings = False
        conversation.tasks = ReplayedTasks(conversation, () if self.live else actions)
        conversation.repeat(self.recording, self.rules, real=self.mode == "tools", live=self.live)
        if not self.live:
            # Whether a recorded call was allowed is known; a handwritten one must be allowed by its tool.
            least, rules = ({"*": "ask"}, {}) if self.conversation.by_hand else ({}, {"*": "ask"})
            conversation.settings = replace(
                conversation.settings, approve=rules, approve_at_least=least, tasks_at_once=10_000
            )
        return Session(conversation), conversation

    def _settings(self, info: SessionInfo) -> SessionSettings:
        # Summaries are made where the transcript has one.
        is_known = info.settings is not None and not self.conversation.by_hand
        fields = self._fields({"settings": info.settings} if is_known else self.conversation.about)
        settings = replace(self.base_settings or SessionSettings(), auto_compact=False, **fields)
        if not self.conversation.whole and not self.conversation.by_hand:
            # Another program had other limits, and took its model's answers as they were.
            settings = replace(settings, rescue=(), max_requests=10_000, max_repeats=10_000)
        return settings

    def _fields(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings in a ``session`` or ``set`` record."""
        steps = [*((self.base_settings or SessionSettings()).rescue or ()), *(self.swarm.rescue or ())]
        return recorded_settings(data, steps, by_hand=self.conversation.by_hand)

    async def _perform(self, info: SessionInfo, actions: Sequence[Action]) -> list[Difference]:
        differences: list[Difference] = []
        expectations = list(self.conversation.expectations)
        session, conversation = await self._open(info, actions)
        try:
            for number, action in enumerate(actions):
                self.moment = moment_of(action.records[0].ts) or self.moment
                if conversation.was_opened_again(action) or self.recording.killed:
                    await session.close()
                    self.recording.killed = False
                    session, conversation = await self._open(info, actions[number:])
                await conversation.begin_interleaved(action)
                start, started = conversation.journal.log.next_seq, time.monotonic()
                await self._act(session, conversation, action)
                if not action.is_turn:
                    continue
                seconds = time.monotonic() - started if self.live else None
                new_records = [record for record in session.records if record.seq >= start]
                by_hand = self.conversation.by_hand
                then = outcome_of(action.turn, action.records, agent_after(action), {}, by_hand=by_hand)
                states = await _states(session)
                now = outcome_of(action.turn, new_records, session.agent.name, states, cost_of=self.cost_of)
                now.memory, now.seconds = await session.primitives.memory.all(), seconds
                self.turns.append(TurnComparison(then, now))
                differences += self._check_handwritten(action, new_records)
                while expectations and expectations[0].turn <= action.turn:
                    expected = expectations.pop(0)
                    if expected.turn == action.turn:
                        async for each in self.judging.check(expected.fields, now):
                            differences.append(replace(each, line=expected.line_of(each.field)))
            await conversation.end_interleaved()
        finally:
            await session.close()
        return differences

    @cached_property
    def judging(self) -> Judging:
        """What the expectations are checked with."""
        verdicts = recorded_verdicts(self.conversation.records)
        return Judging(self.swarm, Matching(self.rules.text), self.model if self.live else None, verdicts)

    def _check_handwritten(self, action: Action, records: Sequence[Record]) -> Iterator[Difference]:
        """Yield how the new ``records`` of a turn differ from a hand-written one, except for its expectations."""
        if not self.conversation.by_hand or self.live:
            return
        turn, recording, last = action.turn, self.recording, action.records[-1].seq
        expected = {name for each in self.conversation.expectations if each.turn == turn for name in each.fields}
        expects_failures = not expected.isdisjoint(("failed", "rescues", "error"))
        if "refused" not in expected:
            yield from check_refusals(turn, records)
        converted = any(record.data.get("converted") is True for record in action.records)
        bad_calls = check_bad_calls(turn, records, self.own_tools, converted=converted)
        rescued = [] if expects_failures else list(bad_calls)
        yield from rescued
        if recording.missing is not None:
            yield Difference(turn, last, "transcript", "", recording.missing, None)
        elif not expects_failures and not rescued:
            yield from check_failed_calls(turn, records, recording.all_results)
        yield from check_results(turn, records, recording.all_results)
        if recording.missing is None and recording.unused_answer is not None:
            yield Difference(turn, last, "transcript", "", None, recording.unused_answer)
        elif records and records[-1].type == "error" and recording.missing is None and "error" not in expected:
            yield Difference(turn, last, "error", "error", None, records[-1].data["error"])

    async def _act(self, session: Session, conversation: ReplayConversation, action: Action) -> None:
        match action.kind:
            case "go":
                if action.agent not in self.swarm.names:
                    hint = nearest(action.agent, self.swarm.names)
                    raise TranscriptError(f"the user switches to the unknown agent {action.agent!r}; {hint}")
                stack = session.navigation.stack
                await (session.go_back() if stack and stack[-1] == action.agent else session.go_to(action.agent))
            case "undo":
                await session.undo(action.turns)
            case "redo":
                await session.redo(action.turns)
            case "unsent" if not any(record.type == "error" for record in action.records):
                await conversation.repeat_records(action)
            case "compact":
                conversation.take_request(action.records[0])
                self.recording.begin(action)
                with suppress(SwarmError):
                    await session.compact(action.text)
            case "pin" | "unpin":
                with suppress(PinError):
                    await (session.pin if action.kind == "pin" else session.unpin)(action.turns)
            case "set":
                await session.change_settings(session.settings.with_recorded(self._fields(action.records[0].data)))
                conversation.initial_reserve = session.settings.reserve
            case "rename" | "mail" | "change" | "reset" | "given":
                await conversation.repeat_records(action)
            case _:
                await conversation.set_bans(action.records[0])
                if action.requests and conversation.follows:
                    conversation.take_request(action.requests[0])
                await self._ask(session, action)

    async def _ask(self, session: Session, action: Action) -> None:
        """Run one turn, and stop it where it was stopped. Its records hold what ended it."""
        self.recording.begin(action)
        output = recorded_output(action, check=self.live) if "output" in action.records[0].data else None
        events = session.receive() if action.kind == "react" else session.run_turn(action.question, output=output)
        turn = asyncio.ensure_future(_run(events))
        stop = asyncio.ensure_future(self.recording.stop.wait())
        try:
            await asyncio.wait({turn, stop}, return_when=asyncio.FIRST_COMPLETED)
            if not turn.done():
                turn.cancel()
            try:
                await turn
            except (SwarmError, asyncio.CancelledError) as error:
                if isinstance(error, McpError | TranscriptError) or (self.live and isinstance(error, ModelError)):
                    raise
        finally:
            turn.cancel()
            stop.cancel()


def _was_imported(action: Action) -> bool:
    """Whether a turn comes from another program: it has an answer and no request."""
    types = {record.type for record in action.records}
    return action.is_turn and "assistant" in types and "request" not in types


def _timeless(record: Record) -> Record:
    """Return the record without the time that something took in the replay."""
    return replace(record, data={**record.data, "ms": 0}) if "ms" in record.data else record


async def _run(events: AsyncGenerator[Event, None]) -> None:
    async with aclosing(events):
        async for _ in events:
            pass


async def _states(session: Session) -> dict[str, Any]:
    states = {}
    for state in session.swarm.states:
        value = await session.primitives.state(state.name).get()
        states[state.name] = json.loads(state.encode(value))
    return states
