"""Slash commands about the swarm: agents, tools, and what is kept beside the conversation."""

import json

from swarmchat.cli.errors import UsageError
from swarmchat.cli.registry import command
from swarmchat.swarm.agents import Swarm
from swarmchat.swarm.names_check import nearest
from swarmchat.swarm.session import Session


def _check_agent(swarm: Swarm, argument: str) -> None:
    if argument:
        swarm.agent(argument)


def _check_state(swarm: Swarm, argument: str) -> None:
    names = [state.name for state in swarm.states]
    if argument and argument not in names:
        raise UsageError(f"swarm {swarm.name!r} declares no state {argument!r}; {nearest(argument, names)}")


@command("agents", "who there is; the active one has a star")
async def _agents(session: Session, argument: str) -> str:
    width = max(len(agent.name) for agent in session.swarm.agents)
    return "\n".join(
        f"{'*' if agent.name == session.navigation.active else ' '} {agent.name:<{width}}  {agent.description}".rstrip()
        for agent in session.swarm.agents
    )


@command("agent", "NAME: let this agent go on", check=_check_agent)
async def _agent(session: Session, argument: str) -> str:
    if not argument:
        return f"{session.agent.name} is talking"
    await session.go_to(argument)
    return _stack_line(session)


@command("back", "go back to the agent before this one")
async def _back(session: Session, argument: str) -> str:
    if not session.navigation.stack:
        raise UsageError(f"there is nobody before {session.agent.name}")
    await session.go_back()
    return _stack_line(session)


@command("stack", "who is talking, and the way back")
async def _stack(session: Session, argument: str) -> str:
    return _stack_line(session)


@command("tools", "what the active agent can do")
async def _tools(session: Session, argument: str) -> str:
    lines = []
    offer = await session.offer()
    for tool in offer.tools.values():
        first = tool.signature.description.split("\n")[0]
        lines.append(f"{tool.name}({', '.join(tool.signature.parameters['properties'])})  {first}".rstrip())
    lines += offer.handoffs
    return "\n".join(lines) or f"{session.agent.name} has no tools"


@command("state", "[NAME]: what is filled in or played", check=_check_state)
async def _state(session: Session, argument: str) -> str:
    names = [argument] if argument else [state.name for state in session.swarm.states]
    lines = []
    for name in names:
        state = session.primitives.state(name)
        value = json.loads(state.definition.encode(await state.get()))
        lines.append(f"{name}: {json.dumps(value, ensure_ascii=False)}")
    return "\n".join(lines) or f"swarm {session.swarm.name} has no states"


@command("memory", "[NAME [VALUE]]: what is remembered of you, or remember something")
async def _memory(session: Session, argument: str) -> str:
    memory = session.primitives.memory
    name, _, value = argument.partition(" ")
    if value.strip():
        try:
            await memory.set(name, json.loads(value))
        except ValueError:
            await memory.set(name, value.strip())
    kept = await memory.all()
    shown = {name: kept.get(name)} if name else kept
    return "\n".join(f"{key}: {json.dumps(item, ensure_ascii=False)}" for key, item in shown.items()) or "nothing yet"


@command("reset", "begin the conversation anew; states, memory and the log stay")
async def _reset(session: Session, argument: str) -> str:
    await session.reset()
    return "from here on, what was said before is no longer sent"


def _stack_line(session: Session) -> str:
    return " ‹ ".join((session.agent.name, *reversed(session.navigation.stack)))
