"""``swarmchat tools call``: call one tool by hand."""

import sys
import traceback

from swarmchat.cli.app.options import Flags
from swarmchat.cli.errors import NotFoundError, ToolFailedError, UsageError
from swarmchat.cli.inspection.reader import open_reader
from swarmchat.cli.settings import wiring
from swarmchat.cli.terminal.sanitize import sanitize
from swarmchat.swarm.common.names import nearest
from swarmchat.swarm.session.session import Session
from swarmchat.swarm.tools.context import ArgumentsError, ToolFailure


async def call(flags: Flags, name: str, arguments: str, session_name: str | None) -> None:
    """Call the tool ``name`` and print its result; its changes are stored in the session. Raises CliError."""
    async with open_reader(flags) as reader:
        owners = {tool.name: (agent, tool) for agent in reader.swarm.agents for tool in agent.own_tools}
        if name not in owners:
            raise NotFoundError(f"swarm {reader.swarm.name!r} has no tool {name!r}; {nearest(name, owners)}")
        agent, tool = owners[name]
        try:
            values = tool.read_arguments(arguments)
        except ArgumentsError as error:
            raise UsageError(f"{name}: {error}") from error
        model = wiring.make_model(reader.settings, interactive=False, swarm=reader.swarm)
        async with await Session.open(
            reader.backend,
            model,
            client=reader.client,
            name=session_name,
            swarm=reader.swarm,
            settings=wiring.session_settings(reader.settings),
        ) as session:
            # No approval is needed: the user typed the call. A handoff has no meaning outside of a chat.
            try:
                call = await session.call_tool(tool, values, agent=agent.name)
            except ToolFailure as error:
                # Whoever calls a tool by hand is likely its author.
                print(sanitize("".join(traceback.format_exception(error.__cause__))), end="", file=sys.stderr)
                raise ToolFailedError(str(error)) from error
        print(sanitize(call.result))
