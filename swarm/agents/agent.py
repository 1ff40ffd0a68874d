"""Who answers: agents, and the swarm that they form."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from swarmchat.swarm.common.encoding import encode_json
from swarmchat.swarm.common.hooks import call_hook
from swarmchat.swarm.common.names import check_agent_name, nearest
from swarmchat.swarm.errors import DefinitionError

if TYPE_CHECKING:
    from swarmchat.swarm.agents.rescue_steps import Step
    from swarmchat.swarm.models.demo import DemoRule
    from swarmchat.swarm.primitives.policy import Policy
    from swarmchat.swarm.primitives.state import State
    from swarmchat.swarm.storage.embeddings import Embedder
    from swarmchat.swarm.storage.storage import Storage
    from swarmchat.swarm.tools.context import Context
    from swarmchat.swarm.tools.tool import Tool

DEFAULT_PROMPT = "You are a helpful assistant. Answer briefly and plainly, and say so when you do not know."

Text = str | Callable[["Context"], str | Awaitable[str]]
"""System text, or a function that makes it anew for each request."""


@dataclass(frozen=True)
class Agent:
    """One voice of the chat: instructions, tools, and whom it can hand over to."""

    name: str
    prompt: Text = DEFAULT_PROMPT
    """The system message. Empty: none is sent."""
    tools: Sequence["Tool | Callable[..., Any]"] = ()
    handoffs: Sequence[str] = ()
    """Agents that this one can hand over to: it gets a tool ``transfer_to_NAME`` for each."""
    system: Sequence[Text] = ()
    """Further system messages, each its own."""
    description: str = ""
    """What it is for, in a line: told to the agents that can hand over to it."""
    model: str | None = None
    """The model that it works with. ``None``: the session's."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Fields for its requests: temperature, max_tokens …"""
    max_tool_calls: int | None = None
    """How many calls of one message are carried out; the others get an error. ``None``: all."""
    validate: Callable[[str], str | Awaitable[str | None] | None] | None = None
    """Looks at an answer before the user does, and returns what is wrong with it, if anything. Answers no longer
    stream then."""

    def __post_init__(self) -> None:
        check_agent_name(self.name)
        if self.max_tool_calls is not None and self.max_tool_calls < 0:
            raise DefinitionError(f"agent {self.name!r}: max_tool_calls is {self.max_tool_calls}, expected 0 or more")
        if self.tools:
            from swarmchat.swarm.tools.tool import as_tool

            object.__setattr__(self, "tools", tuple(as_tool(function) for function in self.tools))
        names = [tool.name for tool in self.own_tools]
        if twice := {name for name in names if names.count(name) > 1}:
            raise DefinitionError(f"agent {self.name!r} has two tools named {min(twice)!r}")

    @property
    def own_tools(self) -> tuple["Tool", ...]:
        """The tools that the agent was given."""
        return tuple(self.tools)  # type: ignore[arg-type]  # __post_init__ has made tools of the functions

    async def system_messages(self, ctx: "Context") -> tuple[bytes, ...]:
        """Return the agent's system messages as JSON, in the order in which they are sent. Raises HookError."""
        what = f"the prompt of agent {self.name!r}"
        texts = [await call_hook(what, text, ctx) if callable(text) else text for text in (self.prompt, *self.system)]
        return tuple(encode_json({"role": "system", "content": text}) for text in texts if text)


@dataclass(frozen=True)
class Swarm:
    """Agents that hand a client over to one another, and what they share. Raises DefinitionError for a wrong name."""

    name: str
    agents: Sequence[Agent]
    default: str = ""
    """The agent that a session begins with. Empty: the first one."""
    policies: Sequence["Policy"] = ()
    states: Sequence["State[Any]"] = ()
    storages: Sequence["Storage[Any]"] = ()
    embedder: "Embedder | None" = None
    """How texts become vectors. ``None``: the built-in way, which needs no model."""
    demo: Sequence["DemoRule"] = ()
    """What the demo model does in this swarm."""
    rescue: Sequence["Step"] | None = None
    """What is done about answers that cannot be used, in order. ``None``: all steps, see ``rescue``."""
    placeholder: str | None = None
    """What is answered when no step of the rescue has helped. ``None``: a line in English."""

    def __post_init__(self) -> None:
        if not self.agents:
            raise DefinitionError(f"swarm {self.name!r} has no agents")
        if not self.default:
            object.__setattr__(self, "default", self.agents[0].name)
        for kind in ("agents", "policies", "states", "storages"):
            names = [part.name for part in getattr(self, kind)]
            if twice := {name for name in names if names.count(name) > 1}:
                raise DefinitionError(f"swarm {self.name!r}: two of its {kind} are named {min(twice)!r}")
        if self.default not in self.names:
            raise DefinitionError(
                f"swarm {self.name!r}: the default is {self.default!r}, which no agent is; "
                f"{nearest(self.default, self.names)}"
            )
        for agent in self.agents:
            self._check_handoffs(agent)

    @property
    def names(self) -> frozenset[str]:
        """The names of the agents."""
        return frozenset(agent.name for agent in self.agents)

    def agent(self, name: str) -> Agent:
        """Return the agent ``name``. Raises DefinitionError, with the nearest name, if there is none."""
        for agent in self.agents:
            if agent.name == name:
                return agent
        raise DefinitionError(f"swarm {self.name!r} has no agent {name!r}; {nearest(name, self.names)}")

    def _check_handoffs(self, agent: Agent) -> None:
        own = {tool.name for tool in agent.own_tools}
        for target in agent.handoffs:
            if target not in self.names:
                raise DefinitionError(
                    f"agent {agent.name!r} hands over to {target!r}, which no agent is; {nearest(target, self.names)}"
                )
            if target == agent.name:
                raise DefinitionError(f"agent {agent.name!r} hands over to itself")
        for name in (*(f"transfer_to_{target}" for target in agent.handoffs), "transfer_back"):
            if name in own:
                raise DefinitionError(f"agent {agent.name!r}: the tool name {name!r} is taken by a handoff")


DEFAULT_SWARM = Swarm("assistant", [Agent("assistant")])
