"""Definitions of agents, and of the swarm that they form."""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from swarmchat.swarm.agents.agent_fields import AGENT, EMBEDDER, check_computed
from swarmchat.swarm.common.author_functions import call_author_function
from swarmchat.swarm.common.encoding import encode_json
from swarmchat.swarm.common.messages import REMINDER
from swarmchat.swarm.common.mistakes import (
    TEXT,
    Expected,
    check_fields,
    check_value,
    explained,
    instance_of,
    many,
    named_part,
    optional,
    shown,
)
from swarmchat.swarm.common.names import AGENT_TOOL, OUTPUT_TOOL, check_name, name_of, nearest, portable_name
from swarmchat.swarm.errors import DefinitionError

if TYPE_CHECKING:
    from swarmchat.swarm.agents.replay_rules import ReplayRules
    from swarmchat.swarm.agents.rescue_steps import Step
    from swarmchat.swarm.mcp.server import McpServer
    from swarmchat.swarm.mcp.servers import McpServers
    from swarmchat.swarm.models.demo import DemoRule
    from swarmchat.swarm.primitives.policy import Policy
    from swarmchat.swarm.primitives.state import State
    from swarmchat.swarm.storage.declaration import Storage
    from swarmchat.swarm.storage.embeddings import Embedder
    from swarmchat.swarm.tools.agent_tool import AgentTool, History
    from swarmchat.swarm.tools.context import Context
    from swarmchat.swarm.tools.output import OutputType
    from swarmchat.swarm.tools.tool import Tool

PREFIX = "transfer_to_"
BACK = "transfer_back"
"""The names of the tools by which agents hand a client over to one another."""

DEFAULT_PROMPT = "You are a helpful assistant. Answer briefly and plainly, and say so when you do not know."

Text = str | Callable[["Context"], str | Awaitable[str]]
"""System text, or a function that returns it for each request."""


@explained
@dataclass(frozen=True)
class Agent:
    """An agent: its instructions, its tools, and the agents that it can hand over to."""

    name: str
    prompt: Text = DEFAULT_PROMPT
    """The system message; none is sent if it is empty."""
    tools: Sequence["Tool | Callable[..., Any] | str"] = ()
    """Functions, agents (``agent:NAME``, or ``as_tool`` of one), and patterns such as ``files/*`` for tools of the
    swarm's MCP servers."""
    handoffs: Sequence["Agent | str"] = ()
    """Agents that this one can hand over to, or their names: it gets a tool ``transfer_to_NAME`` for each."""
    system: Sequence[Text] = ()
    """More system messages, sent separately."""
    reminder: Text = ""
    """Text that changes often. It is sent with the newest question, so that all that stands before it stays in the
    provider's prompt cache; a system message that changes would drop the whole conversation from it."""
    description: str = ""
    """What the agent is for, in one line, for agents that can hand over to it."""
    model: str | None = None
    """The model to use. ``None``: the session's."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Request fields such as temperature or max_tokens."""
    max_tool_calls: int | None = None
    """How many calls of one message are run; the others get an error. ``None``: 100."""
    validate: Callable[[str], str | Awaitable[str | None] | None] | None = None
    """Called with each answer before the user sees it; returns the problem if the answer is not acceptable. Answers
    do not stream then."""
    output: Any = None
    """The type of its answers: one that pydantic knows, or a JSON schema. ``None``: text."""

    def __post_init__(self) -> None:
        # With transfer_to_ before it, it is the name of a tool.
        check_name("agent", self.name, 50)
        check_fields(f"agent {self.name!r}", self, AGENT)
        object.__setattr__(self, "tools", tuple(map(_as_tool, self.tools)))
        if self.output is not None:
            from swarmchat.swarm.tools.output import output_type

            object.__setattr__(self, "output", output_type(self.output))
        object.__setattr__(self, "handoffs", tuple(map(name_of, self.handoffs)))
        if duplicates := _duplicates(portable_name(tool.name) for tool in self.own_tools):
            name = min(duplicates)
            names = sorted({tool.name for tool in self.own_tools if portable_name(tool.name) == name} - {name})
            spellings = f", which is what models call {' and '.join(map(repr, names))}" if names else ""
            raise DefinitionError(f"agent {self.name!r} has two tools named {name!r}{spellings}: rename one")

    def as_tool(
        self,
        description: str = "",
        *,
        name: str | None = None,
        history: "History" = "none",
        requests: int | None = None,
        tokens: int | None = None,
        seconds: float | None = None,
        background: bool = False,
    ) -> "AgentTool":
        """Return the agent as a tool: each call is a task, which it works on in a separate context.

        ``description`` tells the calling agent its purpose; default: the agent's description. ``name`` is the tool's
        name; default: the agent's. ``history`` is the part of the conversation that it sees: none, summary or all.
        ``requests``, ``tokens`` and ``seconds`` limit one task; default: the session's settings. With ``background``,
        the conversation continues while it works, and its answer arrives as a message. Raises DefinitionError.
        """
        from swarmchat.swarm.tools.agent_tool import agent_tool

        return agent_tool(
            self,
            description,
            name=name,
            history=history,
            requests=requests,
            tokens=tokens,
            seconds=seconds,
            background=background,
        )

    @property
    def is_person(self) -> bool:
        """Whether the agent is an operator, so that a person answers."""
        return False

    @property
    def own_tools(self) -> tuple["Tool", ...]:
        """The tools of the agent, without handoffs and without those of MCP servers."""
        tools = (tool for tool in self.tools if not isinstance(tool, str))
        return tuple(tools)  # type: ignore[arg-type]  # __post_init__ has made tools of the functions

    @property
    def agent_tools(self) -> tuple["AgentTool", ...]:
        """The tools that are agents."""
        tools = (tool for tool in self.own_tools if tool.gives_task)
        return tuple(tools)  # type: ignore[arg-type]  # only they give tasks

    @property
    def tool_patterns(self) -> tuple[str, ...]:
        """The patterns that choose tools of MCP servers, by their names ``SERVER/TOOL``."""
        return tuple(tool for tool in self.tools if isinstance(tool, str))

    @property
    def output_type(self) -> "OutputType | None":
        """The type of its answers; ``None`` for text."""
        kind: OutputType | None = self.output
        return kind

    @property
    def targets(self) -> tuple[str, ...]:
        """The names of the agents that this one can hand over to."""
        return tuple(self.handoffs)  # type: ignore[arg-type]  # __post_init__ has made names of the agents

    async def system_messages(self, ctx: "Context") -> tuple[bytes, ...]:
        """Return the agent's system messages as JSON, in the order in which they are sent. Raises HookError."""
        label = f"the prompt of agent {self.name!r}"
        parts = (self.prompt, *self.system, self.reminder)
        texts = [await call_author_function(label, text, ctx) if callable(text) else text for text in parts]
        for text in texts:
            if text is not None and not isinstance(text, str):
                raise DefinitionError(f"{label} returned {shown(text)}, expected a text")
        messages = [{"role": "system", "content": text} for text in texts]
        messages[-1]["name"] = REMINDER
        return tuple(encode_json(message) for message in messages if message["content"])


def _as_tool(tool: "Tool | Callable[..., object] | str") -> "Tool | str":
    """Return the tool of a function or of ``agent:NAME``; a pattern for tools of MCP servers as it is."""
    if callable(tool):
        from swarmchat.swarm.tools.tool import as_tool

        return as_tool(tool)
    if tool.startswith(AGENT_TOOL):
        from swarmchat.swarm.tools.agent_tool import agent_tool

        return agent_tool(tool.removeprefix(AGENT_TOOL))
    return tool


_PARTS = {"agent": "agents", "policy": "policies", "state": "states", "storage": "storages"}
"""The kinds of named parts of a swarm, and the attribute that lists each."""

_KINDS = {"operators": "Operator", "policies": "Policy", "states": "State", "storages": "Storage"}


def _is_named(kind: str, value: object) -> bool:
    """Whether ``value`` is of the class ``kind``, which may not be loaded yet."""
    return any(each.__name__ == kind for each in type(value).__mro__)


@explained
@dataclass(frozen=True)
class Swarm:
    """Agents that hand a client over to one another, with the policies, states and storages that they share.

    Raises DefinitionError if it is invalid.
    """

    name: str
    agents: Sequence[Agent]
    default: "Agent | str" = ""
    """The agent that a session starts with, or its name. Empty: the first one."""
    operators: Sequence[Agent] = ()
    """People to whom agents can hand over; they are also among the agents."""
    policies: Sequence["Policy"] = ()
    states: Sequence["State[Any]"] = ()
    storages: Sequence["Storage[Any]"] = ()
    mcp: Sequence["McpServer"] = ()
    """The MCP servers whose tools agents can have."""
    embedder: "Embedder | None" = None
    """Turns texts into vectors. ``None``: the built-in embedder, which needs no model."""
    demo: Sequence["DemoRule"] = ()
    """The rules of the demo model in this swarm."""
    rescue: Sequence["Step"] | None = None
    """The rescue steps for answers that cannot be used, in order. ``None``: all of ``STEPS``."""
    placeholder: str | None = None
    """The answer when no rescue step helped. ``None``: a sentence in English."""
    namespace: str = ""
    """Where its storages, states and memory are stored: swarms with the same namespace share them. Empty: the name."""

    replay: "ReplayRules | None" = None
    """What a replay of its conversations does not compare. ``None``: everything is compared."""

    mcp_servers: "McpServers | None" = field(init=False, default=None, repr=False, compare=False)
    """The servers as they run; ``None`` if no agent can have tools of one."""

    def __post_init__(self) -> None:
        owner = f"swarm {self.name!r}"
        check_value("Swarm", "name", self.name, TEXT)
        check_value(owner, "agents", self.agents, many("agents", lambda value: isinstance(value, Agent)))
        check_value(owner, "default", self.default, Expected("an agent or its name", named_part))
        for name, kind in _KINDS.items():
            fits = partial(_is_named, kind)
            check_value(owner, name, getattr(self, name), many(f"{kind} objects", fits))
        check_value(owner, "demo", self.demo, many("DemoRule objects", partial(_is_named, "DemoRule")))
        check_value(owner, "replay", self.replay, optional(Expected("ReplayRules", partial(_is_named, "ReplayRules"))))
        check_value(owner, "embedder", self.embedder, EMBEDDER)
        check_value(owner, "mcp", self.mcp, many("McpServer objects", partial(_is_named, "McpServer")))
        if self.rescue is not None:
            from swarmchat.swarm.agents.rescue_steps import check_steps

            check_steps(self.rescue)
        if not self.agents:
            raise DefinitionError(f"swarm {self.name!r} has no agents: define at least one")
        object.__setattr__(self, "default", name_of(self.default or self.agents[0]))
        # An operator is an agent that a person answers for: handoffs, undo and the log treat it as one.
        listed = (*self.agents, *(operator for operator in self.operators if operator not in self.agents))
        object.__setattr__(self, "agents", listed)
        if any(agent.agent_tools for agent in self.agents):
            object.__setattr__(self, "agents", _with_tool_agents(self.agents))
        object.__setattr__(self, "operators", tuple(agent for agent in self.agents if agent.is_person))
        for parts in _PARTS.values():
            if duplicates := _duplicates(part.name for part in getattr(self, parts)):
                raise DefinitionError(f"swarm {self.name!r}: two of its {parts} are named {min(duplicates)!r}")
        if self.initial not in self.names:
            raise DefinitionError(
                f"swarm {self.name!r}: the default is {self.initial!r}, an unknown agent; "
                f"{nearest(self.initial, self.names)}"
            )
        check_computed(self.name, self.states)
        self._check_operators()
        for agent in self.agents:
            self._check_handoffs(agent)
        if duplicates := _duplicates(server.name for server in self.mcp):
            raise DefinitionError(f"swarm {self.name!r}: two of its MCP servers are named {min(duplicates)!r}")
        if any(agent.tool_patterns for agent in self.agents):
            from swarmchat.swarm.mcp.servers import McpServers

            object.__setattr__(self, "mcp_servers", McpServers(self.mcp))

    def _check_operators(self) -> None:
        """Raise DefinitionError if an operator is used where an agent with a model is needed."""
        people = {operator.name for operator in self.operators}
        if self.initial in people:
            raise DefinitionError(
                f"swarm {self.name!r}: the default is {self.initial!r}, an operator: a session starts with an agent"
            )
        for agent in self.agents:
            for tool in agent.agent_tools:
                if tool.agent_name in people:
                    raise DefinitionError(
                        f"agent {agent.name!r} has the operator {tool.agent_name!r} as a tool: name it in handoffs"
                    )

    @property
    def scope(self) -> str:
        """The name in the keys of its storages, states and memory: its namespace, or its name if it has none."""
        return self.namespace or self.name

    @property
    def initial(self) -> str:
        """The name of the agent that a session starts with."""
        return name_of(self.default)

    @property
    def names(self) -> frozenset[str]:
        """The names of the agents."""
        return frozenset(agent.name for agent in self.agents)

    def agent(self, name: str) -> Agent:
        """Return the agent ``name``. Raises DefinitionError, with the most similar name, if it is unknown."""
        for agent in self.agents:
            if agent.name == name:
                return agent
        raise self._unknown("agent", name)

    def find(self, kind: str, name: str) -> Any:
        """Return the agent, policy, state or storage ``name``. Raises DefinitionError as ``agent`` does."""
        for part in getattr(self, _PARTS[kind]):
            if part.name == name:
                return part
        raise self._unknown(kind, name)

    def _unknown(self, kind: str, name: str) -> DefinitionError:
        names = [part.name for part in getattr(self, _PARTS[kind])]
        return DefinitionError(f"swarm {self.name!r} has no {kind} {name!r}; {nearest(name, names)}")

    def _check_handoffs(self, agent: Agent) -> None:
        own = {portable_name(tool.name) for tool in agent.own_tools}
        for target in agent.targets:
            if target not in self.names:
                raise DefinitionError(
                    f"agent {agent.name!r} hands over to {target!r}, an unknown agent; {nearest(target, self.names)}"
                )
            if target == agent.name:
                raise DefinitionError(f"agent {agent.name!r} hands over to itself: remove it from its handoffs")
        for name in (*(PREFIX + target for target in agent.targets), BACK):
            if name in own:
                raise DefinitionError(
                    f"agent {agent.name!r}: the tool name {name!r} is reserved for a handoff: rename the tool"
                )
        if OUTPUT_TOOL in own:
            raise DefinitionError(
                f"agent {agent.name!r}: the tool name {OUTPUT_TOOL!r} is reserved for typed answers: rename the tool"
            )


def _with_tool_agents(agents: Sequence[Agent]) -> list[Agent]:
    """Return ``agents`` with those that they use as tools; each such tool has a description, and names its agent.

    Raises DefinitionError for an unknown agent, for two of one name, and for an agent that is its own tool.
    """
    known: dict[str, Agent] = {}
    waiting = [*agents]
    while waiting:
        agent = waiting.pop(0)
        if agent.name in known and known[agent.name] != agent:
            raise DefinitionError(f"two agents are named {agent.name!r}, one of them as a tool: rename one")
        if agent.name not in known:
            known[agent.name] = agent
            waiting += [each for tool in agent.agent_tools if isinstance(each := tool.agent, Agent)]
    return [_with_named_agents(agent, known) for agent in known.values()]


def _with_named_agents(agent: Agent, known: Mapping[str, Agent]) -> Agent:
    tools: list[Tool | Callable[..., Any] | str] = []
    for tool in agent.tools:
        if tool not in agent.agent_tools:
            tools.append(tool)
            continue
        name = tool.agent_name
        if name not in known:
            raise DefinitionError(
                f"agent {agent.name!r} has the tool 'agent:{name}', an unknown agent; {nearest(name, known)}"
            )
        if name == agent.name:
            raise DefinitionError(f"agent {name!r} is its own tool: remove it from its tools")
        purpose = tool.description or known[name].description
        named = tool.agent == name and tool.description == purpose
        tools.append(tool if named else replace(tool, agent=name, description=purpose))
    return agent if tools == [*agent.tools] else replace(agent, tools=tools)


def _duplicates(names: Iterable[str]) -> set[str]:
    return {name for name, count in Counter(names).items() if count > 1}


def as_swarm(definition: Swarm | Agent) -> Swarm:
    """Return ``definition`` as a swarm: a single agent is a swarm of one."""
    if isinstance(definition, Agent):
        return Swarm(definition.name, [definition])
    expected = "a Swarm or an Agent: to pass several agents, write Swarm(name, [desk, till])"
    check_value("Session.open", "swarm", definition, instance_of(Swarm, expected))
    return definition


DEFAULT_SWARM = Swarm("assistant", [Agent("assistant")])
