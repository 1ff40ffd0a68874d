"""The MCP servers that the settings add to a swarm."""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from platformdirs import user_config_path
from swarmchat.cli.environment import environment
from swarmchat.cli.errors import ConfigError
from swarmchat.cli.settings.settings import Settings
from swarmchat.swarm.agents.agent import Swarm
from swarmchat.swarm.common.encoding import decode_json
from swarmchat.swarm.common.files import read_text_file
from swarmchat.swarm.errors import DefinitionError
from swarmchat.swarm.mcp.server import McpServer, merged, read_server, read_servers_file


def mcp_servers(settings: Settings) -> list[McpServer]:
    """Return the MCP servers in the settings. Raises ConfigError for a file that cannot be used."""
    tables = (settings.mcp or {}).items()
    servers = [read_server(name, table) for name, table in tables]
    if settings.mcp_file is None:
        return servers
    path, origin = Path(settings.mcp_file).expanduser(), settings.origins.get("mcp_file", "")
    try:
        of_file = read_servers_file(decode_json(read_text_file(path)))
    except (OSError, ValueError, DefinitionError) as error:
        raise ConfigError(f"{origin}: mcp_file is {settings.mcp_file!r}: {error}") from error
    return merged(of_file, servers)


def logins_folder() -> Path | None:
    """Return the folder with the tokens of logins, below that of the user's settings; ``None`` without a home."""
    with suppress(RuntimeError):
        return user_config_path("swarmchat") / "mcp-logins"
    return None


def login_file(name: str) -> Path:
    """Return the file with the tokens for the server ``name``. Raises ConfigError if there is no home folder."""
    folder = logins_folder()
    if folder is None:
        raise ConfigError("no home folder found, in which tokens are stored: set HOME")
    return folder / f"{name}.json"


def with_servers(swarm: Swarm, settings: Settings) -> Swarm:
    """Return ``swarm`` with the user's MCP servers; they replace those of the swarm that have the same name."""
    swarm = replace(swarm, mcp=merged(swarm.mcp, mcp_servers(settings)))
    if swarm.mcp_servers is not None:
        # They go on while the user switches between sessions.
        swarm.mcp_servers.acquire()
        swarm.mcp_servers.configure(environment(), logins_folder(), settings.max_answer)
    return swarm
