"""The outcome of one tool call, and the function that runs it."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from swarmchat.swarm.context.normalize import NO_RESULT
from swarmchat.swarm.models.base import ToolCall
from swarmchat.swarm.persistence.store import ChangeSet
from swarmchat.swarm.tools.context import Context

if TYPE_CHECKING:
    from swarmchat.swarm.tools.tool import Tool


class ToolFailure(Exception):
    """A tool failed; the model gets the message and nothing else."""


@dataclass
class Outcome:
    """The outcome of one tool call."""

    call: ToolCall
    status: str = "interrupted"
    """ok, error, denied, or interrupted."""
    result: str = NO_RESULT
    seconds: float = 0.0
    changes: ChangeSet = field(default_factory=ChangeSet)
    handoff: str | None = None
    error: Exception | None = None
    """What the tool raised: for its author. The model is told ``result``."""
    edited: bool = False
    """Whether the user changed the arguments."""


async def run_tool(tool: "Tool", ctx: Context, arguments: dict[str, object], outcome: Outcome) -> str:
    """Run one tool call and return its result: the default of a session's ``run_tool``."""
    return await tool.run(ctx, arguments)
