"""Carry out the tool calls of one message in parallel, with results in the order of the calls."""

import asyncio
import json
import logging
import re
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from traceback import extract_tb
from typing import TYPE_CHECKING

from swarmchat.backends import BackendError
from swarmchat.swarm.agents.handoffs import handoff_target
from swarmchat.swarm.common.bounds import MAX_CALLS
from swarmchat.swarm.common.encoding import short_digest
from swarmchat.swarm.common.messages import text_of
from swarmchat.swarm.conversation.approval import approves
from swarmchat.swarm.conversation.branching import new_task
from swarmchat.swarm.conversation.conversation import Conversation
from swarmchat.swarm.conversation.events import Event, ToolFinished, ToolStarted
from swarmchat.swarm.errors import AskError, DefinitionError, HookError
from swarmchat.swarm.models.base import ToolCall
from swarmchat.swarm.persistence.store import ChangeSet
from swarmchat.swarm.tools.context import ArgumentsError, Assignment, Denied, Outcome, ToolFailure, ToolTimeoutError
from swarmchat.swarm.tools.toolset import Toolset
from swarmchat.swarm.turn.agent_task import AgentAsking, TurnRunner
from swarmchat.swarm.turn.run_hooks import run_hooks

if TYPE_CHECKING:
    from swarmchat.swarm.tools.tool import Tool


EDITED = "The user changed the arguments to "
"""The start of a result if the user edited the arguments; JSON, a full stop and the tool's result follow."""

_DENIED = "Denied: the user did not allow this call. Do not make it again; say what you would have done."
DENIED_BECAUSE = "Denied: this call was not allowed: "
"""How the result of a denied call begins; the reason follows."""

_LOGGER = logging.getLogger("swarmchat.tools")
# Without a handler, Python would print errors on the terminal of a program that uses the library.
logging.getLogger("swarmchat").addHandler(logging.NullHandler())


class ToolCalls:
    """The calls of one message of the active agent. ``outcomes`` has one entry for each call, in their order."""

    def __init__(
        self,
        conversation: Conversation,
        calls: Sequence[ToolCall],
        toolset: Toolset,
        refusals: Mapping[str, str],
        calls_from_text: Collection[str] = (),
        visited: Collection[str] = (),
        *,
        run_turn: TurnRunner,
    ) -> None:
        """``refusals`` has the reasons of refused calls, ``calls_from_text`` those that were written as text, by id.

        No tool can hand over to an agent in ``visited``. ``run_turn`` runs the turn of an agent that gets a task.
        """
        self._conversation = conversation
        self._toolset = toolset
        self._refusals = refusals
        self._calls_from_text = calls_from_text
        self._visited = visited
        self._run_turn = run_turn
        self._slots = asyncio.Semaphore(conversation.settings.tasks_at_once)
        self._events: asyncio.Queue[Event | asyncio.Task[None]] = asyncio.Queue()
        """The events of tasks, and the calls that have ended."""
        self.outcomes = [Outcome(call) for call in calls]

    async def run(self) -> AsyncGenerator[Event, None]:
        """Run the calls in parallel; yield an event when one starts or ends, and the events of tasks.

        Closing the generator cancels the rest.
        """
        admitted = await self._admit()
        for outcome, _, _ in admitted:
            yield ToolStarted(outcome.call.name, outcome.call.arguments, self._conversation.agent.name)
        for outcome in self.outcomes:
            # Of a handoff, HandedOver is the event.
            if outcome.status not in ("interrupted", "ok"):
                yield self._finished(outcome)
        tasks = {asyncio.ensure_future(self._carry_out(*each)): each[0] for each in admitted}
        for task in tasks:
            task.add_done_callback(self._events.put_nowait)
        running = len(tasks)
        try:
            while running:
                event = await self._events.get()
                if isinstance(event, asyncio.Task):
                    event.result()
                    running -= 1
                    yield self._finished(tasks[event])
                else:
                    yield event
        finally:
            await _cancel_all(tasks)

    async def combined_changes(self) -> ChangeSet:
        """Return the changes of all calls that succeeded, in their order.

        A call fails if its changes cannot be applied after those before it; an interrupted call has changed nothing.
        """
        combined = ChangeSet()
        for outcome in self.outcomes:
            if outcome.status == "interrupted":
                continue
            trial = ChangeSet()
            trial.extend(combined)
            trial.extend(outcome.changes)
            try:
                for change in outcome.changes.changes:
                    await trial.read(self._conversation.backend, change.key)
            except BackendError:
                raise
            except Exception as error:
                outcome.status, outcome.result = "error", f"Error: {_reason(error)}"
                outcome.handoff = None
                continue
            combined = trial
        return combined

    def refuse_all(self, reason: str) -> None:
        """Refuse all calls, for ``reason``."""
        for outcome in self.outcomes:
            self._refuse(outcome, reason)

    async def _admit(self) -> list[tuple[Outcome, "Tool", dict[str, object]]]:
        """Decide calls that need no tool: handoffs, refused and unapproved ones. Return the others with arguments."""
        conversation = self._conversation
        limit = MAX_CALLS if conversation.agent.max_tool_calls is None else conversation.agent.max_tool_calls
        admitted = []
        for number, outcome in enumerate(self.outcomes):
            call = outcome.call
            if number >= limit:
                self._refuse(outcome, f"only {limit} calls in one message are carried out: make this one in the next")
            elif reason := self._refusals.get(call.id):
                self._refuse(outcome, reason)
            elif target := handoff_target(call.name, conversation.agent, conversation.navigation):
                if self._has_handoff:
                    self._refuse(outcome, "the user was already handed over in this message")
                elif (target := await self._allowed_target(outcome, target)) is not None:
                    if target in conversation.closed:
                        self._refuse(outcome, conversation.closed[target])
                    else:
                        outcome.status, outcome.handoff = "ok", target
                        outcome.result = json.dumps({"handed_over_to": target})
            else:
                tool = self._toolset.tools[call.name]
                if await self._approved(outcome, tool):
                    if tool.gives_task and not (tool.background and conversation.task is None):
                        # In the order of the calls, whichever begins first.
                        outcome.task = new_task(conversation)
                    admitted.append((outcome, tool, tool.read_arguments(outcome.call.arguments)))
        return admitted

    async def _allowed_target(self, outcome: Outcome, target: str) -> str | None:
        """Return the agent to hand over to, as hooks change it; ``None`` if one refuses, which denies the call."""
        conversation = self._conversation
        allowed = await run_hooks(conversation, "before_handoff", value=target, call_id=outcome.call.id)
        if isinstance(allowed, Denied):
            self._deny(outcome, allowed.reason)
            return None
        return conversation.swarm.agent(allowed).name

    def _deny(self, outcome: Outcome, reason: str) -> None:
        outcome.status = "denied"
        outcome.result = f"{DENIED_BECAUSE}{reason}" if reason else _DENIED

    async def _approved(self, outcome: Outcome, tool: "Tool") -> bool:
        conversation, outcome.approve = self._conversation, tool.approve
        call = await run_hooks(conversation, "before_tool", value=outcome.call, call_id=outcome.call.id)
        if isinstance(call, Denied):
            self._deny(outcome, call.reason)
            return False
        if call.arguments != outcome.call.arguments:
            try:
                tool.read_arguments(call.arguments)
            except ArgumentsError as error:
                raise HookError(f"a hook changed the arguments of {tool.name} to invalid ones: {error}") from error
            outcome.call, outcome.edited = replace(outcome.call, arguments=call.arguments), True
        is_guess = outcome.call.id in self._calls_from_text
        outcome.effects = tool.effects if is_guess else None
        answer = await approves(conversation, tool, outcome.call, guess=is_guess)
        if isinstance(answer, str) and answer != outcome.call.arguments:
            # The approver has checked the new arguments: invalid ones are a defect there, and end the turn.
            outcome.call, outcome.edited = replace(outcome.call, arguments=answer), True
        if answer is not False and not isinstance(answer, Denied):
            return True
        self._deny(outcome, answer.reason if isinstance(answer, Denied) else "")
        return False

    async def _carry_out(self, outcome: Outcome, tool: "Tool", arguments: dict[str, object]) -> None:
        with self._conversation.trace.tool(outcome):
            await self._run(outcome, tool, arguments)

    async def _run(self, outcome: Outcome, tool: "Tool", arguments: dict[str, object]) -> None:
        now = asyncio.get_running_loop().time
        started = now()
        self._conversation.lock.enter_tool()
        ctx = self._conversation.tool_context(outcome.call.id, outcome.changes)
        ctx.asking = AgentAsking(
            self._conversation, ctx, outcome, run_turn=self._run_turn, slots=self._slots, emit=self._events.put_nowait
        )
        outcome.draws = ctx.draws
        if self._conversation.task is None:
            ctx.starting = partial(self._start, outcome)
        ctx.report = partial(self._conversation.primitives.tool_progress, tool.name)
        try:
            result = await self._conversation.run_tool(tool, ctx, arguments, outcome)
        except ToolTimeoutError as error:
            self._refuse(outcome, f"the tool {error}, and may have taken effect")
        except BackendError:
            raise
        except DefinitionError as error:
            # A mistake of the author, which no model can do anything about.
            raise DefinitionError(f"tool {tool.name!r}{_place(error)}: {error}") from error
        except Exception as error:
            if tool.gives_task and not isinstance(error, ToolFailure):
                # Not a failure of the tool: the loop of the agent has ended as that of a turn does.
                raise
            outcome.error = self._conversation.last_tool_error = error
            if not isinstance(error, ToolFailure | AskError):
                _LOGGER.error("tool %s failed", tool.name, exc_info=error)
            self._refuse(outcome, _bounded(_reason(error), self._conversation.settings.max_result))
        else:
            outcome.status, outcome.result = "ok", _bounded(result, self._conversation.settings.max_result)
            outcome.shown = ctx.shown
            if ctx.handoff_to is not None:
                await self._follow_handoff(outcome, ctx.handoff_to)
        call = outcome.call
        own = outcome.result
        seen = await run_hooks(self._conversation, "after_tool", call, value=own, call_id=call.id)
        if isinstance(seen, Denied):
            self._refuse(outcome, seen.reason)
            outcome.handoff = None
        else:
            outcome.result = seen
        if outcome.result != own:
            # The text stays out of the log: the hook may be there to hide it.
            outcome.replaced_digest = short_digest(own)
        outcome.seconds = now() - started
        if outcome.edited:
            outcome.result = f"{EDITED}{outcome.call.arguments}.\n{outcome.result}"

    def _start(self, outcome: Outcome, assignment: Assignment) -> str:
        conversation = self._conversation
        task = conversation.order.new_background_id(conversation.info.tasks)
        outcome.started.append((task, assignment))
        return task

    async def _follow_handoff(self, outcome: Outcome, target: str) -> None:
        """Hand over to the agent that a tool named, unless it was there before or a hook refuses."""
        conversation = self._conversation
        if conversation.task is not None:
            outcome.result += "\nNot handed over: the agent works on a task, and does not talk to the user."
            return
        if target not in self._visited and (target == conversation.agent.name or self._has_handoff):
            return
        allowed = await run_hooks(conversation, "before_handoff", value=target, call_id=outcome.call.id)
        if isinstance(allowed, Denied):
            outcome.result += f"\nNot handed over: {allowed.reason}"
        elif allowed in self._visited:
            outcome.result += f"\nNot handed over: {allowed!r} was there before in this turn."
        else:
            outcome.handoff = conversation.swarm.agent(allowed).name

    @property
    def _has_handoff(self) -> bool:
        return any(outcome.handoff for outcome in self.outcomes)

    def _refuse(self, outcome: Outcome, reason: str) -> None:
        outcome.status, outcome.result, outcome.changes = "error", f"Error: {reason}", ChangeSet()
        outcome.shown = ()

    def _finished(self, outcome: Outcome) -> ToolFinished:
        call = outcome.call
        agent = self._conversation.agent.name
        text = text_of({"content": outcome.content})
        return ToolFinished(call.name, call.arguments, outcome.status, text, agent, outcome.seconds, outcome.error)


async def _cancel_all(tasks: Collection["asyncio.Task[None]"]) -> None:
    """Cancel ``tasks`` and wait for their end. A second cancel leaves those behind that do not react."""
    for task in tasks:
        task.cancel()
        # Retrieve the exception, so that asyncio does not report it as lost.
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
    if tasks:
        # Not gather: when cancelled, it keeps waiting for a tool that does not react.
        await asyncio.wait(tasks)


def _bounded(text: str, limit: int) -> str:
    """Return ``text`` cut to ``limit`` characters, with a line that says so."""
    if len(text) <= limit:
        return text
    return f"{text[:limit]}\n[cut: {len(text):,} characters, max_result allows {limit:,}; ask for less]"


_PASSED_BY = re.compile(rf"swarmchat/swarm|^{re.escape(str(Path(asyncio.__file__).parents[1]))}/(?!site-packages)")
"""Files of the library and of Python itself."""


def _place(error: BaseException) -> str:
    """Return the file and the line of the tool in which ``error`` was raised."""
    frames = [frame for frame in extract_tb(error.__traceback__) if not _PASSED_BY.search(frame.filename)]
    return f", {Path(frames[-1].filename).name} line {frames[-1].lineno}" if frames else ""


def _reason(error: Exception) -> str:
    if isinstance(error, ToolFailure | AskError):
        return str(error)
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
