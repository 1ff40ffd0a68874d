"""Slash commands about the swarm: agents, tools, states, storages and memory."""

import json
from collections.abc import Iterable

from swarmchat.cli.completion.tool_arguments import continued, names_line, skeleton
from swarmchat.cli.errors import ToolFailedError, UsageError
from swarmchat.cli.inspection.reader import json_or_text, to_json
from swarmchat.cli.slash.chat_context import ChatContext
from swarmchat.cli.slash.registry import Choice, Command, CommandResult
from swarmchat.cli.swarms.pages import tool_line
from swarmchat.cli.terminal.printing import as_line
from swarmchat.swarm.agents.agent import Swarm
from swarmchat.swarm.common.names import nearest
from swarmchat.swarm.conversation.approval import approves
from swarmchat.swarm.models.base import ToolCall
from swarmchat.swarm.session.session import Session
from swarmchat.swarm.tools.context import ArgumentsError, ToolFailure

_HITS = 5
"""Maximum number of matches in a storage."""


def _has_agents(chat: ChatContext) -> bool:
    return len(chat.session.swarm.agents) > 1


def _check_agent(swarm: Swarm, argument: str) -> None:
    if argument:
        swarm.agent(argument)


def _state_names(swarm: Swarm) -> list[str]:
    return [state.name for state in swarm.states]


def _storage_names(swarm: Swarm) -> list[str]:
    return [storage.name for storage in swarm.storages]


def _check_state(swarm: Swarm, argument: str) -> None:
    if argument:
        _check_declared(swarm, "state", argument, _state_names(swarm))


def _check_storage(swarm: Swarm, argument: str) -> None:
    if argument:
        _check_declared(swarm, "storage", argument.partition(" ")[0], _storage_names(swarm))


def _check_call(swarm: Swarm, argument: str) -> None:
    names = [tool.name for agent in swarm.agents for tool in agent.own_tools]
    _check_declared(swarm, "tool", _split_call(argument, names)[0], names)


def _check_declared(swarm: Swarm, kind: str, name: str, names: list[str]) -> None:
    if name not in names:
        raise UsageError(f"swarm {swarm.name!r} has no {kind} {name!r}; {nearest(name, names)}")


async def _other_agents(chat: ChatContext, typed: str) -> list[Choice]:
    active = chat.session.navigation.active
    return [(agent.name, agent.description) for agent in chat.session.swarm.agents if agent.name != active]


async def _states(chat: ChatContext, typed: str) -> list[Choice]:
    return [(name, "") for name in _state_names(chat.session.swarm)]


async def _storages(chat: ChatContext, typed: str) -> list[Choice]:
    return [(name, "") for name in _storage_names(chat.session.swarm)]


async def _calls(chat: ChatContext, typed: str) -> list[Choice]:
    """Offer the tools of the active agent; after a name, an object to fill in, or one more argument."""
    tools = (await chat.session.conversation.toolset()).tools
    name, space, arguments = _split_call(typed, tools)
    if not space:
        return [(tool.name, tool.signature.description.split("\n")[0]) for tool in tools.values()]
    if name not in tools:
        return []
    parameters = tools[name].signature.parameters
    objects = continued(parameters, arguments)
    if not objects:
        objects = [(skeleton(parameters), names_line(parameters))]
        objects += [] if parameters.get("required") else continued(parameters, "{")
    return [(f"{name} {text}", about) for text, about in objects]


def _split_call(typed: str, tools: Iterable[str]) -> tuple[str, str, str]:
    """Split ``typed`` into the name of a tool, which may contain spaces, the space after it, and its arguments."""
    names = [name for name in tools if f"{typed} ".startswith(f"{name} ")]
    name = max(names, key=len, default=typed.partition(" ")[0])
    return name, typed[len(name) :][:1], typed[len(name) + 1 :]


async def _entries(chat: ChatContext, typed: str) -> list[Choice]:
    """Offer the names of the client's memory; after a name, its value to change."""
    memory = await chat.session.primitives.memory.all()
    values = {name: json.dumps(value, ensure_ascii=False) for name, value in memory.items()}
    name, space, _ = typed.partition(" ")
    if name == "--clear":
        return [(f"--clear {each}", value) for each, value in values.items()]
    if space:
        return [(f"{name} {values[name]}", "the current value")] if name in values else []
    return [*values.items(), *([("--clear", "forget an entry")] if values else [])]


@Command("agents", "list the agents; * marks the active one", is_useful=_has_agents)
async def _agents(chat: ChatContext, argument: str) -> str:
    agents, active = chat.session.swarm.agents, chat.session.navigation.active
    width = max(len(agent.name) for agent in agents)
    return "\n".join(
        f"{'*' if agent.name == active else ' '} {agent.name:<{width}}  {agent.description}".rstrip()
        for agent in agents
    )


@Command("agent", "switch to this agent", "NAME", check=_check_agent, completes=_other_agents, is_useful=_has_agents)
async def _agent(chat: ChatContext, argument: str) -> str:
    if not argument:
        return f"active agent: {chat.session.agent.name}"
    await chat.session.go_to(argument)
    return _stack_line(chat.session)


@Command("back", "go back to the previous agent", is_useful=lambda chat: bool(chat.session.navigation.stack))
async def _back(chat: ChatContext, argument: str) -> str:
    if not chat.session.navigation.stack:
        raise UsageError("no previous agent")
    await chat.session.go_back()
    return _stack_line(chat.session)


@Command("stack", "show the active agent and those before it", is_useful=_has_agents)
async def _stack(chat: ChatContext, argument: str) -> str:
    return _stack_line(chat.session)


def _stack_line(session: Session) -> str:
    return " ‹ ".join((session.agent.name, *reversed(session.navigation.stack)))


@Command("tools", "list the tools of the active agent")
async def _tools(chat: ChatContext, argument: str) -> str:
    toolset = await chat.session.conversation.toolset()
    lines = [tool_line(tool.definition["function"]) for tool in toolset.tools.values()]
    return "\n".join([*lines, *toolset.handoffs]) or f"{chat.session.agent.name} has no tools"


@Command(
    "state",
    "show the values of the swarm's states",
    "[NAME]",
    check=_check_state,
    completes=_states,
    is_useful=lambda chat: bool(chat.session.swarm.states),
)
async def _state(chat: ChatContext, argument: str) -> str:
    lines = []
    for name in [argument] if argument else _state_names(chat.session.swarm):
        state = chat.session.primitives.state(name)
        value = json.loads(state.definition.encode(await state.get()))
        lines.append(f"{name}: {json.dumps(value, ensure_ascii=False)}")
    return "\n".join(lines) or f"swarm {chat.session.swarm.name} has no states"


@Command(
    "memory", "show, set or forget what agents remember about you", "[NAME [VALUE]] or --clear NAME", completes=_entries
)
async def _memory(chat: ChatContext, argument: str) -> str:
    memory = chat.session.primitives.memory
    name, _, value = argument.partition(" ")
    value = value.strip()
    if name == "--clear":
        entries = await memory.all()
        if value not in entries:
            raise UsageError(f"no {value!r} in your memory; {nearest(value, entries)}")
        await chat.session.change_memory(lambda memory: memory.remove(value))
        return f"{value} is forgotten"
    if value:
        await chat.session.change_memory(lambda memory: memory.set(name, json_or_text(value)))
    entries = await memory.all()
    selected = {name: entries.get(name)} if name else entries
    lines = [f"{key}: {json.dumps(item, ensure_ascii=False)}" for key, item in selected.items()]
    return "\n".join(lines) or "memory is empty"


@Command(
    "storage",
    "show the items of a storage, or the best matches",
    "NAME [SEARCH]",
    check=_check_storage,
    completes=_storages,
    is_useful=lambda chat: bool(chat.session.swarm.storages),
)
async def _storage(chat: ChatContext, argument: str) -> str:
    name, _, search = argument.partition(" ")
    if not name:
        names = ", ".join(_storage_names(chat.session.swarm))
        return f"storages: {names}" if names else f"swarm {chat.session.swarm.name} has no storages"
    storage = chat.session.primitives.storage(name)
    if search.strip():
        hits = await storage.search(search.strip(), _HITS)
        lines = [f"{hit.score:.2f}  {as_line(to_json(hit.item))}" for hit in hits]
    else:
        lines = [f"{key}: {as_line(to_json(item))}" for key, item in await storage.items()]
    return "\n".join(lines) or "no items"


@Command(
    "call",
    "call a tool of the active agent yourself; its changes are stored",
    "TOOL [JSON]",
    check=_check_call,
    completes=_calls,
    is_useful=lambda chat: bool(chat.session.agent.own_tools),
)
async def _call(chat: ChatContext, argument: str) -> CommandResult:
    session = chat.session
    tools = (await session.conversation.toolset()).tools
    name, _, text = _split_call(argument, tools)
    arguments = text.strip() or "{}"
    if name not in tools:
        raise UsageError(f"{session.agent.name} cannot call {name!r} now; {nearest(name, tools)}")
    try:
        values = tools[name].read_arguments(arguments)
    except ArgumentsError as error:
        raise UsageError(f"{name}: {error}") from error
    if not await approves(session.conversation, tools[name], ToolCall("by hand", name, arguments)):
        raise UsageError(f"{name} was not allowed: /approve shows what decides that")
    try:
        call = await session.call_tool(tools[name], values, agent=session.agent.name)
    except ToolFailure as error:
        raise ToolFailedError(str(error)) from error
    if call.handoff_to is not None and call.handoff_to != session.agent.name:
        await session.go_to(call.handoff_to)
        return CommandResult(page=call.result, remark=f"{session.agent.name} is now active")
    return CommandResult(page=call.result)
