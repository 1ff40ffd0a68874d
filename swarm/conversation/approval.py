"""Whether a tool may be called: by the settings, by the tool itself, or by asking the user."""

from dataclasses import replace

from swarmchat.swarm.conversation.conversation import Conversation
from swarmchat.swarm.models.base import ToolCall
from swarmchat.swarm.tools.context import Denied
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
        return await conversation.approver(tool, call)
    # Other tasks may ask at the same time.
    with conversation.task.paused():
        async with conversation.user_is_free:
            return await conversation.approver(tool, replace(call, agent=conversation.agent.name))
