"""The slash command ``/mcp``: the MCP servers of the chat."""

from collections.abc import Mapping

from swarmchat.cli.errors import UsageError
from swarmchat.cli.mcp.listing import log_lines, server_lines
from swarmchat.cli.slash.chat_context import ChatContext
from swarmchat.cli.slash.registry import Choice, Command
from swarmchat.swarm.common.names import nearest
from swarmchat.swarm.mcp.offers import Offers


def _offers(chat: ChatContext) -> Mapping[str, Offers]:
    servers = chat.session.swarm.mcp_servers
    return {} if servers is None else servers.offers


async def _choices(chat: ChatContext, typed: str) -> list[Choice]:
    names = list(_offers(chat))
    return [
        *((name, "list what it offers") for name in names),
        *((f"restart {name}", "start it again") for name in names),
        *((f"log {name}", "show its log") for name in names),
    ]


@Command(
    "mcp",
    "show the MCP servers with their tools, resources and prompts, or one; start it again; show its log",
    "[[restart | log] NAME]",
    completes=_choices,
    is_useful=lambda chat: bool(_offers(chat)),
)
async def _mcp(chat: ChatContext, argument: str) -> str:
    servers = _offers(chat)
    if not argument:
        return "\n".join([line for each in servers.values() for line in await server_lines(each)]) or "no MCP servers"
    action, _, name = argument.partition(" ") if " " in argument else ("", "", argument)
    if action not in ("", "restart", "log"):
        raise UsageError(f"{argument!r}: expected NAME, restart NAME or log NAME")
    if (name := name.strip()) not in servers:
        raise UsageError(f"no MCP server {name!r}; {nearest(name, servers)}")
    connection = servers[name].connection
    if action == "log":
        lines = [*(f"  stderr · {line}" for line in connection.error_lines), *log_lines(connection)]
        return "\n".join(lines) or f"{name} has logged nothing"
    if action == "restart":
        await connection.close()
        connection.start()
        await connection.tools()
    return "\n".join(await server_lines(servers[name], entries=None))
