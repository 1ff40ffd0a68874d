"""Do again what a transcript tells, and see whether the same comes out.

``verify``: what the user, the model and the tools did comes from the transcript; context and rotation, handoffs,
policies, rescue and states are computed for real and compared. ``tools``: the tools run as well. ``live``: only what
the user did comes from it. No network is used but by a model or a tool that is given.
"""

import asyncio
import json
import secrets
from collections.abc import Iterator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from swarmchat.backends import Append, Backend, Delete, Put, Write
from swarmchat.swarm.agents.agent import Swarm
from swarmchat.swarm.archive.log_summary import LogSummary
from swarmchat.swarm.common.encoding import encode_json
from swarmchat.swarm.conversation.settings import SessionSettings
from swarmchat.swarm.errors import ModelError, PinError, SwarmError
from swarmchat.swarm.importers.record_builder import moment_of
from swarmchat.swarm.models.base import Model
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.log_reader import read_records
from swarmchat.swarm.persistence.records import Record
from swarmchat.swarm.persistence.session_index import SessionInfo
from swarmchat.swarm.replay.compare import Difference, compare_logs
from swarmchat.swarm.replay.expectations import TurnComparison, check_expectation, happened_in
from swarmchat.swarm.replay.files import RecordedConversation
from swarmchat.swarm.replay.handwritten import MOMENT, SETTINGS, WINDOWS
from swarmchat.swarm.replay.recorded_model import Recording, ReplayModel, ReplayTools
from swarmchat.swarm.replay.replay_conversation import ReplayConversation
from swarmchat.swarm.replay.script import Action, split_actions
from swarmchat.swarm.replay.stand_in import swarm_of
from swarmchat.swarm.session.session import Session

_CLIENT = "replay"

MODES = ("verify", "tools", "live")


@dataclass
class Replayed:
    """What came of one replay."""

    conversation: RecordedConversation
    records: list[Record]
    """The log that came out, from its first record on. No times but those of the transcript are in it."""
    differences: list[Difference] = field(default_factory=list)
    """What is not as the transcript says, the first one first."""
    turns: list[TurnComparison] = field(default_factory=list)
    """The turns that were replayed: what they came to then, and now."""

    @property
    def same(self) -> bool:
        """Whether all is as the transcript says."""
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
) -> Replayed:
    """Replay ``conversation`` in a session of its own on ``backend``; all that it leaves there is removed again.

    ``swarm`` is who answers; without one, agents that have the tools that were called. ``model`` answers in the mode
    ``live``. Only the turns from ``start`` to ``until`` are replayed; those before are taken as they are. Raises what
    opening a session raises, in the mode ``live`` what the model raises, and SwarmError for a swarm that cannot be.
    """
    before, actions = split_actions(conversation.records)
    while conversation.whole and actions and _was_imported(actions[0]):
        before = [*before, *actions.pop(0).records]
    if start is not None:
        skipped = [action for action in actions if action.turn < start]
        before = [*before, *(record for action in skipped for record in action.records)]
        actions = actions[len(skipped) :]
    if until is not None:
        actions = [action for action in actions if action.turn <= until]
    return await _Replay(conversation, backend, swarm, mode, model, settings, before).run(actions)


class _Replay:
    def __init__(
        self,
        conversation: RecordedConversation,
        backend: Backend,
        swarm: Swarm | None,
        mode: str,
        model: Model | None,
        settings: SessionSettings | None,
        before: Sequence[Record],
    ) -> None:
        self._conversation = conversation
        self._backend = backend
        self._swarm = swarm or swarm_of(conversation)
        self._live = mode == "live"
        self._real_tools = mode == "tools"
        self._model = model
        self._given = settings
        self._before = before
        self._recording = Recording()
        self._moment = MOMENT
        # Nobody's name: on a store that others use as well, a client of its own.
        self._client = f"{_CLIENT}-{secrets.token_hex(8)}"
        self._turns: list[TurnComparison] = []

    async def run(self, actions: Sequence[Action]) -> Replayed:
        conversation = self._conversation
        by_hand = conversation.by_hand
        for action in actions if by_hand else ():
            # What is missing in what was written by hand was forgotten, not interrupted.
            action.breaks_off = action.killed = False
        try:
            info = await self._put_beginning()
            differences = await self._perform(info, actions)
            records = [record async for record in read_records(self._backend, info)]
        finally:
            await self._remove_all()
        if not self._live:
            records = [*records[: len(self._before)], *map(_timeless, records[len(self._before) :])]
            if not by_hand:
                expected = [record for action in actions for record in action.records]
                whole = conversation.whole
                differences += compare_logs(expected, records[len(self._before) :], whole=whole)
        return Replayed(conversation, records, differences, self._turns)

    async def _put_beginning(self) -> SessionInfo:
        """Store the records that are not replayed, and what is kept beside them."""
        summary = LogSummary()
        memory = self._conversation.about.get("memory")
        for record in self._before:
            summary.take(record)
            if record.type == "memory":
                memory = record.data.get("value")
        info = replace(summary.info(self._client, _CLIENT, _CLIENT), swarm=self._swarm.name)
        writes: list[Write] = [*summary.stored_state.writes(info, None)]
        if isinstance(memory, dict) and memory:
            writes.append(Put(keys.memory(self._client), encode_json(memory)))
        lines = tuple(record.line for record in self._before)
        await self._backend.commit(Append(keys.session_log(self._client, info.id), lines), info.put(None), *writes)
        return info

    async def _remove_all(self) -> None:
        left = [key async for key, _ in self._backend.scan(keys.owned(self._client))]
        left += [keys.policy_ban(self._swarm.name, policy.name, self._client) for policy in self._swarm.policies]
        await self._backend.commit(*map(Delete, [*left, keys.session_log(self._client, _CLIENT)]))

    async def _open(self, info: SessionInfo, actions: Sequence[Action]) -> tuple[Session, ReplayConversation]:
        models: dict[str, Model] = {}
        about = self._conversation.about
        asked = [str(record.data.get("model")) for action in actions for record in action.requests]
        first = next(iter(asked), str(about.get("model") or "")) or "replayed"
        # One model may have stood in for those that agents name: the demo model does.
        told = about.get("settings")
        alone = first == "demo" or (isinstance(told, dict) and told.get("one_model") is True)

        def model_named(name: str) -> Model:
            if self._live and self._model is not None:
                return self._model
            return models.setdefault(name, ReplayModel(self._recording, name))

        conversation = await ReplayConversation.open(
            self._backend,
            model_named(first),
            client=self._client,
            name=info.id,
            swarm=self._swarm,
            settings=self._settings(),
            models=None if alone else model_named,
            clock=lambda: datetime.fromisoformat(self._moment),
        )
        conversation.recording = self._recording
        conversation.about = self._conversation.about
        conversation.follows = not self._live
        conversation.initial_reserve = conversation.settings.reserve
        if not self._live:
            tools = ReplayTools(self._recording, conversation, real=self._real_tools)
            conversation.run_tool = tools.run
            conversation.approver = tools.approve
            conversation.settings = replace(conversation.settings, approve={"*": "ask"})
        return Session(conversation), conversation

    def _settings(self) -> SessionSettings:
        settings = self._given or SessionSettings()
        told = self._conversation.about.get("settings")
        by_hand = self._conversation.by_hand
        if isinstance(told, dict):
            known = (*SETTINGS, *WINDOWS) if by_hand else SETTINGS
            told = {name: value for name, value in told.items() if name in known}
            if isinstance(told.get("rescue"), list):
                told["rescue"] = self._steps(told["rescue"], settings)
            settings = replace(settings, **told)
        if not self._conversation.whole and not by_hand:
            # Another program had other bounds, and took what its model said as it was.
            settings = replace(settings, rescue=(), max_requests=10_000, max_repeats=10_000)
        return settings

    def _steps(self, names: Sequence[Any], settings: SessionSettings) -> list[Any]:
        """Return the steps of the rescue with functions for their names, where somebody has them."""
        given = [*(settings.rescue or ()), *(self._swarm.rescue or ())]
        functions = {getattr(step, "__name__", ""): step for step in given if callable(step)}
        return [functions.get(name, name) for name in names]

    async def _perform(self, info: SessionInfo, actions: Sequence[Action]) -> list[Difference]:
        differences: list[Difference] = []
        expectations = list(self._conversation.expectations)
        session, conversation = await self._open(info, actions)
        try:
            for number, action in enumerate(actions):
                self._moment = moment_of(action.records[0].ts) or self._moment
                if conversation.was_opened_again(action) or self._recording.killed:
                    await session.close()
                    self._recording.killed = False
                    session, conversation = await self._open(info, actions[number:])
                made_before = conversation.journal.log.next_seq
                await self._act(session, conversation, action)
                if action.kind != "ask":
                    continue
                made = [record for record in session.records if record.seq >= made_before]
                turned = TurnComparison(
                    happened_in(action.turn, action.records, agent_after(action), {}),
                    happened_in(action.turn, made, session.agent.name, await _states(session)),
                )
                self._turns.append(turned)
                differences += self._found_lacking(action, made)
                while expectations and expectations[0].turn <= action.turn:
                    expected = expectations.pop(0)
                    if expected.turn == action.turn:
                        differences += check_expectation(expected.fields, turned.now)
        finally:
            await session.close()
        return differences

    def _found_lacking(self, action: Action, made: Sequence[Record]) -> Iterator[Difference]:
        """Yield what a transcript that was written by hand lacks, or has too much of, in the turn of ``action``."""
        if not self._conversation.by_hand or self._live:
            return
        last = action.records[-1].seq
        if (lacking := self._recording.lacking) is not None:
            yield Difference(action.turn, last, "transcript", "", lacking, None)
        elif (left := self._recording.left) is not None:
            yield Difference(action.turn, last, "transcript", "", None, left)
        elif made and made[-1].type == "error":
            yield Difference(action.turn, last, "error", "error", None, made[-1].data["error"])

    async def _act(self, session: Session, conversation: ReplayConversation, action: Action) -> None:
        match action.kind:
            case "go":
                stack = session.navigation.stack
                await (session.go_back() if stack and stack[-1] == action.agent else session.go_to(action.agent))
            case "reset":
                await session.reset()
            case "undo":
                await session.undo(action.turns)
            case "redo":
                await session.redo(action.turns)
            case "unsent" if not any(record.type == "error" for record in action.records):
                await conversation.repeat_records(action)
            case "compact":
                conversation.take_request(action.records[0])
                self._recording.begin(action)
                with suppress(SwarmError):
                    await session.compact(action.text)
            case "pin" | "unpin":
                with suppress(PinError):
                    await (session.pin if action.kind == "pin" else session.unpin)(action.turns)
            case "set":
                await session.change_settings(session.settings.with_recorded(action.records[0].data.get("settings")))
            case "rename" | "change":
                await conversation.repeat_records(action)
            case _:
                await conversation.set_bans(action.records[0])
                if action.requests and conversation.follows:
                    conversation.take_request(action.requests[0])
                await self._ask(session, action)

    async def _ask(self, session: Session, action: Action) -> None:
        """Run one turn, and stop it where it was stopped. What ends it stands in its records."""
        self._recording.begin(action)
        turn = asyncio.ensure_future(_run(session, action.text))
        stop = asyncio.ensure_future(self._recording.stop.wait())
        try:
            await asyncio.wait({turn, stop}, return_when=asyncio.FIRST_COMPLETED)
            if not turn.done():
                turn.cancel()
            try:
                await turn
            except (SwarmError, asyncio.CancelledError) as error:
                if self._live and isinstance(error, ModelError):
                    raise
        finally:
            turn.cancel()
            stop.cancel()


def _was_imported(action: Action) -> bool:
    """Whether a turn was held in another program: an answer is there, and no request."""
    types = {record.type for record in action.records}
    return action.kind == "ask" and "assistant" in types and "request" not in types


def agent_after(action: Action) -> str:
    """Return which agent was active at the end of ``action``."""
    agent = ""
    for record in action.records:
        agent = str(record.data.get("to")) if record.type == "handoff" else record.agent or agent
    return agent


def _timeless(record: Record) -> Record:
    """Return the record without how long something took in the replay."""
    if "ms" not in record.data:
        return record
    return replace(record, data={**record.data, "ms": 0})


async def _run(session: Session, text: str) -> None:
    async with aclosing(session.run_turn(text)) as events:
        async for _ in events:
            pass


async def _states(session: Session) -> dict[str, Any]:
    states = {}
    for state in session.swarm.states:
        value = await session.primitives.state(state.name).get()
        states[state.name] = json.loads(state.encode(value))
    return states
