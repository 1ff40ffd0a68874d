"""What ``swarmchat models list`` prints, and the way from settings to a server that can be looked into."""

import asyncio
import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from swarmchat.cli.models.discovery import offer_line
from swarmchat.cli.settings import wiring
from swarmchat.cli.settings.wiring import make_endpoint
from swarmchat.cli.terminal.printing import print_json
from swarmchat.cli.terminal.sanitize import one_line
from swarmchat.swarm.models.discovery import find_servers
from swarmchat.swarm.models.openai_endpoint import OpenAIEndpoint

CONNECT = "to connect a model: set OPENAI_API_KEY, or name a server with -m MODEL --base-url http://localhost:11434/v1"
"""What is said where only the demo model is there."""


async def show_models(flags: Mapping[str, Any], as_json: bool) -> None:
    """Print the models that the server lists, and the demo model."""
    settings = wiring.apply_settings(flags)
    connected = wiring.is_connected(settings)
    current = settings.model or ("demo" if not connected else None if settings.base_url else wiring.OPENAI_DEFAULT)
    rows = [{"id": "demo", "owner": "swarmchat", "current": current == "demo"}]
    address, local = None, []
    if connected:
        # Any name will do: what is asked is which there are.
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
        local = await asyncio.to_thread(find_servers, settings.discover)
    if as_json:
        found = [asdict(server) for server in local]
        print_json({"server": address, "models": rows, "found": found})
        return
    for row in rows:
        print(f"{'*' if row['current'] else ' '} {row['id']}")
    if address is None:
        for line in [offer_line(server) for server in local] or [CONNECT]:
            print(f"  {line}", file=sys.stderr)
    elif len(rows) == 1:
        print(f"  {address} lists no models", file=sys.stderr)
