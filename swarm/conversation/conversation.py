"""An open conversation: log, active agent, model and primitives, which turns and undo work on.

It builds requests from the log and commits new records. It knows neither turns nor undo: those are functions that take
a conversation as an argument.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any

from swarmchat.backends import Backend, BackendError
from swarmchat.swarm.agents.agent import Swarm
from swarmchat.swarm.agents.handoffs import handoff_names
from swarmchat.swarm.agents.rescue_steps import PLACEHOLDER, check_steps
from swarmchat.swarm.common.cancellation import run_to_completion
from swarmchat.swarm.common.draws import Draws
from swarmchat.swarm.context.retained import Retained
from swarmchat.swarm.context.tokens import TokenCounter
from swarmchat.swarm.context.view import CutWarning, View
from swarmchat.swarm.conversation.external_tools import external_tools
from swarmchat.swarm.conversation.hooks import HookChain
from swarmchat.swarm.conversation.message_blobs import MessageBlobs
from swarmchat.swarm.conversation.models import Models
from swarmchat.swarm.conversation.primitives import Primitives
from swarmchat.swarm.conversation.program import Program
from swarmchat.swarm.conversation.queue import OperatorTicket
from swarmchat.swarm.conversation.settings import SessionSettings
from swarmchat.swarm.conversation.steering import Steering
from swarmchat.swarm.conversation.stored_state import restore_states, session_fields, stored_navigation
from swarmchat.swarm.conversation.task_branch import Branch, Steps, TaskOrder
from swarmchat.swarm.conversation.tracing import Trace
from swarmchat.swarm.conversation.turn_lock import TurnLock
from swarmchat.swarm.errors import LogLost, SessionBusy
from swarmchat.swarm.models.base import Model, ModelRequest
from swarmchat.swarm.persistence.blobs import Blobs
from swarmchat.swarm.persistence.journal import Batch, Journal
from swarmchat.swarm.persistence.records import Record, timestamp
from swarmchat.swarm.persistence.session_index import SessionInfo
from swarmchat.swarm.persistence.store import ChangeSet
from swarmchat.swarm.primitives.navigation import Navigation
from swarmchat.swarm.primitives.presence import PersistAlive, ShownPresence
from swarmchat.swarm.tools.asking import ModelAsker, UserAsker, ask_model, ask_user
from swarmchat.swarm.tools.context import Context, Outcome
from swarmchat.swarm.tools.toolset import Toolset

if TYPE_CHECKING:
    from swarmchat.swarm.context.builder import Budget
    from swarmchat.swarm.tools.external_tool import ExternalTool
    from swarmchat.swarm.tools.tool import Tool

ToolRunner = Callable[["Tool", Context, dict[str, object], Outcome], Awaitable[str]]


class Conversation:
    """The conversation of one client with a swarm, under a lease. To be opened with ``open``, then closed."""

    def __init__(
        self,
        backend: Backend,
        info: SessionInfo,
        swarm: Swarm,
        settings: SessionSettings,
        model: Model,
        models: Callable[[str], Model] | None,
        clock: Callable[[], datetime],
        program: Program,
    ) -> None:
        self.journal = Journal(backend, info, settings.lifetimes, settings.lease, clock)
        self.backend = backend
        self.swarm = swarm
        self.change_settings(settings)
        self.approver = program.approver
        self.deps = program.deps
        """What tools, prompts and conditions get as ``ctx.deps``."""
        self.run_tool: ToolRunner = lambda tool, ctx, arguments, outcome: tool.run(ctx, arguments)
        """Runs a tool call and returns its result; a replay repeats the recorded one instead."""
        self.hooks = HookChain(program.hooks)
        self.trace = Trace(program.tracing)
        self.answerer = program.answerer
        """Asks the user what a tool wants to know; ``None``: nobody can be asked."""
        self.ask_model: ModelAsker = ask_model
        """Asks a model for a tool; a replay repeats the recorded answer instead."""
        self.ask_user: UserAsker = lambda question, outcome: ask_user(self.answerer, question)
        """Asks the user for a tool; a replay repeats the recorded answer instead."""
        self.lock = TurnLock()
        """Held by the turn, and by each other operation of the session."""
        self.user_is_free = asyncio.Lock()
        """Held while a tool asks the user: one question at a time."""
        self._notices: list[str] = []
        self.primitives = Primitives(swarm, backend, settings.lifetimes, info.client, info.id, self._notices.append)
        blobs = Blobs(backend, info.client, info.id, settings.lifetimes.session)
        self.blobs = MessageBlobs(self.journal, blobs, self._notices.append)
        """The data of the images in messages."""
        self.navigation = Navigation(swarm.initial)
        self.agent = swarm.agent(swarm.initial)
        """The active agent."""
        self.view = View(self.journal.log, swarm.initial, settings.token_tables)
        """The part of the log that the active agent sees."""
        self.last_request: ModelRequest | None = None
        """The last request that this process made."""
        self.last_tool_error: Exception | None = None
        """The error of the last tool that failed in this process, with its traceback, for the tool's author."""
        self._models = Models(model, models)
        alive, opened = PersistAlive(backend, swarm.name, settings.lifetimes.alive), timestamp(self.journal.now())
        self._presence = ShownPresence(alive, info.client, info.id, opened)
        self.queue = OperatorTicket(backend, swarm, info.client, info.id, settings.lifetimes.session)
        self.closed: Mapping[str, str] = {}  # operators that are closed as of the next request, with a sentence each
        self._memory: Mapping[str, Any] = {}
        self.steering = Steering()
        self.mail_seen = 0
        """The number of the first record that may hold a message from outside that no event has told of yet."""
        self.cut_warning = CutWarning()
        self.no_summaries: set[str] = set()
        """The models that gave no summary when one was needed: they are not asked again."""
        self.task: Branch | None = None
        """The task that the conversation is about, if it is one of an agent that is used as a tool."""
        self.follow(TaskOrder())
        self.draws = self.new_draws()
        """The times and ids of prompts and conditions for the request that is prepared."""
        self.records_settings = True  # False in a replay, which changes settings where its log does.
        self.measures_overhead = True
        """Whether requests record the tokens that the server adds for tools, and later ones are corrected by them."""

    async def open(self) -> None:
        """Take the lease and read the end of the log. Raises the errors of ``Session.open``."""
        await self.journal.open()
        try:
            self.journal.keys_to_renew = await self.primitives.begin_as(self.journal.log.head)
            await self.blobs.open(expires=self.settings.lifetimes.session is not None)
            self._notices += [f"record {at} is damaged: {why}" for at, why in self.journal.log.damaged.items()]
            await self._restore_agent()
            self.mail_seen = self.journal.log.next_seq
            if self.info.states:
                self._notices += await restore_states(self.backend, self.info, self.settings.lifetimes.session)
            await self.queue.open(self.agent, self.navigation)
            await self._presence.show(self.agent.name)
        except BaseException:
            await self.journal.close()
            raise
        if self.swarm.mcp_servers is not None:
            self.swarm.mcp_servers.acquire()

    def change_settings(self, settings: SessionSettings) -> None:
        """Use ``settings`` from now on. Raises DefinitionError for unknown rescue steps."""
        self.rescue_steps = check_steps(self.swarm.rescue if settings.rescue is None else settings.rescue)
        self.settings, self.journal.resume_with = settings, settings.resume_with

    async def close(self) -> None:
        """Store what is unsaved or lost, if the backend is available now, and release the lease. Raises LogLost."""
        try:
            await self._presence.leave()
            loss = None
            with suppress(BackendError):
                loss = await self.journal.find_loss()
            if loss is not None:
                await run_to_completion(self._restore_log(loss, ()))
            await self._models.close()
            if self.swarm.mcp_servers is not None:
                await self.swarm.mcp_servers.release()
        finally:
            await self.journal.close()

    @property
    def info(self) -> SessionInfo:
        """The session's entry in the list."""
        return self.journal.info

    @property
    def model(self) -> Model:
        """The model of the active agent."""
        return self.model_named(None)

    @model.setter
    def model(self, model: Model) -> None:
        self._models.default = model

    def model_named(self, name: str | None) -> Model:
        """Return the model ``name``; ``None`` for that of the active agent."""
        return self._models.named(name or self.agent.model)

    @property
    def has_one_model(self) -> bool:
        """Whether one model answers for all agents, also for those that name another one."""
        return self._models.is_one

    @property
    def placeholder(self) -> str:
        """The answer when no rescue step helped."""
        return self.settings.placeholder or self.swarm.placeholder or PLACEHOLDER

    @property
    def budget(self) -> "Budget":
        """The tokens that the next context may have."""
        window = self.settings.context_window or self.model.context_window
        window = min(window, self.view.window or window)
        return self.settings.budget(window, self.view.correction, self.view.overhead)

    @property
    def counter(self) -> TokenCounter:
        """The token counter of the model. Loading it takes some 0.3 s, once."""
        return self.view.counter(self.model.name)

    @property
    def retained(self) -> Retained:
        """The parts of the log that are always sent: pinned turns and summaries."""
        return self.view.retained

    @property
    def first_kept(self) -> int:
        """The number of the first record that is still sent; 0 if nothing is dropped."""
        return self.view.first_kept(self.budget)

    @property
    def recorded_settings(self) -> dict[str, Any]:
        """The settings that a replay needs, in the form they have in a record."""
        return self.settings.for_record(one_model=self.has_one_model and any(each.model for each in self.swarm.agents))

    async def ready(self) -> None:
        """Load the counter, and find out whether a failed commit was applied. Raises the backend's errors."""
        await self.view.load_counter(self.model.name)
        self._notices += await self._models.discover(self.model, self.swarm)
        if self.journal.in_doubt:
            self.view.take(await self.journal.settle_doubt())
            await self._restore_agent()
            # Not earlier: a cancellation before this point means that all of it must be repeated.
            self.journal.in_doubt = False
        if self.journal.is_new:
            self._memory = await self.primitives.memory.all()

    async def flush(self) -> None:
        """Make ready, and store what earlier commits could not, or the store has lost.

        Raises LogLost if some is gone for good, and the backend's errors.
        """
        await self.ready()
        if (lost := await self.journal.find_loss()) is not None:
            await run_to_completion(self._restore_log(lost, ()))
        await self.store_unsaved()

    async def store_unsaved(self) -> None:
        """Make ready, and store what earlier commits could not. Raises the backend's errors."""
        await self.ready()
        if self.journal.unsaved:
            await self.commit()

    def batch(self) -> Batch:
        """Return an empty batch of records; in a new session, it begins with the session record."""
        batch = Batch(self.journal)
        if self.journal.is_new:
            about = (self.info, self.swarm, self.model.name, self.recorded_settings, self._memory)
            batch.add("session", turn=0, **session_fields(*about))
        return batch

    async def ready_to_act(self) -> None:
        """As ``ready``, for what changes the conversation. Raises ClientBanned for a client that is banned."""
        await self.ready()
        await self.primitives.refuse_banned()

    async def toolset(self) -> Toolset:
        """Return the tools and handoffs that the active agent may call now."""
        self.draws = self.new_draws()
        ctx = self.tool_context()
        too_deep = (0 if self.task is None else self.task.depth) >= self.settings.task_depth
        own_tools = (tool for tool in self.agent.own_tools if not (too_deep and tool.gives_task))
        offered = [*own_tools, *await self.external_tools()]
        tools = [tool for tool in offered if await tool.is_available(ctx)]
        self.closed = self.queue.closed(self.agent, self.draws)
        return Toolset(tools, handoff_names(self.agent, self.navigation))

    async def external_tools(self) -> Sequence["ExternalTool"]:
        """Return the tools of MCP servers that the active agent has now. Servers that cannot be reached are noted."""
        return await external_tools(self.swarm, self.agent, self._notices)

    def tool_context(self, call_id: str = "", changes: ChangeSet | None = None) -> Context:
        """Return the context of a tool, a prompt or a condition, which stages its changes in ``changes``."""
        primitives = self.primitives.staging(ChangeSet() if changes is None else changes)
        draws = self.new_draws() if call_id else self.draws
        client, session = self.info.client, self.info.id
        ctx = Context[Any](client, session, self.agent.name, primitives, call_id, deps=self.deps, draws=draws)
        ctx.loop, ctx.task = asyncio.get_running_loop(), "" if self.task is None else self.task.id
        return ctx

    def new_draws(self) -> Draws:
        """Return the source of times and ids of a call, or of the prompts of a request."""
        return Draws(self.journal.now)

    def count(self, message: Mapping[str, Any], *, parallel: bool = False) -> dict[str, Any]:
        """Return the ``tokens`` field of the record of ``message``."""
        counter = self.counter
        return {"count": counter.message(message, parallel=parallel), "encoding": counter.encoding}

    def follow(self, order: TaskOrder) -> None:
        """Take steps in ``order``, which is that of all tasks that run side by side."""
        self.order, self._steps = order, Steps(order)

    def task_seconds(self, seconds: float | None) -> float | None:
        """Return how long a task may take whose tool says ``seconds``; a replay gives it all the time."""
        return seconds or self.settings.task_seconds

    async def run_branch(self, child: "Conversation", work: Coroutine[Any, Any, str]) -> str:
        """Return the result of ``work`` on a task, of which ``child`` is the conversation; a replay stops it."""
        return await work

    def step(self, *, storing: bool = False) -> AbstractAsyncContextManager[None]:
        """Let no task store anything while a request is made and stored, or while ``storing``; see ``Steps.step``."""
        return (self._steps if self.task is None else self.task.steps).step(storing=storing)

    async def commit(self, batch: Batch | None = None, changes: ChangeSet | None = None, *, keep: bool = False) -> None:
        """Store ``batch`` and ``changes`` in one commit, as a step; see ``Journal.commit``."""
        if self.task is not None:
            changes = await self.blobs.staged(changes)
            self.view.take(await self.task.commit(batch, changes, keep=keep))
            return
        async with self.step(storing=True):
            await self.commit_in_step(batch, changes, keep=keep)

    async def commit_in_step(
        self, batch: Batch | None, changes: ChangeSet | None = None, *, keep: bool = False
    ) -> None:
        """Store ``batch`` and ``changes``, in a step of this conversation or of one of its tasks."""
        changes = await self.blobs.staged(changes)
        try:
            with self.trace.commit(0 if batch is None else len(batch.records)):
                appended = await self._commit(batch, changes, keep)
        except (BackendError, LogLost, SessionBusy):
            self.view.rebuild()
            raise
        self.blobs.stored()
        self.view.take(appended)
        await self._show()

    async def _show(self) -> None:
        """Let others know of the active agent."""
        await self._presence.show(self.agent.name)
        await self.queue.tell(self.agent)

    async def _commit(self, batch: Batch | None, changes: ChangeSet | None, keep: bool) -> list[Record]:
        model = self._models.default.name
        try:
            return await self.journal.commit(batch, changes, keep=keep, model=model)
        except LogLost as lost:
            self.blobs.lost()
            await run_to_completion(self._restore_log(lost, batch.records if batch is not None and keep else ()))
            return await self.journal.commit(batch, await self.blobs.staged(changes), keep=keep, model=model)

    async def _restore_log(self, lost: LogLost, pending: Sequence[Record]) -> None:
        """Store lost records again. Raises LogLost if some are gone for good; nothing else is committed then."""
        # Rarely needed, and it imports the archive package.
        from swarmchat.swarm.conversation.restore import restore

        try:
            lifetimes = self.settings.lifetimes
            notice = await restore(self.journal, self.primitives, lifetimes, self.navigation, lost, pending)
        finally:
            self.last_request = None
            self.view.rebuild()
        self._notices.append(notice)

    def take_notices(self) -> list[str]:
        """Return the messages for the user, each only once."""
        notices, self._notices[:] = [*self._notices], []
        return notices

    async def commit_and_switch(self, batch: Batch, changes: ChangeSet, navigation: Navigation) -> None:
        """Store ``batch``, ``changes`` and ``navigation``, and switch to its active agent."""
        await self.stage_navigation(changes, navigation)
        await self.commit(batch, changes)
        self.switch(navigation)
        await self._show()

    async def stage_navigation(self, changes: ChangeSet, navigation: Navigation, arguments: str = "{}") -> None:
        """Add ``navigation`` to ``changes``; ``arguments`` are those of the call that hands over, as JSON."""
        await self.primitives.staging(changes).navigation.set(navigation)
        self.queue.stage(changes, self.agent, navigation, arguments)

    def switch(self, navigation: Navigation) -> None:
        """Make the active agent of ``navigation`` the active one; the caller stores it."""
        if navigation.active != self.navigation.active:
            self.view = View(self.journal.log, navigation.active, self.settings.token_tables)
            self.view.rebuild()
            self.agent = self.swarm.agent(navigation.active)
        self.navigation = navigation

    async def _restore_agent(self) -> None:
        """Read the navigation from the store; replace an agent that the swarm does not have by the default one."""
        # A handoff may be among the unsaved changes.
        navigation = self.primitives.staging(self.journal.unsaved_changes).navigation
        where = (self.journal.log.records, self.backend, self.info)
        stored, notices = await stored_navigation(navigation, self.swarm, *where)
        self._notices += notices
        healed = stored.healed(self.swarm.names, self.swarm.initial)
        self.switch(healed)
        self.view.rebuild()
        if notices or healed.active != stored.active:
            await self.primitives.navigation.set(healed)
        if healed.active != stored.active:
            problem = f"agent {stored.active!r:.60} is no longer in the swarm"
            self._notices.append(f"{problem}; active agent: {healed.active}")
