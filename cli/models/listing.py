"""Print the models of a server, and point to model servers on this machine."""

import asyncio
import shlex
import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from swarmchat.cli.settings import wiring
from swarmchat.cli.settings.models import OPENAI_DEFAULT, for_chat, is_connected, make_endpoint
from swarmchat.cli.settings.settings import Settings
from swarmchat.cli.terminal.printing import as_line, print_json
from swarmchat.cli.terminal.sanitize import one_line
from swarmchat.swarm.models.discovery import LocalServer, find_servers
from swarmchat.swarm.models.openai_endpoint import OpenAIEndpoint

CONNECT = "to connect a model: set OPENAI_API_KEY, or name a server with -m MODEL --base-url http://localhost:11434/v1"
"""The hint for users who have only the demo model."""
_MAX_NAMES = 3
"""Number of models that a hint names."""


async def show_models(flags: Mapping[str, Any], as_json: bool) -> None:
    """Print the models that the server lists, and the demo model."""
    settings = wiring.apply_settings(flags)
    settings = settings.for_model(settings.model)
    connected = is_connected(settings)
    current = settings.model or ("demo" if not connected else None if settings.base_url else OPENAI_DEFAULT)
    ours = {"demo": "swarmchat", **dict.fromkeys(settings.models or (), "your settings")}
    rows = [{"id": name, "owner": owner, "current": current == name} for name, owner in ours.items()]
    address, servers = None, []
    if connected:
        # The list does not depend on the name.
        endpoint = make_endpoint(replace(settings, model=None), name="any")
        assert isinstance(endpoint, OpenAIEndpoint)
        address = one_line(endpoint.address, 200)
        try:
            listed = await endpoint.list_models()
        finally:
            await endpoint.close()
        rows += [
            {"id": one_line(each.id, 200), "owner": one_line(each.owner, 60), "current": each.id == current}
            for each in listed
        ]
    else:
        servers = await asyncio.to_thread(find_servers, settings.discover)
    if as_json:
        print_json({"server": address, "models": rows, "found": [asdict(server) for server in servers]})
        return
    for row in rows:
        print(f"{'*' if row['current'] else ' '} {as_line(row['id'])}")
    if address is None:
        for line in map(server_hint, servers) if servers else [CONNECT]:
            print(f"  {line}", file=sys.stderr)
    elif len(rows) == len(ours):
        print(f"  {address} lists no models", file=sys.stderr)


def server_hints(settings: Settings) -> list[str]:
    """Return a hint for each local model server, unless a model is chosen. Blocks for up to a second."""
    if settings.model is not None or is_connected(settings) or not settings.discover:
        return []
    return [server_hint(server) for server in find_servers(settings.discover)]


def server_hint(server: LocalServer) -> str:
    """Return a line with the first models of ``server``, and the command to chat with one."""
    if not server.models:
        return f"{server.program} is loading its model here: swarmchat --base-url {server.base_url} waits for it"
    chat_models = for_chat(server.models)
    names = [one_line(name, 100) for name in chat_models[:_MAX_NAMES]]
    more = ", …" if len(chat_models) > _MAX_NAMES else ""
    command = f"swarmchat -m {shlex.quote(names[0])} --base-url {server.base_url}"
    return f"{server.program} runs here with {', '.join(names)}{more}: {command}"
