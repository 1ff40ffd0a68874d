"""Agents as tools: a call gives an agent a task, which it works on in a separate context."""

from dataclasses import dataclass, replace
from typing import Any, Literal

from swarmchat.swarm.common.mistakes import COUNT, SECONDS, Expected, check_fields, optional
from swarmchat.swarm.common.names import Named, name_of
from swarmchat.swarm.tools.context import Assignment, Context
from swarmchat.swarm.tools.tool import Tool, started_message

History = Literal["none", "summary", "all"]
HISTORIES = ("none", "summary", "all")
_RULES = ("history", "requests", "tokens", "seconds")


@dataclass(frozen=True)
class AgentTool(Tool):
    """A tool whose calls are tasks for an agent. Created by ``Agent.as_tool``, and for ``agent:NAME``."""

    agent: Named | str = ""
    """The agent, or its name."""
    description: str = ""
    """What the tool does, for the agent that calls it. Empty: the description of the agent."""
    history: History = "none"
    """What the agent is told of the conversation: nothing, a summary that its model makes, or all of it."""
    requests: int | None = None
    """The most requests to the model for one task. ``None``: the setting ``task_requests``."""
    tokens: int | None = None
    """The most tokens for one task, requests and answers together. ``None``: the setting ``task_tokens``."""
    seconds: float | None = None
    """How long one task may take. ``None``: the setting ``task_seconds``."""

    def __post_init__(self) -> None:
        check_fields(f"the tool {self.name!r}", self, _EXPECTED)
        super().__post_init__()
        if self.description:
            object.__setattr__(self, "signature", replace(self.signature, description=self.description))

    @property
    def rules(self) -> dict[str, Any]:
        """The settings of its calls that models do not see, with the limits of a task."""
        limits = {name: getattr(self, name) for name in _RULES if getattr(self, name) != getattr(AgentTool, name)}
        return {**super().rules, **limits}

    @property
    def gives_task(self) -> bool:
        """Whether a call is a task for an agent."""
        return True

    @property
    def agent_name(self) -> str:
        """The name of the agent."""
        return name_of(self.agent)

    async def run(self, ctx: Context, arguments: dict[str, Any]) -> str:
        """Let the agent work on the task; return its last answer. Its limits replace the tool's timeout."""
        if ctx.asking is None:
            raise RuntimeError(f"the agent {self.agent_name!r} works only in a turn of a session")
        if self.background and ctx.starting is not None:
            return started_message(ctx.starting(Assignment(self.agent_name, arguments["task"], True)))
        return await ctx.asking.run_agent(self, arguments["task"])


def agent_tool(
    agent: Named | str,
    description: str = "",
    *,
    name: str | None = None,
    history: History = "none",
    requests: int | None = None,
    tokens: int | None = None,
    seconds: float | None = None,
    background: bool = False,
) -> AgentTool:
    """Return ``agent`` as a tool; see ``Agent.as_tool``."""
    return AgentTool(
        name or name_of(agent),
        _task,
        background=background,
        agent=agent,
        description=description,
        history=history,
        requests=requests,
        tokens=tokens,
        seconds=seconds,
    )


async def _task(task: str) -> str:
    """Give the agent a task, and get its answer.

    task: what to do, with all that it needs to know: the agent sees nothing else
    """
    raise AssertionError("AgentTool.run has the agent work")


_EXPECTED = {
    "history": Expected("none, summary or all", lambda value: value in HISTORIES),
    "requests": optional(COUNT),
    "tokens": optional(COUNT),
    "seconds": optional(SECONDS),
}
"""What the arguments of the tool are expected to be."""
