"""``swarmchat mcp``: the MCP servers in your settings, their tools, and logins."""

from typing import Annotated

import typer
from swarmchat.cli.app import options
from swarmchat.cli.app.command_runner import run_and_exit, run_interruptible
from swarmchat.cli.app.typer_app import Commands

mcp_app = Commands(help="List, test, add and remove MCP servers, which offer tools.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The server's name.")]
Names = Annotated[list[str] | None, typer.Argument(help="Servers; default: all.")]


@mcp_app.command("list")
@options.settings("swarm", "profile")
def list_servers(*, flags: options.Flags, as_json: options.Json = False) -> None:
    """List the servers in your settings and in the swarm, without starting them.

    \b
    swarmchat mcp list
    swarmchat mcp list -S shop --json
    """
    from swarmchat.cli.mcp.listing import show_servers

    run_and_exit(lambda: show_servers(flags, as_json))


@mcp_app.command("test")
@options.settings("swarm", "profile")
def try_servers(names: Names = None, *, flags: options.Flags, as_json: options.Json = False) -> None:
    """Start servers and list their tools. Exit code 69 if one of them cannot be reached.

    \b
    swarmchat mcp test
    swarmchat mcp test time
    """
    from swarmchat.cli.mcp.listing import show_tools

    run_interruptible(lambda: show_tools(flags, names or [], as_json))


@mcp_app.command("add")
def add(
    name: Name,
    command: Annotated[list[str] | None, typer.Argument(help="The program and its arguments, after --.")] = None,
    *,
    url: Annotated[str | None, typer.Option(help="Address of a server with streamable HTTP.")] = None,
    env: Annotated[
        list[str] | None, typer.Option("--env", help="NAME=VALUE for the program; ${NAME} stands for your variable.")
    ] = None,
    header: Annotated[list[str] | None, typer.Option("--header", help="NAME=VALUE: an HTTP header.")] = None,
    client_id: Annotated[
        str | None, typer.Option(help="Id under which swarmchat is registered at the server's login (OAuth).")
    ] = None,
    client_secret: Annotated[str | None, typer.Option(help="The secret of this registration, as ${NAME}.")] = None,
    callback_port: Annotated[int | None, typer.Option(help="The port in the registered redirect address.")] = None,
    approve: Annotated[str, typer.Option(help="Whether its tools may run: ask, auto, deny or read-only.")] = "ask",
) -> None:
    """Add a server to your settings, or change one.

    \b
    swarmchat mcp add time -- uvx mcp-server-time
    swarmchat mcp add hub --url https://example.com/mcp --header 'Authorization=Bearer ${HUB_TOKEN}'
    swarmchat mcp add hub --url https://example.com/mcp --client-id ID --client-secret '${HUB_SECRET}'
    """
    from swarmchat.cli.mcp.editing import add_server

    fields = {"url": url, "client_id": client_id, "client_secret": client_secret, "callback_port": callback_port}
    fields_set = {key: value for key, value in fields.items() if value}
    run_and_exit(
        lambda: add_server(name, command or [], fields_set, env=env or [], headers=header or [], approve=approve)
    )


@mcp_app.command("login")
@options.settings("swarm", "profile")
def login(name: Name, *, flags: options.Flags) -> None:
    """Log in to an HTTP server that requires it (OAuth).

    Prints an address to open in a browser, and waits until you have logged in there. The tokens are stored in your
    config folder, readable only by you.
    """
    from swarmchat.cli.mcp.logins import log_in

    run_interruptible(lambda: log_in(flags, name))


@mcp_app.command("logout")
@options.settings("swarm", "profile")
def logout(name: Name, *, flags: options.Flags) -> None:
    """Delete the tokens of a login."""
    from swarmchat.cli.mcp.logins import log_out

    run_and_exit(lambda: log_out(flags, name))


@mcp_app.command("remove")
def remove(name: Name) -> None:
    """Remove a server from your settings."""
    from swarmchat.cli.mcp.editing import remove_server

    run_and_exit(lambda: remove_server(name))
