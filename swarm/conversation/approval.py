"""Decide whether a tool may be called: by the settings, by the tool's own rule, or by asking the user."""

from dataclasses import replace

from swarmchat.swarm.common.author_functions import call_author_function
from swarmchat.swarm.common.mistakes import shown
from swarmchat.swarm.conversation.conversation import Conversation
from swarmchat.swarm.conversation.program import Approver
from swarmchat.swarm.errors import HookError
from swarmchat.swarm.models.base import ToolCall
from swarmchat.swarm.tools.context import ArgumentsError, Denied
from swarmchat.swarm.tools.tool import Tool


async def approves(
    conversation: Conversation, tool: Tool, call: ToolCall, *, guess: bool = False
) -> bool | str | Denied:
    """Return whether ``tool`` may be called, by the settings, the tool itself or the user: see Approver.

    ``guess`` says that the model wrote the call as text.
    """
    rule = conversation.settings.rule_for(tool.name, tool.approve)
    can_ask = conversation.approver is not None
    if guess and rule == "auto" and tool.effects and conversation.settings.asks_about_guess(tool.name, can_ask):
        rule = "ask"
    if rule != "ask" or conversation.approver is None:
        return rule == "auto"
    if conversation.task is None:
        return await _asked(conversation.approver, tool, call)
    # Other tasks may ask at the same time.
    with conversation.task.paused():
        async with conversation.user_is_free:
            return await _asked(conversation.approver, tool, replace(call, agent=conversation.agent.name))


async def _asked(approver: Approver, tool: Tool, call: ToolCall) -> bool | str | Denied:
    """Return what ``approver`` decides. Raises HookError if it fails, and for what is no decision."""
    decision: object = await call_author_function("the approver", approver, tool, call)
    if not isinstance(decision, bool | str | Denied):
        expected = "True, False, Denied('why') or other arguments as JSON"
        raise HookError(f"the approver returned {shown(decision)} for the tool {tool.name!r}, expected {expected}")
    if isinstance(decision, str):
        try:
            tool.read_arguments(decision)
        except ArgumentsError as error:
            raise HookError(f"the approver returned {decision!r:.80} as arguments of {tool.name!r}: {error}") from error
    return decision
