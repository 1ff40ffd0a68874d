"""Slash commands about the swarm: agents, tools, and what is kept beside the conversation."""

import json
from typing import Any

from swarmchat.cli.errors import ToolFailedError, UsageError
from swarmchat.cli.slash.arguments import agents, calls, remembered, states, storages
from swarmchat.cli.slash.chat_context import ChatContext
from swarmchat.cli.slash.registry import Outcome, command
from swarmchat.cli.terminal.printing import as_line
from swarmchat.swarm.agents.agent import Swarm
from swarmchat.swarm.common.names import nearest
from swarmchat.swarm.models.base import ToolCall
from swarmchat.swarm.session.session import Session
from swarmchat.swarm.tools.context import ArgumentsError, ToolFailure

_HITS = 5
"""How many items of a storage are found."""


def _has_agents(chat: ChatContext) -> bool:
    return len(chat.session.swarm.agents) > 1


def _check_agent(swarm: Swarm, argument: str) -> None:
    if argument:
        swarm.agent(argument)


def _check_state(swarm: Swarm, argument: str) -> None:
    names = [state.name for state in swarm.states]
    if argument and argument not in names:
        raise UsageError(f"swarm {swarm.name!r} declares no state {argument!r}; {nearest(argument, names)}")


def _check_storage(swarm: Swarm, argument: str) -> None:
    name, names = argument.partition(" ")[0], [storage.name for storage in swarm.storages]
    if name and name not in names:
        raise UsageError(f"swarm {swarm.name!r} declares no storage {name!r}; {nearest(name, names)}")


def _check_call(swarm: Swarm, argument: str) -> None:
    name, names = argument.partition(" ")[0], [tool.name for agent in swarm.agents for tool in agent.own_tools]
    if name not in names:
        raise UsageError(f"swarm {swarm.name!r} has no tool {name!r}; {nearest(name, names)}")


def _as_line(item: Any) -> str:
    from pydantic_core import to_jsonable_python

    return as_line(to_jsonable_python(item, fallback=str))


@command("agents", "list the agents; * marks the active one", when=_has_agents)
async def _agents(chat: ChatContext, argument: str) -> str:
    agents, active = chat.session.swarm.agents, chat.session.navigation.active
    width = max(len(agent.name) for agent in agents)
    return "\n".join(
        f"{'*' if agent.name == active else ' '} {agent.name:<{width}}  {agent.description}".rstrip()
        for agent in agents
    )


@command(
    "agent",
    "switch to this agent",
    arguments="NAME",
    check=_check_agent,
    completes=agents,
    when=_has_agents,
)
async def _agent(chat: ChatContext, argument: str) -> str:
    if not argument:
        return f"{chat.session.agent.name} is talking"
    await chat.session.go_to(argument)
    return _stack_line(chat.session)


@command("back", "go back to the previous agent", when=lambda chat: bool(chat.session.navigation.stack))
async def _back(chat: ChatContext, argument: str) -> str:
    if not chat.session.navigation.stack:
        raise UsageError("no previous agent")
    await chat.session.go_back()
    return _stack_line(chat.session)


@command("stack", "show the active agent and those before it", when=_has_agents)
async def _stack(chat: ChatContext, argument: str) -> str:
    return _stack_line(chat.session)


@command("tools", "list the tools of the active agent")
async def _tools(chat: ChatContext, argument: str) -> str:
    lines = []
    toolset = await chat.session.conversation.toolset()
    for tool in toolset.tools.values():
        first = tool.signature.description.split("\n")[0]
        lines.append(f"{tool.name}({', '.join(tool.signature.parameters['properties'])})  {first}".rstrip())
    lines += toolset.handoffs
    return "\n".join(lines) or f"{chat.session.agent.name} has no tools"


@command(
    "state",
    "show the values of the swarm's states",
    arguments="[NAME]",
    check=_check_state,
    completes=states,
    when=lambda chat: bool(chat.session.swarm.states),
)
async def _state(chat: ChatContext, argument: str) -> str:
    names = [argument] if argument else [state.name for state in chat.session.swarm.states]
    lines = []
    for name in names:
        state = chat.session.primitives.state(name)
        value = json.loads(state.definition.encode(await state.get()))
        lines.append(f"{name}: {json.dumps(value, ensure_ascii=False)}")
    return "\n".join(lines) or f"swarm {chat.session.swarm.name} has no states"


@command(
    "memory",
    "show, set or forget what agents remember about you",
    arguments="[NAME [VALUE]] or --clear NAME",
    completes=remembered,
)
async def _memory(chat: ChatContext, argument: str) -> str:
    memory = chat.session.primitives.memory
    name, _, value = argument.partition(" ")
    if name == "--clear":
        if value.strip() not in (kept := await memory.all()):
            raise UsageError(f"nothing is remembered as {value.strip()!r}; {nearest(value.strip(), kept)}")
        await memory.remove(value.strip())
        return f"{value.strip()} is forgotten"
    if value.strip():
        try:
            await memory.set(name, json.loads(value))
        except ValueError:
            await memory.set(name, value.strip())
    kept = await memory.all()
    shown = {name: kept.get(name)} if name else kept
    return "\n".join(f"{key}: {json.dumps(item, ensure_ascii=False)}" for key, item in shown.items()) or "nothing yet"


@command(
    "storage",
    "show the items of a storage, or the best matches",
    arguments="NAME [SEARCH]",
    check=_check_storage,
    completes=storages,
    when=lambda chat: bool(chat.session.swarm.storages),
)
async def _storage(chat: ChatContext, argument: str) -> str:
    name, _, search = argument.partition(" ")
    if not name:
        declared = ", ".join(storage.name for storage in chat.session.swarm.storages)
        return f"storages: {declared}" if declared else f"swarm {chat.session.swarm.name} has no storages"
    storage = chat.session.primitives.storage(name)
    if search.strip():
        lines = [f"{hit.score:.2f}  {_as_line(hit.item)}" for hit in await storage.search(search.strip(), _HITS)]
    else:
        lines = [f"{each}: {_as_line(item)}" for each, item in await storage.items()]
    return "\n".join(lines) or "nothing"


@command(
    "call",
    "call a tool of the active agent yourself; its changes are stored",
    arguments="TOOL [JSON]",
    check=_check_call,
    completes=calls,
    when=lambda chat: bool(chat.session.agent.own_tools),
)
async def _call(chat: ChatContext, argument: str) -> Outcome:

    name, _, arguments = argument.partition(" ")
    return await hand_call(chat.session, name, arguments.strip() or "{}")


@command(
    "reset",
    "forget the conversation; states, memory and the log are kept",
    when=lambda chat: chat.session.last_turn > 0,
)
async def _reset(chat: ChatContext, argument: str) -> str:
    await chat.session.reset()
    return "from here on, what was said before is no longer sent"


def _stack_line(session: Session) -> str:
    return " ‹ ".join((session.agent.name, *reversed(session.navigation.stack)))


async def hand_call(session: Session, name: str, arguments: str) -> Outcome:
    """Call the tool ``name``; return its result. Raises UsageError and ToolFailedError: then nothing is changed."""
    toolset = await session.conversation.toolset()
    if name not in toolset.tools:
        raise UsageError(f"{session.agent.name} cannot call {name!r} now; {nearest(name, toolset.tools)}")
    tool = toolset.tools[name]
    try:
        values = tool.read_arguments(arguments)
    except ArgumentsError as error:
        raise UsageError(f"{name}: {error}") from error
    if not await session.conversation.approves(tool, ToolCall("by hand", name, arguments)):
        raise UsageError(f"{name} was not allowed: /approve shows what decides that")
    try:
        call = await session.call_tool(tool, values, agent=session.agent.name)
    except ToolFailure as error:
        raise ToolFailedError(str(error)) from error
    if call.handoff_to is not None and call.handoff_to != session.agent.name:
        await session.go_to(call.handoff_to)
        return Outcome(page=call.result, remark=f"{session.agent.name} is active now")
    return Outcome(page=call.result)
