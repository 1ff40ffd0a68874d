"""``swarmchat agents``, ``tools`` and ``init``: what a swarm consists of."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from swarmchat.cli.app import options
from swarmchat.cli.app.typer_app import Commands

if TYPE_CHECKING:
    from swarmchat.swarm.agents.agent import Agent, Swarm

agents_app = Commands(help="See the agents of a swarm.", no_args_is_help=True)
tools_app = Commands(help="See and try the tools of a swarm.", no_args_is_help=True)


@agents_app.command("list")
def list_agents(
    swarm: options.SwarmName = None, profile: options.Profile = None, as_json: options.Json = False
) -> None:
    """List the agents; the default one has a star."""

    def show(found: "Swarm") -> None:
        agents = [_about(found, agent) for agent in found.agents]
        if as_json:
            print(json.dumps(agents, ensure_ascii=False, indent=2))
            return
        for agent in agents:
            star = "*" if agent["default"] else " "
            print(f"{star} {agent['name']}" + (f"  {agent['description']}" if agent["description"] else ""))
            for kind in ("tools", "handoffs"):
                if agent[kind]:
                    print(f"    {kind}: {', '.join(agent[kind])}")

    _with_swarm(show, swarm=swarm, profile=profile)


@agents_app.command("show")
def show_agent(
    name: Annotated[str, typer.Argument(help="Which agent.")],
    swarm: options.SwarmName = None,
    profile: options.Profile = None,
    as_json: options.Json = False,
) -> None:
    """Show one agent: its instructions, tools and handoffs."""

    def show(found: "Swarm") -> None:
        agent = found.agent(name)
        about = _about(found, agent)
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

    _with_swarm(show, swarm=swarm, profile=profile)


@agents_app.command("graph")
def graph(
    swarm: options.SwarmName = None,
    profile: options.Profile = None,
    mermaid: Annotated[bool, typer.Option("--mermaid", help="Print it as a Mermaid flowchart.")] = False,
) -> None:
    """Show who hands over to whom."""

    def show(found: "Swarm") -> None:
        from swarmchat.cli.swarms.graph import as_mermaid, as_tree

        print(as_mermaid(found) if mermaid else as_tree(found))

    _with_swarm(show, swarm=swarm, profile=profile)


@tools_app.command("list")
def list_tools(swarm: options.SwarmName = None, profile: options.Profile = None, as_json: options.Json = False) -> None:
    """List the tools and which agents have them."""

    def show(found: "Swarm") -> None:
        by_name: dict[str, Any] = {}
        for agent in found.agents:
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

    _with_swarm(show, swarm=swarm, profile=profile)


@tools_app.command("call")
def call_tool(
    name: Annotated[str, typer.Argument(help="Which tool.")],
    arguments: Annotated[str, typer.Argument(help='A JSON object, as in {"about": "the moon"}.')] = "{}",
    swarm: options.SwarmName = None,
    session: Annotated[str | None, typer.Option("-s", "--session", help="With the states of this session.")] = None,
    backend: options.Backend = None,
    client: options.Client = None,
    redis_url: options.RedisUrl = None,
    data_dir: options.DataDir = None,
    profile: options.Profile = None,
) -> None:
    """Call a tool and print its result. Without -s, in a session that is gone afterwards."""
    from swarmchat.cli.app.runner import run_to_exit_code
    from swarmchat.cli.swarms.tool_call import call

    kept = backend if session is not None else "memory"
    given = options.flags(
        swarm=swarm, backend=kept, client=client, redis_url=redis_url, data_dir=data_dir, profile=profile
    )
    raise typer.Exit(run_to_exit_code(lambda: call(given, name, arguments, session)))


def init(folder: Annotated[Path, typer.Argument(help="Where to write it; made if missing.")] = Path()) -> None:
    """Write a small swarm that runs, as a place to start from."""
    from swarmchat.cli.app.runner import run_to_exit_code
    from swarmchat.cli.swarms.scaffold import write_template

    async def write() -> None:
        for path in write_template(folder):
            print(path)
        print(f"try it: swarmchat chat -S {folder}")

    raise typer.Exit(run_to_exit_code(write))


def _about(swarm: "Swarm", agent: "Agent") -> dict[str, Any]:
    return {
        "name": agent.name,
        "default": agent.name == swarm.default,
        "description": agent.description,
        "tools": [tool.name for tool in agent.own_tools],
        "handoffs": list(agent.handoffs),
        "model": agent.model,
    }


def _with_swarm(show: Any, **given: object) -> None:
    from swarmchat.cli.app.runner import run_to_exit_code
    from swarmchat.cli.settings import wiring

    async def run() -> None:
        show(wiring.make_swarm(wiring.apply_settings(given)))

    raise typer.Exit(run_to_exit_code(run))
