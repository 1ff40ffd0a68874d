"""A session: what a program does with a conversation, one operation at a time."""

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from swarmchat.backends import Backend
from swarmchat.swarm.agents.agent import DEFAULT_SWARM, Agent, Swarm
from swarmchat.swarm.common.cancellation import run_to_completion
from swarmchat.swarm.common.encoding import clean_text
from swarmchat.swarm.context.builder import RequestContext
from swarmchat.swarm.conversation.conversation import Approver, Conversation
from swarmchat.swarm.conversation.primitives import Primitives
from swarmchat.swarm.conversation.settings import SessionSettings
from swarmchat.swarm.models.base import Model
from swarmchat.swarm.persistence.records import Record
from swarmchat.swarm.persistence.session_index import SessionInfo
from swarmchat.swarm.primitives.navigation import Navigation
from swarmchat.swarm.session import operations

if TYPE_CHECKING:
    from swarmchat.swarm.conversation.events import Event
    from swarmchat.swarm.session.compaction import Compacted
    from swarmchat.swarm.session.operations import HandCall
    from swarmchat.swarm.session.pinning import Pins
    from swarmchat.swarm.session.undo import UndoResult
    from swarmchat.swarm.tools.tool import Tool


class Session:
    """A conversation that survives. Made by ``Session.open``; ``close`` it, or use it with ``async with``.

    Operations wait for each other: one turn runs at a time, and what is done between turns is done between turns.
    """

    def __init__(self, conversation: Conversation) -> None:
        self.conversation = conversation
        """What a turn works on."""
        self._lock = asyncio.Lock()

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

        ``swarm`` may be a single agent. ``models`` makes the model for an agent that names one; without it, ``model``
        answers for all agents. ``approver`` is asked about tools that need approval; without one, they are denied. A
        new session is stored with its first turn. Raises SessionBusy when another process has it open, BadRecord when
        it was written by a newer program, and the backend's errors.
        """
        conversation = await Conversation.open(
            backend,
            model,
            client=client,
            name=name,
            swarm=swarm,
            settings=settings,
            models=models,
            approver=approver,
            clock=clock,
            rng=rng,
        )
        return cls(conversation)

    async def __aenter__(self) -> "Session":
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Store what is still unsaved, if the backend takes it now, and let other processes open the session."""
        await self.conversation.close()

    @property
    def info(self) -> SessionInfo:
        """The session's entry in the list."""
        return self.conversation.info

    @property
    def backend(self) -> Backend:
        """Where the session is stored."""
        return self.conversation.backend

    @property
    def swarm(self) -> Swarm:
        """The agents, with their states, storages and policies."""
        return self.conversation.swarm

    @property
    def settings(self) -> SessionSettings:
        """The settings now; see ``change_settings``."""
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
        """Asks the user about tools that need approval; without one, they are denied."""
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
    def primitives(self) -> Primitives:
        """States, memory, storages and bans of the session's client."""
        return self.conversation.primitives

    @property
    def replaced_agent(self) -> str | None:
        """The stored active agent, if the swarm does not have it and the default agent took over."""
        return self.conversation.replaced_agent

    @property
    def turns(self) -> int:
        """The number of turns, undone ones included."""
        return self.conversation.journal.turns

    @property
    def last_turn(self) -> int:
        """The number of the last turn that is not undone; 0 if there is none."""
        return self.conversation.journal.last_turn

    @property
    def is_new(self) -> bool:
        """Whether nothing was said or stored yet."""
        return self.conversation.journal.is_new

    @property
    def records(self) -> Sequence[Record]:
        """The records in memory: the end of the log, as far back as the next context may need it."""
        return self.conversation.journal.log.records

    @property
    def unsaved(self) -> Sequence[Record]:
        """Records that the backend has not taken yet; they go with the next commit."""
        return self.conversation.journal.unsaved

    @property
    def damaged(self) -> Mapping[int, str]:
        """Lines of the log that cannot be read: what is wrong with them, by position."""
        return self.conversation.journal.log.damaged

    @property
    def fill(self) -> tuple[int, int]:
        """The tokens of the last request as we counted them, and the tokens that a request may have."""
        return self.conversation.view.last_tokens, self.conversation.budget.available

    async def context(self) -> RequestContext:
        """Return what would be sent now. Changes nothing. Raises OverBudget."""
        return await self.conversation.prepare()

    async def run_turn(self, text: str) -> AsyncGenerator["Event", None]:
        """Send ``text`` and yield what happens until the answer is complete and stored.

        One turn runs at a time, others wait. Cancelling the task, or closing the generator, stops the model and the
        tools at once; what was said until then is stored. Raises OverBudget, the kinds of LimitReached and of
        ModelError, SessionBusy when another process took the session over meanwhile, and the backend's errors. The
        user's message is stored in any case, unless it is the backend that failed.
        """
        # The parsers of answers are not needed before the first one.
        from swarmchat.swarm.turn.loop import run_turn

        async with self._lock, aclosing(run_turn(self.conversation, clean_text(text))) as events:
            async for event in events:
                yield event

    async def flush(self) -> None:
        """Store what an earlier commit could not. Raises the backend's errors."""
        async with self._lock:
            await run_to_completion(self.conversation.flush())

    async def call_tool(self, tool: "Tool", arguments: Mapping[str, object], *, agent: str) -> "HandCall":
        """Call ``tool`` by hand as ``agent``, and store what it changes. ``arguments`` have been checked.

        Nobody is asked for approval, and a handoff is returned and not made: both are up to the caller. Raises
        ToolFailure, and the backend's errors: then nothing is changed.
        """
        async with self._lock:
            return await operations.call_tool(self.conversation, tool, arguments, agent)

    async def go_to(self, agent: str) -> Navigation:
        """Make ``agent`` the active one, as the user wishes; store it. Raises DefinitionError for an unknown agent."""
        self.swarm.agent(agent)
        async with self._lock:
            return await run_to_completion(operations.navigate(self.conversation, self.navigation.to(agent)))

    async def go_back(self) -> Navigation:
        """Go back to the previous agent, if there is one; store it."""
        async with self._lock:
            return await run_to_completion(operations.navigate(self.conversation, self.navigation.back()))

    async def reset(self) -> None:
        """Stop sending what was said so far. The log, states, memory and agent stay."""
        async with self._lock:
            await run_to_completion(operations.reset(self.conversation))

    async def rename(self, name: str) -> None:
        """Give the session another name. The caller makes sure that it is free."""
        async with self._lock:
            await run_to_completion(operations.rename(self.conversation, clean_text(name)))

    async def change_settings(self, settings: SessionSettings) -> None:
        """Use ``settings`` until the session is closed. Raises ValueError for unknown rescue steps."""
        async with self._lock:
            await run_to_completion(operations.change_settings(self.conversation, settings))

    async def undo(self, turns: int = 1) -> "UndoResult":
        """Hide the last ``turns`` turns, or as many as there are. Agent, stack and states are as they were before.

        Nothing is removed from the log, and ``redo`` shows them again. What belongs to the client beyond the session
        stays: memory, storages, bans. Raises the backend's errors.
        """
        from swarmchat.swarm.session.undo import undo

        async with self._lock:
            return await run_to_completion(undo(self.conversation, turns))

    async def redo(self, turns: int = 1) -> "UndoResult":
        """Show ``turns`` of the undone turns again. Works until something else is done after the undo."""
        from swarmchat.swarm.session.undo import redo

        async with self._lock:
            return await run_to_completion(redo(self.conversation, turns))

    async def compact(self, focus: str = "") -> "Compacted":
        """Have the model summarise what the active agent sees, but for the newest turns; send that in its place.

        The log stays whole. ``focus`` says what matters most. Raises NothingToCompact, CompactFailed, the kinds of
        ModelError, and the backend's errors: then nothing is changed.
        """
        from swarmchat.swarm.session.compaction import compact

        async with self._lock:
            return await compact(self.conversation, clean_text(focus))

    async def pin(self, turn: int) -> "Pins":
        """Always send ``turn``, whatever is dropped to fit the window. Raises PinError."""
        from swarmchat.swarm.session.pinning import pin

        async with self._lock:
            return await run_to_completion(pin(self.conversation, turn))

    async def unpin(self, turn: int) -> "Pins":
        """Treat ``turn`` like any other again. Raises PinError if it is not pinned."""
        from swarmchat.swarm.session.pinning import unpin

        async with self._lock:
            return await run_to_completion(unpin(self.conversation, turn))
