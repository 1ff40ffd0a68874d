"""Build the requests of a conversation: the context that fits the window, and the request that sends it."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from swarmchat.swarm.agents.handoffs import handoff_definitions
from swarmchat.swarm.conversation.conversation import Conversation
from swarmchat.swarm.errors import OverBudget
from swarmchat.swarm.models.base import MessageDigest, ModelRequest
from swarmchat.swarm.persistence.records import Record
from swarmchat.swarm.tools.toolset import Toolset

if TYPE_CHECKING:
    from swarmchat.swarm.context.builder import RequestContext
    from swarmchat.swarm.tools.output import OutputType


async def prepare(
    conversation: Conversation,
    pending: Sequence[Record] = (),
    toolset: Toolset | None = None,
    *,
    tail: Sequence[Mapping[str, Any]] = (),
    shrink_to: int | None = None,
    output: "OutputType | None" = None,
) -> "RequestContext":
    """Return the context for the next request, as if ``pending`` were stored; ``tail`` ends it.

    ``output`` is the type of the answer if not the agent's; its schema counts as a tool that is offered.
    ``shrink_to`` lowers the context window of this session from now on. Raises OverBudget, and leaves the window
    as it was, when what must be sent does not fit.
    """
    if toolset is None:
        toolset = await conversation.toolset()
    tools: list[Mapping[str, Any]] = [*toolset.definitions]
    tools += handoff_definitions(conversation.swarm, conversation.agent, conversation.navigation)
    if (kind := output or conversation.agent.output_type) is not None:
        tools.append(kind.definition)
    window = conversation.view.window
    conversation.view.window = window if shrink_to is None else shrink_to
    try:
        return await conversation.view.context(
            conversation.budget,
            conversation.model.name,
            system=await conversation.agent.system_messages(conversation.tool_context()),
            tools=tools,
            pending=[*conversation.journal.unsaved, *pending],
            tail=tail,
        )
    except OverBudget:
        conversation.view.window = window
        raise


def make_request(
    conversation: Conversation,
    context: "RequestContext",
    parameters: Mapping[str, Any],
    output: "OutputType | None" = None,
) -> ModelRequest:
    """Return the request that sends ``context``; ``parameters`` override those of agent and settings."""
    kind, tools = output or conversation.agent.output_type, tuple(context.tools)
    parameters = {**conversation.settings.parameters, **conversation.agent.parameters, **parameters}
    if kind is not None:
        # The schema is the last of the tools: how it is sent is up to the model.
        parameters, tools = {**parameters, "response_format": kind.response_format}, tools[:-1]
    before = MessageDigest() if conversation.last_request is None else conversation.last_request.conversation
    conversation.last_request = ModelRequest(
        conversation.model.name,
        context.messages,
        tools,
        parameters,
        context.system,
        echoes=context.echoes,
        previous=before,
        agent=conversation.agent.name,
    )
    return conversation.last_request
