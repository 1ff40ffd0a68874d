"""``/call``: a tool of the active agent, by hand. What it changes is kept and on record; the call is not said."""

from swarmchat.cli.errors import ToolFailedError, UsageError
from swarmchat.cli.slash.registry import Outcome
from swarmchat.swarm.common.name_match import nearest
from swarmchat.swarm.models.base import ToolCall
from swarmchat.swarm.persistence.changes import Edits
from swarmchat.swarm.session.session import Session
from swarmchat.swarm.tools.tool import ArgumentsError


async def hand_call(session: Session, name: str, arguments: str) -> Outcome:
    """Call the tool ``name``; return its result. Raises UsageError and ToolFailedError: then nothing is changed."""
    offer = await session.offer()
    if name not in offer.tools:
        raise UsageError(f"{session.agent.name} cannot call {name!r} now; {nearest(name, offer.tools)}")
    tool = offer.tools[name]
    try:
        values = tool.read_arguments(arguments)
    except ArgumentsError as error:
        raise UsageError(f"{name}: {error}") from error
    if not await session.approves(tool, ToolCall("by hand", name, arguments)):
        raise UsageError(f"{name} was not allowed: /approve shows what decides that")
    edits = Edits()
    ctx = session.tool_context("by hand", edits)
    try:
        result = await tool.run(ctx, values)
    except Exception as error:
        raise ToolFailedError(f"{name}: {type(error).__name__}: {error}") from error
    if edits:
        await session.ready()
        first = session.session_record()
        await session.commit([] if first is None else [first], edits)
    if ctx.handoff_to is not None and ctx.handoff_to != session.agent.name:
        await session.go_to(ctx.handoff_to)
        return Outcome(page=result, remark=f"{session.agent.name} goes on")
    return Outcome(page=result)
