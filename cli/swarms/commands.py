"""``swarmchat agents``, ``tools`` and ``init``: show the parts of a swarm, call its tools, write a new one."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from swarmchat.cli.app import options
from swarmchat.cli.app.command_runner import run_and_exit
from swarmchat.cli.app.typer_app import Commands

if TYPE_CHECKING:
    from swarmchat.swarm.agents.agent import Agent, Swarm

agents_app = Commands(help="See the agents of a swarm.", no_args_is_help=True)
tools_app = Commands(help="See and try the tools of a swarm.", no_args_is_help=True)


@agents_app.command("list")
@options.settings("swarm", "profile")
def list_agents(*, flags: options.Flags, as_json: options.Json = False) -> None:
    """List the agents; a star marks the default one."""

    def show(swarm: "Swarm") -> None:
        agents = [_about(swarm, agent) for agent in swarm.agents]
        if as_json:
            print(json.dumps(agents, ensure_ascii=False, indent=2))
            return
        for agent in agents:
            star = "*" if agent["default"] else " "
            print(f"{star} {agent['name']}" + (f"  {agent['description']}" if agent["description"] else ""))
            for kind in ("tools", "handoffs"):
                if agent[kind]:
                    print(f"    {kind}: {', '.join(agent[kind])}")

    _run_on_swarm(flags, show)


@agents_app.command("show")
@options.settings("swarm", "profile")
def show_agent(
    name: Annotated[str, typer.Argument(help="Agent.")], *, flags: options.Flags, as_json: options.Json = False
) -> None:
    """Show one agent: its instructions, tools and handoffs."""

    def show(swarm: "Swarm") -> None:
        agent = swarm.agent(name)
        about = _about(swarm, agent)
        texts = [
            text if isinstance(text, str) else f"(made by {text.__name__})" for text in (agent.prompt, *agent.system)
        ]
        if as_json:
            definitions = [tool.definition for tool in agent.own_tools]
            print(json.dumps({**about, "system": texts, "tools": definitions}, ensure_ascii=False, indent=2))
            return
        print(f"{about['name']}" + (f"  {about['description']}" if about["description"] else ""))
        for text in texts:
            print(f"\n{text}")
        for tool in agent.own_tools:
            first = tool.signature.description.split("\n")[0]
            print(f"\n  {tool.name}({', '.join(tool.signature.parameters['properties'])})  {first}".rstrip())
        if agent.handoffs:
            print(f"\n  hands over to {', '.join(agent.handoffs)}")

    _run_on_swarm(flags, show)


@agents_app.command("graph")
@options.settings("swarm", "profile")
def graph(
    *,
    flags: options.Flags,
    mermaid: Annotated[bool, typer.Option("--mermaid", help="Print it as a Mermaid flowchart.")] = False,
) -> None:
    """Show which agents hand over to which."""

    def show(swarm: "Swarm") -> None:
        from swarmchat.cli.swarms.graph import as_mermaid, as_tree

        print(as_mermaid(swarm) if mermaid else as_tree(swarm))

    _run_on_swarm(flags, show)


@tools_app.command("list")
@options.settings("swarm", "profile")
def list_tools(*, flags: options.Flags, as_json: options.Json = False) -> None:
    """List the tools, and the agents that have them."""

    def show(swarm: "Swarm") -> None:
        by_name: dict[str, Any] = {}
        for agent in swarm.agents:
            for tool in agent.own_tools:
                by_name.setdefault(tool.name, {**tool.definition["function"], "agents": []})["agents"].append(
                    agent.name
                )
        if as_json:
            print(json.dumps(list(by_name.values()), ensure_ascii=False, indent=2))
            return
        for name, tool in by_name.items():
            first = tool.get("description", "").split("\n")[0]
            print(f"{name}({', '.join(tool['parameters']['properties'])})  {first}".rstrip())
            print(f"    {', '.join(tool['agents'])}")

    _run_on_swarm(flags, show)


@tools_app.command("call")
@options.settings("swarm", "session", *options.STORE)
def call_tool(
    name: Annotated[str, typer.Argument(help="Tool.")],
    arguments: Annotated[str, typer.Argument(help='A JSON object, as in {"about": "the moon"}.')] = "{}",
    session: Annotated[
        str | None, typer.Option("-s", "--session", help="Session whose states the tool reads and changes.")
    ] = None,
    *,
    flags: options.Flags,
) -> None:
    """Call a tool and print its result. Without -s, in a temporary session."""
    from swarmchat.cli.swarms.tool_call import call

    if session is None:
        flags = {**flags, "backend": "memory"}
    run_and_exit(lambda: call(flags, name, arguments, session))


def init(folder: Annotated[Path, typer.Argument(help="Folder to write to; created if missing.")] = Path()) -> None:
    """Write a small swarm that runs, as a starting point.

    \b
    swarmchat init bakery && swarmchat -S bakery
    """

    async def write() -> None:
        from swarmchat.cli.swarms.scaffold import write_template

        for path in write_template(folder):
            print(path)
        print(f"try it: swarmchat chat -S {folder}")

    run_and_exit(write)


def _about(swarm: "Swarm", agent: "Agent") -> dict[str, Any]:
    return {
        "name": agent.name,
        "default": agent.name == swarm.default,
        "description": agent.description,
        "tools": [tool.name for tool in agent.own_tools],
        "handoffs": list(agent.handoffs),
        "model": agent.model,
    }


def _run_on_swarm(flags: options.Flags, show: Callable[["Swarm"], None]) -> NoReturn:
    async def run() -> None:
        from swarmchat.cli.settings import wiring

        swarm = wiring.make_swarm(wiring.apply_settings(flags))
        try:
            show(swarm)
        finally:
            await wiring.close_swarm(swarm)

    run_and_exit(run)
