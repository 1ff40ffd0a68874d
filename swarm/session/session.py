"""One conversation of a client with a swarm: who is talking, what it costs, and the way from the log to a request."""

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from swarmchat.backends import Backend, BackendError
from swarmchat.swarm.agents.agent import DEFAULT_SWARM, Agent, Swarm
from swarmchat.swarm.agents.handoffs import handoff_definitions, handoff_names
from swarmchat.swarm.agents.rescue_steps import PLACEHOLDER, check_steps
from swarmchat.swarm.common.encoding import clean_text
from swarmchat.swarm.context.builder import Budget, RequestContext
from swarmchat.swarm.context.groups import Group
from swarmchat.swarm.context.retained import Retained
from swarmchat.swarm.context.tokens import TokenCounter
from swarmchat.swarm.context.view import View, cut_warning
from swarmchat.swarm.conversation.primitives import Primitives
from swarmchat.swarm.conversation.settings import SessionSettings
from swarmchat.swarm.errors import OverBudget
from swarmchat.swarm.models.base import Hashed, Model, ModelRequest, ToolCall
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.journal import Journal
from swarmchat.swarm.persistence.records import Record, timestamp
from swarmchat.swarm.persistence.session_index import SessionInfo, find_session, free_name
from swarmchat.swarm.persistence.store import ChangeSet
from swarmchat.swarm.primitives.navigation import Navigation
from swarmchat.swarm.primitives.presence import PersistAlive
from swarmchat.swarm.session.between_turns import BetweenTurns
from swarmchat.swarm.session.operations import session_record
from swarmchat.swarm.tools.context import Context
from swarmchat.swarm.tools.outcome import run_tool
from swarmchat.swarm.tools.toolset import Toolset

if TYPE_CHECKING:
    from swarmchat.swarm.conversation.events import Event
    from swarmchat.swarm.tools.tool import Tool

Approver = Callable[["Tool", ToolCall], Awaitable[bool | str]]
"""Asks the user whether a tool may be called; a text is what to call it with instead, arguments that fit."""


class Session(BetweenTurns):
    """A conversation that survives. Made by ``Session.open``; ``close`` it, or use it with ``async with``."""

    def __init__(
        self,
        journal: Journal,
        backend: Backend,
        swarm: Swarm,
        settings: SessionSettings,
        model: Model,
        models: Callable[[str], Model] | None,
        approver: Approver | None,
    ) -> None:
        self.journal = journal
        self.backend = backend
        self.swarm = swarm
        self.settings = settings
        self.approver = approver
        self.run_tool = run_tool
        self.rescue_steps = check_steps(swarm.rescue if settings.rescue is None else settings.rescue)
        """What is done about answers that cannot be used, in order."""
        info = journal.info
        self.primitives = Primitives(swarm, backend, settings.lifetimes, info.client, info.id)
        self.navigation = Navigation(swarm.default)
        self.last_request: ModelRequest | None = None
        """What was sent last in this process."""
        self.healed_from: str | None = None
        """The agent that was active and that there is no more."""
        self._model = model
        self._models = models
        self._made_models: dict[str, Model] = {}
        self._alive = PersistAlive(backend, swarm.name, settings.lifetimes.alive)
        self._view = View(journal.log, swarm.default)
        self._since = timestamp(journal.now())
        self._announced = ""
        self._remembered: Mapping[str, Any] = {}
        self._turn_lock = asyncio.Lock()
        self._cut_warned = False

    @classmethod
    async def open(
        cls,
        backend: Backend,
        model: Model,
        *,
        client: str,
        name: str | None = None,
        swarm: Swarm | Agent = DEFAULT_SWARM,
        settings: SessionSettings | None = None,
        models: Callable[[str], Model] | None = None,
        approver: Approver | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        rng: random.Random | None = None,
    ) -> "Session":
        """Open the session ``name`` of ``client``, or a new one; without a name, a new one with a random name.

        ``swarm`` may be a single agent. ``models`` makes the model for an agent that names one; without it, all work
        with ``model``. ``approver`` is asked about tools that need it; without one, they are denied. A new session is
        stored with its first turn. Raises SessionBusy when another process has it open, BadRecord when it was written
        by a newer program, and the backend's errors.
        """
        settings = settings or SessionSettings()
        if isinstance(swarm, Agent):
            swarm = Swarm(swarm.name, [swarm])
        info = await find_session(backend, client, name) if name is not None else None
        if info is None:
            now = timestamp(clock())
            chosen = name if name is not None else await free_name(backend, client, rng or random.SystemRandom())
            info = SessionInfo(chosen, chosen, client, created=now, updated=now, swarm=swarm.name)
        beside = [keys.session_swarm(client, info.id)]
        beside += [keys.session_state(client, info.id, state.name) for state in swarm.states]
        journal = Journal(backend, info, settings.lifetimes, settings.lease, clock, beside)
        await journal.open()
        session = cls(journal, backend, swarm, settings, model, models, approver)
        try:
            await session._restore()
            await session._announce()
        except BaseException:
            await journal.close()
            raise
        return session

    async def __aenter__(self) -> "Session":
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    @property
    def info(self) -> SessionInfo:
        """The session's entry in the list."""
        return self.journal.info

    @property
    def turns(self) -> int:
        """How many turns the session has, those that were undone among them."""
        return self.journal.turns

    @property
    def last_turn(self) -> int:
        """The number of the last turn that is not undone; 0 if there is none."""
        return self.journal.last_turn

    @property
    def records(self) -> Sequence[Record]:
        """The records in memory: the end of the log, as far back as the next context may need it."""
        return self.journal.log.records

    @property
    def damaged(self) -> Mapping[int, str]:
        """What is wrong with lines of the log that could not be read, by their position."""
        return self.journal.log.damaged

    @property
    def agent(self) -> Agent:
        """The active agent."""
        return self.swarm.agent(self.navigation.active)

    @property
    def model(self) -> Model:
        """The model that the active agent works with."""
        name = self.agent.model
        if name is None or self._models is None:
            return self._model
        if name not in self._made_models:
            self._made_models[name] = self._models(name)
        return self._made_models[name]

    @model.setter
    def model(self, model: Model) -> None:
        self._model = model

    @property
    def placeholder(self) -> str:
        """What is answered when no step of the rescue has helped."""
        return self.settings.placeholder or self.swarm.placeholder or PLACEHOLDER

    @property
    def budget(self) -> Budget:
        """What the next context may cost."""
        window = self.settings.context_window or self.model.context_window
        return self.settings.budget(min(window, self._view.window or window), self._view.correction)

    @property
    def counter(self) -> TokenCounter:
        """The counter for the model. Loading it takes some 0.3 s, once."""
        return self._view.counter(self.model.name)

    @property
    def first_kept(self) -> int:
        """From which record on the conversation is sent: 0 if all of it is."""
        return self._view.first_kept(self.budget)

    @property
    def protected(self) -> Retained:
        """What is sent whatever is left out for room."""
        return self._view.protected

    @property
    def fill(self) -> tuple[int, int]:
        """Return the tokens of the last request as we counted them, and what a request may have."""
        return self._view.last_tokens, self.budget.available

    async def run_turn(self, text: str) -> AsyncGenerator["Event", None]:
        """Send ``text`` and yield what happens until the answer is complete and stored.

        One turn runs at a time, others wait. Cancelling the task, or closing the generator, stops the model and the
        tools at once; what was said until then is stored. Raises OverBudget, the kinds of LimitReached and of
        ModelError, SessionBusy when another process took the session over meanwhile, and the backend's errors. The
        user's message is stored whatever comes, unless it is the backend that failed.
        """
        # What listens to an answer is not needed before the first one.
        from swarmchat.swarm.turn.loop import run_turn

        async with self._turn_lock, aclosing(run_turn(self, clean_text(text))) as events:
            async for event in events:
                yield event

    @property
    def uncut(self) -> list[Group]:
        """What the active agent's next request can be made of, but for what is pinned and sums up."""
        return self._view.uncut(self.budget)

    async def context(self) -> RequestContext:
        """Return what would be sent now. Changes nothing."""
        return await self.prepare((), await self.toolset())

    async def close(self) -> None:
        """Store what could not be stored before, if it can be now, and let others have the session."""
        try:
            await self._alive.leave()
            for made in self._made_models.values():
                await made.close()
        finally:
            await self.journal.close()

    # What follows is for the turn.

    async def ready(self) -> None:
        """Load the counter, and find out what became of a commit that failed. Raises the backend's errors."""
        await self._view.load_counter(self.model.name)
        if self.journal.in_doubt:
            self._view.take(await self.journal.settle_doubt())
            await self._restore()
            # Not before: whoever is cancelled until here has all of it to do again.
            self.journal.in_doubt = False
        if self.journal.is_new:
            self._remembered = await self.primitives.memory.all()

    def record(self, kind: str, *, offset: int, turn: int, **data: Any) -> Record:
        """Return a new record of the active agent, ``offset`` places after the end of the log."""
        return self.journal.record(kind, self.agent.name, offset=offset, turn=turn, **data)

    def session_record(self) -> Record | None:
        """Return the record that a log begins with, if it is still to be written."""
        return session_record(self, self._remembered) if self.journal.is_new else None

    def settings_for_record(self) -> dict[str, Any]:
        """Return what of the settings a replay has to know, as records have it."""
        return self.settings.for_record(
            one_model=self._models is None and any(agent.model for agent in self.swarm.agents)
        )

    async def prepare(
        self,
        pending: Sequence[Record],
        toolset: Toolset,
        *,
        tail: Sequence[Mapping[str, Any]] = (),
        shrink_to: int | None = None,
    ) -> RequestContext:
        """Return the context for the next request, as if ``pending`` were stored; ``tail`` ends it.

        ``shrink_to`` lowers the context window for this session from now on. Raises OverBudget, and leaves the window
        as it was, when what must be sent does not fit.
        """
        handoffs = handoff_definitions(self.swarm, self.agent, self.navigation)
        before = self._view.window
        self._view.window = before if shrink_to is None else shrink_to
        try:
            return await self._view.context(
                self.budget,
                self.model.name,
                system=await self.agent.system_messages(self.tool_context()),
                tools=[*(tool.definition for tool in toolset.tools.values()), *handoffs],
                pending=[*self.journal.unsaved, *pending],
                tail=tail,
            )
        except OverBudget:
            self._view.window = before
            raise

    def request(self, context: RequestContext, further: Mapping[str, Any]) -> ModelRequest:
        """Return the request that sends ``context``; ``further`` goes before the parameters that are set."""
        parameters = {**self.settings.parameters, **self.agent.parameters, **further}
        before = Hashed() if self.last_request is None else self.last_request.conversation
        self.last_request = ModelRequest(
            self.model.name, context.messages, tuple(context.tools), parameters, context.system, before
        )
        return self.last_request

    def forget_before(self, context: RequestContext) -> None:
        """Let go of what ``context``, whose cut is stored, and all later ones leave out."""
        self._view.forget(context)

    def count(self, message: Mapping[str, Any], *, parallel: bool = False) -> dict[str, Any]:
        """Return the ``tokens`` field of the record of ``message``."""
        counter = self.counter
        return {"count": counter.message(message, parallel=parallel), "encoding": counter.encoding}

    async def commit(self, records: Sequence[Record], changes: ChangeSet | None = None, *, keep: bool = False) -> None:
        """Store ``records`` and ``changes`` in one commit; see ``Journal.commit``."""
        try:
            appended = await self.journal.commit(records, changes, keep=keep, model=self.model.name)
        except BackendError:
            self._view.rebuild()
            raise
        self._view.take(appended)
        await self._announce()

    async def commit_and_switch(self, records: Sequence[Record], changes: ChangeSet, navigation: Navigation) -> None:
        """Store ``records`` and ``changes``, ``navigation`` among them, and let its active agent go on."""
        await self.commit(records, changes)
        self.switch(navigation)
        await self._announce()

    def switch(self, navigation: Navigation) -> None:
        """Let the active agent of ``navigation`` go on; storing it is up to the caller."""
        if navigation.active != self.navigation.active:
            self._view = View(self.journal.log, navigation.active)
            self._view.rebuild()
        self.navigation = navigation

    async def _announce(self) -> None:
        """Say that the client is online with the active agent. A chat does not end because that fails."""
        if self.agent.name == self._announced:
            return
        with suppress(BackendError):
            info = self.info
            await self._alive.announce(info.client, info.id, self.agent.name, self._since, replace=True)
            self._announced = self.agent.name

    def tool_context(self, call_id: str = "", changes: ChangeSet | None = None) -> Context:
        """Return what a tool, a prompt or a condition is given; changes are collected in ``changes``."""
        reach = self.primitives.staging(ChangeSet() if changes is None else changes)
        loop = asyncio.get_running_loop()
        return Context(self.info.client, self.info.id, self.agent.name, reach, call_id, loop=loop)

    async def toolset(self) -> Toolset:
        """Return what the active agent may call now."""
        ctx = self.tool_context()
        tools = [tool for tool in self.agent.own_tools if await tool.is_available(ctx)]
        return Toolset(tools, handoff_names(self.agent, self.navigation))

    async def approves(self, tool: "Tool", call: ToolCall) -> bool | str:
        """Whether ``tool`` may be called: by the settings, by its own, or because the user says so: see Approver."""
        rule = self.settings.rule_for(tool.name, tool.approve)
        if rule == "ask":
            return False if self.approver is None else await self.approver(tool, call)
        return rule == "auto"

    def cut_warning(self, usage: Mapping[str, Any] | None, sent: int) -> str | None:
        """Return, once, that the server seems to have read less than the ``sent`` tokens that it was sent."""
        warning = None if self._cut_warned else cut_warning((usage or {}).get("prompt_tokens"), sent)
        self._cut_warned = self._cut_warned or warning is not None
        return warning

    async def _restore(self) -> None:
        """Take the agent and the way back from the store; an agent that there is no more is replaced."""
        # With a handoff that is still to be stored.
        reach = self.primitives.staging(self.journal.unsaved_changes)
        stored = await reach.navigation.get(self.swarm.default)
        healed = stored.healed(self.swarm.names, self.swarm.default)
        self.switch(healed)
        self._view.rebuild()
        if healed.active != stored.active:
            self.healed_from = stored.active
            await self.primitives.navigation.set(healed)
