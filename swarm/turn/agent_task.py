"""Tasks: an agent that is used as a tool works in a separate conversation, with the same loop as every turn."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from swarmchat.swarm.conversation.branching import branch_off
from swarmchat.swarm.conversation.conversation import Conversation
from swarmchat.swarm.conversation.events import Event, TaskEnded, TaskProgress, TaskStarted, TurnEnded
from swarmchat.swarm.conversation.task_branch import Branch
from swarmchat.swarm.errors import LimitReached, ModelError, OutputError, OverBudget, RequestDenied
from swarmchat.swarm.tools.context import Context, Outcome, ToolFailure
from swarmchat.swarm.turn.asking import ToolAsking
from swarmchat.swarm.turn.history import history_for
from swarmchat.swarm.turn.question import Question, read_question

if TYPE_CHECKING:
    from swarmchat.swarm.tools.agent_tool import AgentTool

TurnRunner = Callable[[Conversation, Question], AsyncGenerator[Event, None]]
"""Runs a turn: ``loop.run_turn``, which cannot be imported here."""

_FAILURES = (ModelError, LimitReached, OverBudget, OutputError, RequestDenied)
"""What ends a task and is told to the agent that gave it; other errors end the turn."""


class AgentAsking(ToolAsking):
    """What the call of ``outcome`` asks, which may be a task for an agent. ``emit`` is given the events of tasks.

    ``slots`` has a place for each task that may run at a time.
    """

    def __init__(
        self,
        conversation: Conversation,
        ctx: Context[Any],
        outcome: Outcome,
        *,
        run_turn: TurnRunner,
        slots: asyncio.Semaphore,
        emit: Callable[[Event], object],
    ) -> None:
        super().__init__(conversation, ctx, outcome)
        self._run_turn = run_turn
        self._slots = slots
        self._emit = emit

    async def run_agent(self, tool: "AgentTool", task: str) -> str:
        """Have the agent of ``tool`` work on ``task``, as soon as there is a place for it; return its last answer.

        Raises ToolFailure if it gives none, and the errors that end a turn.
        """
        conversation, outcome = self._conversation, self._outcome
        agent, settings = conversation.swarm.agent(tool.agent_name), conversation.settings
        child, branch = branch_off(conversation, agent, outcome.task, outcome.call.id)
        child.settings = replace(settings, max_requests=tool.requests or settings.task_requests)
        branch.max_tokens = tool.tokens or settings.task_tokens
        async with self._slots:
            run = TaskRun(conversation, child, branch, tool, self._run_turn, self._emit)
            return await run.result(task, conversation.task_seconds(tool.seconds))


class TaskRun:
    """One task while it runs: ``child`` is its conversation, ``giver`` that of the agent that gave it."""

    def __init__(
        self,
        giver: Conversation,
        child: Conversation,
        branch: Branch,
        tool: "AgentTool",
        run_turn: TurnRunner,
        emit: Callable[[Event], object],
    ) -> None:
        self._giver = giver
        self._child = child
        self._branch = branch
        self._agent = child.agent.name
        self._tool = tool
        self._run_turn = run_turn
        self._emit = emit

    async def result(self, task: str, seconds: float | None) -> str:
        """Return the last answer to ``task``, which may take so many seconds.

        Raises ToolFailure if there is none, and the errors that end a turn.
        """
        branch, now = self._branch, asyncio.get_running_loop().time
        started, status = now(), "interrupted"
        self._emit(TaskStarted(branch.id, self._agent, task))
        self._giver.order.begin(branch.id)
        try:
            async with asyncio.timeout(seconds) as branch.limit:
                answer = await self._giver.run_branch(self._child, self._work(task))
            status = "ok"
            return answer
        except _FAILURES as error:
            status = "error"
            raise ToolFailure(f"{self._agent}: {error}") from error
        except ToolFailure:
            status = "error"
            raise
        except TimeoutError as error:
            if branch.limit is None or not branch.limit.expired():
                raise
            status = "error"
            raise ToolFailure(f"{self._agent} did not finish within {seconds:g} s") from error
        finally:
            self._giver.order.end(branch.id)
            self._giver.last_tool_error = self._child.last_tool_error or self._giver.last_tool_error
            self._emit(
                TaskEnded(branch.id, self._agent, status, branch.requests, branch.tokens, round(now() - started, 3))
            )

    async def _work(self, task: str) -> str:
        """Run the loop of a turn with ``task`` as the user's message."""
        before = await history_for(self._giver, self._child, self._tool.history)
        question = replace(read_question(before + task), before=before)
        ended: TurnEnded | None = None
        with self._child.trace.turn(self._agent, self._child.info):
            async with aclosing(self._run_turn(self._child, question)) as events:
                async for event in events:
                    self._pass_on(event)
                    ended = event if isinstance(event, TurnEnded) else ended
        if ended is None or not ended.recovered or not ended.text.strip():
            raise ToolFailure(f"{self._agent} gave no usable answer: ask differently, or do it yourself")
        return ended.text

    def _pass_on(self, event: Event) -> None:
        """Emit an event of the task; that of a task that it has given already names that task."""
        if isinstance(event, TaskStarted | TaskProgress | TaskEnded):
            self._emit(event)
        else:
            branch = self._branch
            self._emit(TaskProgress(branch.id, self._agent, event, branch.requests, branch.tokens))
