"""The session that a program opens: it runs turns and other operations on a conversation, one at a time."""

import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar, overload

from swarmchat.backends import Backend, open_backend
from swarmchat.swarm.agents.agent import DEFAULT_SWARM, Agent, Swarm, as_swarm
from swarmchat.swarm.common.encoding import clean_text
from swarmchat.swarm.common.mistakes import explained_method
from swarmchat.swarm.common.names import name_of
from swarmchat.swarm.conversation.conversation import Conversation
from swarmchat.swarm.conversation.hooks import Hooks
from swarmchat.swarm.conversation.program import Approver, Program
from swarmchat.swarm.conversation.requests import prepare
from swarmchat.swarm.conversation.settings import SessionSettings
from swarmchat.swarm.conversation.tracing import Tracing
from swarmchat.swarm.conversation.turn_lock import exclusive
from swarmchat.swarm.models.base import Model
from swarmchat.swarm.persistence.records import Record
from swarmchat.swarm.persistence.session_index import SessionInfo
from swarmchat.swarm.primitives.navigation import Navigation
from swarmchat.swarm.session import changes
from swarmchat.swarm.session.opening import (
    BackgroundLoop,
    SessionOpening,
    check_arguments,
    find_or_make,
    make_model,
    run_in,
)
from swarmchat.swarm.session.pinning import Pins, pin, unpin
from swarmchat.swarm.session.running_tasks import BackgroundTasks
from swarmchat.swarm.session.undo import UndoResult, redo, undo
from swarmchat.swarm.tools.asking import Answerer

if TYPE_CHECKING:
    from swarmchat.swarm.context.builder import RequestContext
    from swarmchat.swarm.conversation.events import Event
    from swarmchat.swarm.session.compaction import Compacted
    from swarmchat.swarm.session.hand_call import HandCall
    from swarmchat.swarm.session.reply import Reply
    from swarmchat.swarm.tools.tool import Tool
    from swarmchat.swarm.turn.question import Asked

_T = TypeVar("_T")


class Session:
    """A stored conversation. Created by ``Session.open``; ``close`` it, or use it with ``async with``.

    Operations wait for each other: one turn runs at a time, and nothing else happens during a turn.
    """

    def __init__(self, conversation: Conversation, owned: Sequence[Backend | Model] = ()) -> None:
        self._owned = owned
        self.lock = conversation.lock
        """Held during a turn or another operation."""
        self.background: BackgroundLoop | None = None
        """The event loop of a session that was opened with ``with``."""
        self.conversation = conversation
        """The conversation, which turns and other operations work on."""
        self.backend = conversation.backend
        """Where the session is stored."""
        self.swarm, self.primitives = conversation.swarm, conversation.primitives
        """States, memory, storages and bans of the session's client."""
        self.tasks = BackgroundTasks(conversation, self.lock)
        """Tasks in the background: ``tasks.start(AGENT, TASK)``."""
        self.steering = conversation.steering
        """Messages of the user to the running turn: ``steering.add(text)``."""

    @classmethod
    @explained_method("Session.open")
    def open(
        cls,
        backend: Backend | str,
        model: Model | str,
        swarm: Swarm | Agent = DEFAULT_SWARM,
        *,
        client: str = "user",
        name: str | None = None,
        settings: SessionSettings | None = None,
        models: Callable[[str], Model] | None = None,
        approver: Approver | None = None,
        answerer: Answerer | None = None,
        hooks: Sequence[Hooks] = (),
        tracing: Tracing | None = None,
        deps: object = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        rng: random.Random | None = None,
    ) -> SessionOpening["Session"]:
        """Open the session ``name`` of ``client``, or a new one; without a name, a new one with a random name.

        Await the result, or use it with ``async with``; in a program without an event loop, with ``with``.

        ``backend`` may be a URL (``disk:FOLDER``, ``redis://HOST``, ``memory:``), and ``model`` a name, for the server
        and with the key of the openai package's variables; what is opened for them is closed with the session.
        ``swarm`` may be a single agent. ``models`` makes the model for an agent that names one; without it, ``model``
        answers for all agents. ``approver`` is asked about tools that need approval; without one, they are denied.
        ``answerer`` passes a tool's questions to the user; without one, ``ctx.ask_user`` fails. ``hooks`` see, change
        or reject events of a turn, and ``tracing`` creates OpenTelemetry spans. ``deps`` is passed to tools, prompts
        and conditions as ``ctx.deps``; it is not stored. A new session is stored with its first turn. Raises
        SessionBusy if it is open, BadRecord when a newer program wrote it, and the backend's errors.
        """
        check_arguments(backend=backend, model=model, client=client, name=name, settings=settings, models=models)
        check_arguments(approver=approver, answerer=answerer, hooks=hooks, tracing=tracing)
        agents = as_swarm(swarm)

        program = Program(approver, answerer, hooks, tracing, deps)
        options = settings or SessionSettings()

        async def opened() -> "Session":
            store: Backend = open_backend(backend) if isinstance(backend, str) else backend
            owned: list[Backend | Model] = [store] if isinstance(backend, str) else []
            try:
                answering = model if not isinstance(model, str) else make_model(model, agents, owned)
                info = await find_or_make(store, client, name, agents, settings, clock, rng)
                conversation = Conversation(store, info, agents, options, answering, models, clock, program)
                await conversation.open()
            except BaseException:
                for each in owned:
                    await each.close()
                raise
            session = cls(conversation, owned)
            await session.tasks.open()
            return session

        return SessionOpening(opened)

    async def __aenter__(self) -> "Session":
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Stop tasks, store unsaved records, if the backend is available now, and let other processes open it."""
        try:
            await self.tasks.close()
            await self.conversation.close()
        finally:
            self.lock.is_closed = True
            for each in self._owned:
                await each.close()

    @overload
    async def ask(self, message: "Asked", output: type[_T]) -> "Reply[_T]": ...

    @overload
    async def ask(self, message: "Asked", output: object = None) -> "Reply[Any]": ...

    async def ask(self, message: "Asked", output: Any = None) -> "Reply[Any]":
        """Run a turn with ``message`` and return its result; see ``run_turn``.

        With ``output``, also raises OutputError if a policy answered.
        """
        from swarmchat.swarm.session.reply import make_reply

        events = [event async for event in self.run_turn(message, output=output)]
        records = [record for record in self.records if record.turn == self.info.highest_turn]
        return make_reply(events, self.agent.name, records, typed=output is not None)

    @overload
    def ask_sync(self, message: "Asked", output: type[_T]) -> "Reply[_T]": ...

    @overload
    def ask_sync(self, message: "Asked", output: object = None) -> "Reply[Any]": ...

    def ask_sync(self, message: "Asked", output: Any = None) -> "Reply[Any]":
        """Do as ``ask`` does, in a session that was opened with ``with``; see ``run_sync``."""
        return self.run_sync(self.ask(message, output))

    def run_sync(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run ``work`` in the session's event loop: ``session.run_sync(session.undo())``.

        Raises DefinitionError unless the session was opened with ``with``.
        """
        return run_in(self.background, work)

    @property
    def info(self) -> SessionInfo:
        """The session's entry in the list."""
        return self.conversation.info

    @property
    def settings(self) -> SessionSettings:
        """The current settings; see ``change_settings``."""
        return self.conversation.settings

    @property
    def model(self) -> Model:
        """The model of the active agent. Set it to change the model of all agents that name none."""
        return self.conversation.model

    @model.setter
    def model(self, model: Model) -> None:
        self.conversation.model = model

    @property
    def approver(self) -> Approver | None:
        """The function that asks the user about tools that need approval; without one, they are denied."""
        return self.conversation.approver

    @approver.setter
    def approver(self, approver: Approver | None) -> None:
        self.conversation.approver = approver

    @property
    def agent(self) -> Agent:
        """The active agent."""
        return self.conversation.agent

    @property
    def navigation(self) -> Navigation:
        """The active agent and the way back."""
        return self.conversation.navigation

    @property
    def turns(self) -> int:
        """The number of visible turns, without resets and undone ones."""
        return self.info.turns

    @property
    def last_turn(self) -> int:
        """The number of the last turn that is not undone; 0 if there is none."""
        return self.conversation.journal.last_turn

    @property
    def is_new(self) -> bool:
        """Whether nothing is stored yet."""
        return self.conversation.journal.is_new

    @property
    def records(self) -> Sequence[Record]:
        """The records in memory: the end of the log, as far back as the next context may need it."""
        return self.conversation.journal.log.records

    @property
    def unsaved(self) -> Sequence[Record]:
        """Records that the backend could not store yet; the next commit includes them."""
        return self.conversation.journal.unsaved

    @property
    def damaged(self) -> Mapping[int, str]:
        """The unreadable lines of the log: the problem of each, by position."""
        return self.conversation.journal.log.damaged

    @property
    def fill(self) -> tuple[int, int]:
        """The tokens of the last request as counted here, and the tokens that a request may have."""
        return self.conversation.view.last_tokens, self.conversation.budget.available

    async def context(self) -> "RequestContext":
        """Return the context that the next request would send. Changes nothing. Raises OverBudget."""
        await self.conversation.ready()  # The window is the server's.
        return await prepare(self.conversation)

    async def run_turn(self, message: "Asked", *, output: Any = None) -> AsyncGenerator["Event", None]:
        """Send ``message`` and yield the events of the turn, until the answer is complete and stored.

        ``message`` is a text, a list of content parts of the chat API, or a list of chat messages of which the last is
        the user's; the others, and messages waiting in the mailbox, go into the conversation before it. ``output`` is
        the type of the answer: one that pydantic supports, or a JSON schema; ``None``: the agent's type. Cancelling the
        task, or closing the generator, stops the model and the tools at once; the partial answer is stored. Raises
        OutputError if no answer of that type comes, OverBudget, the kinds of LimitReached and of ModelError,
        SessionBusy when another process took the session over meanwhile, and the backend's errors. The user's message
        is stored in any case, unless it is the backend that failed.
        """
        # The parsers of answers are not needed before the first one.
        from swarmchat.swarm.session.turns import start_turn
        from swarmchat.swarm.turn.mail import take_mail

        turn = start_turn(self.conversation, message, output)
        async with self.lock, aclosing(turn) as events:
            await changes.record_settings(self.conversation)
            for received in await take_mail(self.conversation, one_wake=False):
                yield received
            with self.conversation.trace.turn(self.agent.name, self.info):
                async for event in events:
                    yield event

    async def tell(self, text: str, *, agent: Agent | str | None = None, sender: str = "", wake: bool = False) -> None:
        """Put a message into the mailbox of this session, as any process can with ``tell``, during a turn too.

        A new session is stored first. Raises MailError, DefinitionError for an unknown agent, the backend's errors.
        """
        from swarmchat.swarm.persistence.mailbox import tell

        name = None if agent is None else self.swarm.agent(name_of(agent)).name
        if self.is_new:
            async with self.lock:
                await changes.begin(self.conversation)
        ttl = self.settings.lifetimes.session
        await tell(self.backend, self.info.client, self.info.id, text, agent=name, sender=sender, wake=wake, ttl=ttl)

    async def receive(self) -> AsyncGenerator["Event", None]:
        """Take the messages waiting in the mailbox into the conversation, and yield a MailReceived for each.

        If a message wakes its agent, that agent takes over, and the events of its turn follow. Raises as ``run_turn``
        does.
        """
        from swarmchat.swarm.session.receive import receive

        async with self.lock, aclosing(receive(self.conversation)) as events:
            await changes.record_settings(self.conversation)
            async for event in events:
                yield event

    async def wait_for_mail(self, timeout: float = 3600) -> bool:
        """Wait, at most ``timeout`` seconds, until ``receive`` has something to do; return whether it has."""
        from swarmchat.swarm.session.waiting import wait_for_mail

        return await wait_for_mail(self.conversation, timeout)

    @exclusive
    async def flush(self) -> None:
        """Store unsaved records, and those that the store has lost. Raises LogLost and the backend's errors."""
        await self.conversation.flush()

    async def call_tool(self, tool: "Tool", arguments: Mapping[str, object], *, agent: str) -> "HandCall":
        """Call ``tool`` by hand as ``agent``, and store its changes. ``arguments`` must have been checked.

        The call needs no approval, and a handoff is returned but not made: both are up to the caller. Raises
        ToolFailure and the backend's errors, and changes nothing then.
        """
        from swarmchat.swarm.session.hand_call import call_by_hand

        async with self.lock:
            return await call_by_hand(self.conversation, tool, arguments, agent)

    @exclusive
    async def go_to(self, agent: Agent | str) -> Navigation:
        """Make ``agent`` the active one, as the user wishes; store it. Raises DefinitionError for an unknown agent."""
        return await changes.navigate(
            self.conversation, changes.navigation_to(self.conversation, self.swarm.agent(name_of(agent)).name)
        )

    @exclusive
    async def go_back(self) -> Navigation:
        """Go back to the previous agent, if there is one; store it."""
        return await changes.navigate(self.conversation, self.navigation.back())

    @exclusive
    async def reset(self) -> None:
        """Stop sending the conversation so far; this counts as a turn. The log, states, memory and agent stay."""
        await changes.reset(self.conversation)

    @exclusive
    async def rename(self, name: str) -> None:
        """Give the session another name. The caller makes sure that it is free."""
        await changes.rename(self.conversation, clean_text(name))

    @exclusive
    async def change_settings(self, settings: SessionSettings) -> None:
        """Use ``settings`` until the session is closed. Raises DefinitionError for unknown rescue steps."""
        await changes.change_settings(self.conversation, settings)

    @exclusive
    async def change_memory(self, change: Callable[[Any], Awaitable[object]]) -> None:
        """Call ``change`` with the client's PersistMemory, and record the changes. Raises ClientBanned."""
        await changes.change_memory(self.conversation, change)

    @exclusive
    async def undo(self, turns: int = 1) -> UndoResult:
        """Hide the last ``turns`` turns, or all if fewer, and restore the agent, stack and states before them.

        Nothing is removed from the log. Memory, storages and bans stay as they are. Raises the backend's errors.
        """
        return await undo(self.conversation, turns)

    @exclusive
    async def redo(self, turns: int = 1) -> UndoResult:
        """Show ``turns`` of the undone turns again. Works only until another action follows the undo."""
        return await redo(self.conversation, turns)

    async def compact(self, focus: str = "") -> "Compacted":
        """Let the model summarize what the active agent sees, except the newest turns, and send the summary instead.

        The log stays complete. ``focus`` tells the model what matters most. Raises NothingToCompact, CompactFailed, the
        kinds of ModelError and the backend's errors, and changes nothing then.
        """
        from swarmchat.swarm.session.compaction import compact

        async with self.lock:
            await changes.record_settings(self.conversation)
            return await compact(self.conversation, clean_text(focus))

    @exclusive
    async def pin(self, turn: int) -> Pins:
        """Always send ``turn``, even when others are dropped to fit the window. Raises PinError."""
        return await pin(self.conversation, turn)

    @exclusive
    async def unpin(self, turn: int) -> Pins:
        """Treat ``turn`` like any other again. Raises PinError if it is not pinned."""
        return await unpin(self.conversation, turn)
