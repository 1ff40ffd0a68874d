"""``swarmchat agents``, ``tools``, ``check`` and ``init``: show, try, check and write swarms."""

import sys
import traceback
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from swarmchat.cli.app import options
from swarmchat.cli.app.command_runner import run_and_exit
from swarmchat.cli.app.typer_app import Commands
from swarmchat.cli.errors import ConfigError, NotFoundError, ToolFailedError, UsageError
from swarmchat.cli.inspection.commands import run_on_reader
from swarmchat.cli.terminal.printing import as_line, print_json
from swarmchat.cli.terminal.sanitize import sanitize

if TYPE_CHECKING:
    from swarmchat.cli.inspection.reader import StoreReader
    from swarmchat.swarm.agents.agent import Agent, Swarm

agents_app = Commands(help="Show the agents of a swarm.", no_args_is_help=True)
tools_app = Commands(help="List and try the tools of a swarm.", no_args_is_help=True)


@agents_app.command("list")
@options.settings("swarm", "profile")
def list_agents(*, flags: options.Flags, as_json: options.Json = False) -> None:
    """List the agents; a star marks the default one."""

    def show(swarm: "Swarm") -> None:
        if as_json:
            print_json([_fields(swarm, agent) for agent in swarm.agents])
            return
        for agent in swarm.agents:
            print(f"{'*' if agent.name == swarm.initial else ' '} {_head(agent)}")
            tools = [tool.name for tool in agent.own_tools if not tool.gives_task]
            tasks = [tool.agent_name for tool in agent.agent_tools]
            for kind, names in {"tools": tools, "agents as tools": tasks, "handoffs": agent.targets}.items():
                if names:
                    print(f"    {kind}: {', '.join(names)}")

    _run_on_swarm(flags, show)


@agents_app.command("show")
@options.settings("swarm", "profile")
def show_agent(
    name: Annotated[str, typer.Argument(help="Agent.")], *, flags: options.Flags, as_json: options.Json = False
) -> None:
    """Show one agent: its instructions, tools and handoffs."""

    def show(swarm: "Swarm") -> None:
        from swarmchat.cli.swarms.pages import tool_limits, tool_line

        agent = swarm.agent(name)
        parts = (agent.prompt, *agent.system, *([agent.reminder] if agent.reminder else []))
        texts = [text if isinstance(text, str) else f"(made by {text.__name__})" for text in parts]
        definitions = [tool.definition for tool in agent.own_tools]
        if as_json:
            print_json({**_fields(swarm, agent), "system": texts, "tools": definitions})
            return
        print(_head(agent))
        for text in texts:
            print(f"\n{sanitize(text)}")
        for definition in definitions:
            print(f"\n  {tool_line(definition['function'])}")
        for tool in agent.agent_tools:
            print(f"\n  gives tasks to {tool.agent_name}{as_line(tool_limits(tool))}")
        if agent.targets:
            print(f"\n  hands over to {', '.join(agent.targets)}")

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
        from swarmchat.cli.swarms.pages import as_mermaid, as_tree

        print(as_mermaid(swarm) if mermaid else as_tree(swarm))

    _run_on_swarm(flags, show)


@tools_app.command("list")
@options.settings("swarm", "profile")
def list_tools(*, flags: options.Flags, as_json: options.Json = False) -> None:
    """List the tools, and the agents that have them."""

    def show(swarm: "Swarm") -> None:
        from swarmchat.cli.swarms.pages import tool_line

        tools: dict[str, Any] = {}
        for agent in swarm.agents:
            for tool in agent.own_tools:
                tools.setdefault(tool.name, {**tool.definition["function"], "agents": []})["agents"].append(agent.name)
        if as_json:
            print_json(list(tools.values()))
            return
        for function in tools.values():
            print(f"{tool_line(function)}\n    {', '.join(function['agents'])}")

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

    async def work(reader: "StoreReader") -> None:
        from swarmchat.cli.settings import wiring
        from swarmchat.cli.settings.models import make_model
        from swarmchat.swarm.common.names import nearest
        from swarmchat.swarm.session.session import Session
        from swarmchat.swarm.tools.context import ArgumentsError, ToolFailure

        swarm = reader.swarm
        owners = {tool.name: (agent, tool) for agent in swarm.agents for tool in agent.own_tools}
        if name not in owners:
            raise NotFoundError(f"swarm {swarm.name!r} has no tool {name!r}; {nearest(name, owners)}")
        agent, tool = owners[name]
        try:
            values = tool.read_arguments(arguments)
        except ArgumentsError as error:
            raise UsageError(f"{name}: {error}") from error
        model = make_model(reader.settings, interactive=False, swarm=swarm)
        settings = wiring.session_settings(reader.settings)
        async with await Session.open(
            reader.backend, model, client=reader.client, name=session, swarm=swarm, settings=settings
        ) as opened:
            # No approval is needed: the user typed the call. A handoff has no meaning outside of a chat.
            try:
                call = await opened.call_tool(tool, values, agent=agent.name)
            except ToolFailure as error:
                if error.__cause__ is not None:
                    # Whoever calls a tool by hand is likely its author.
                    print(sanitize("".join(traceback.format_exception(error.__cause__))), end="", file=sys.stderr)
                raise ToolFailedError(str(error)) from error
        print(sanitize(call.result))

    # Without a session to change, nothing is stored.
    run_on_reader(flags if session is not None else {**flags, "backend": "memory"}, work)


@options.settings("swarm", "profile")
def check(*, flags: options.Flags, as_json: options.Json = False) -> None:
    """Check a swarm for mistakes, without running a model. Exit code 78 if it has errors; warnings do not count.

    \b
    swarmchat check -S bakery
    """

    def show(swarm: "Swarm") -> int:
        from swarmchat.cli.settings import wiring
        from swarmchat.swarm.agents.swarm_check import check_swarm
        from swarmchat.swarm.common.bounds import MAX_TASK_DEPTH

        settings = wiring.read_settings(flags)
        depth = (settings.tasks or {}).get("depth", MAX_TASK_DEPTH)
        findings = check_swarm(swarm, {**settings.approve_at_least, **(settings.approve or {})}, depth)
        if as_json:
            print_json([asdict(finding) for finding in findings])
        else:
            for finding in findings:
                line = f"{finding.severity}: {finding.where}: {finding.problem}; {finding.advice}"
                print(sanitize(" ".join(line.split())))
            if not findings:
                print(f"swarm {swarm.name}: no mistakes found")
        return ConfigError.exit_code if any(finding.severity == "error" for finding in findings) else 0

    _run_on_swarm(flags, show)


def init(folder: Annotated[Path, typer.Argument(help="Folder to write to; created if missing.")] = Path()) -> None:
    """Write a small working swarm as a starting point.

    \b
    swarmchat init bakery && swarmchat -S bakery
    """

    async def write() -> None:
        templates = Path(__file__).parent
        files = {"swarm.toml": templates / "template.toml", "tools.py": templates / "template_tools.py"}
        for path in map(folder.joinpath, files):
            if path.exists():
                raise ConfigError(f"{path} already exists: choose another folder")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name, template in files.items():
                # Not through a symbolic link that leads nowhere yet.
                with (folder / name).open("x", encoding="utf-8") as file:
                    file.write(template.read_text("utf-8"))
                print(folder / name)
        except OSError as error:
            raise ConfigError(f"{folder} cannot be written: {error.strerror}") from error
        print(f"try it: swarmchat chat -S {folder}")

    run_and_exit(write)


def _head(agent: "Agent") -> str:
    return f"{agent.name}  {as_line(agent.description)}".rstrip()


def _fields(swarm: "Swarm", agent: "Agent") -> dict[str, Any]:
    """Return the JSON description of ``agent``."""
    return {
        "name": agent.name,
        "default": agent.name == swarm.initial,
        "description": agent.description,
        "tools": [tool.name for tool in agent.own_tools],
        "agents": [tool.agent_name for tool in agent.agent_tools],
        "handoffs": list(agent.targets),
        "model": agent.model,
    }


def _run_on_swarm(flags: options.Flags, show: Callable[["Swarm"], int | None]) -> NoReturn:
    """Run ``show`` on the swarm that ``flags`` choose; exit with its code, or with that of an error."""

    async def run() -> int | None:
        from swarmchat.cli.settings import wiring

        swarm = wiring.make_swarm(wiring.apply_settings(flags))
        try:
            return show(swarm)
        finally:
            await wiring.close_swarm(swarm)

    run_and_exit(run)
