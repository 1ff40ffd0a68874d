"""The slash command ``/mcp``: the MCP servers of the chat."""

from swarmchat.cli.errors import UsageError
from swarmchat.cli.mcp.listing import server_lines
from swarmchat.cli.slash.chat_context import ChatContext
from swarmchat.cli.slash.registry import Choice, Command
from swarmchat.swarm.common.names import nearest
from swarmchat.swarm.mcp.connection import Connection


def _connections(chat: ChatContext) -> dict[str, Connection]:
    servers = chat.session.swarm.mcp_servers
    return {} if servers is None else servers.connections


async def _names(chat: ChatContext, typed: str) -> list[Choice]:
    return [(f"restart {name}", "start it again") for name in _connections(chat)]


@Command(
    "mcp",
    "show the MCP servers and their tools, or start one again",
    "[restart NAME]",
    completes=_names,
    is_useful=lambda chat: bool(_connections(chat)),
)
async def _mcp(chat: ChatContext, argument: str) -> str:
    connections = _connections(chat)
    if argument:
        word, _, name = argument.partition(" ")
        if word != "restart" or name.strip() not in connections:
            problem = f"no MCP server {name.strip()!r}; {nearest(name.strip(), connections)}"
            raise UsageError(problem if word == "restart" and name else f"{argument!r}: expected restart NAME")
        connection = connections[name.strip()]
        await connection.close()
        connection.start()
        await connection.tools()
        return "\n".join(server_lines(connection))
    return "\n".join(line for each in connections.values() for line in server_lines(each)) or "no MCP servers"
