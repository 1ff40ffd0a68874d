"""The work of a background task: an agent's turn, or a tool.

It cannot ask the user, who may be writing something else at the prompt.
"""

from dataclasses import replace

from swarmchat.swarm.agents.agent import Agent
from swarmchat.swarm.conversation.branching import branch_off
from swarmchat.swarm.conversation.conversation import Conversation
from swarmchat.swarm.conversation.task_branch import Branch
from swarmchat.swarm.models.base import ToolCall
from swarmchat.swarm.session.running_task import RunningTask, TaskResult
from swarmchat.swarm.tools.agent_tool import agent_tool
from swarmchat.swarm.tools.context import Denied, Outcome, ToolFailure
from swarmchat.swarm.turn.agent_task import TaskRun
from swarmchat.swarm.turn.asking import ToolAsking
from swarmchat.swarm.turn.loop import run_turn
from swarmchat.swarm.turn.run_hooks import run_hooks


async def have_agent_work(conversation: Conversation, running: RunningTask) -> TaskResult:
    """Have the agent work on its task, within the limits that it has as a tool. Raises ToolFailure and other errors."""
    agent = conversation.swarm.agent(running.assignment.agent)
    tools = [tool for each in conversation.swarm.agents for tool in each.agent_tools]
    tool = next((tool for tool in tools if tool.agent_name == agent.name), agent_tool(agent))
    child, branch = _branch(conversation, agent, running)
    settings = child.settings
    child.settings = replace(settings, max_requests=tool.requests or settings.task_requests)
    branch.max_tokens = tool.tokens or settings.task_tokens
    run = TaskRun(conversation, child, branch, tool, run_turn, running.note)
    return TaskResult("ok", await run.result(running.assignment.text, conversation.task_seconds(tool.seconds)))


async def call_tool(conversation: Conversation, running: RunningTask) -> TaskResult:
    """Run the tool. Raises ToolFailure and the errors of the tool."""
    assignment = running.assignment
    agent = conversation.swarm.agent(assignment.agent)
    tool = next((tool for tool in agent.own_tools if tool.name == assignment.tool), None)
    if tool is None:
        raise ToolFailure(f"agent {agent.name!r} no longer has the tool {assignment.tool!r}")
    child, branch = _branch(conversation, agent, running)
    call = ToolCall(running.id, tool.name, assignment.arguments)
    outcome = Outcome(call)
    ctx = child.tool_context(call.id, outcome.changes)
    ctx.asking = ToolAsking(child, ctx, outcome)
    text = await tool.run(ctx, tool.read_arguments(call.arguments))
    seen = await run_hooks(child, "after_tool", call, value=text, call_id=call.id)
    batch = child.batch()
    for kind, asked in outcome.asked:
        batch.add(kind, turn=0, agent=agent.name, call=call.id, **asked)
    records = [record.in_task(branch.id, "") for record in batch.records]
    if isinstance(seen, Denied):
        return TaskResult("error", seen.reason, records)
    return TaskResult("ok", seen, records, outcome.changes, ctx.draws.for_record())


def _branch(conversation: Conversation, agent: Agent, running: RunningTask) -> tuple[Conversation, Branch]:
    child, branch = branch_off(conversation, agent, running.id, "")
    child.approver = child.answerer = None
    return child, branch
