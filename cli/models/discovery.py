"""Offer the models that run on this machine, while no other is connected."""

import shlex

from swarmchat.cli.settings import wiring
from swarmchat.cli.settings.settings import Settings
from swarmchat.cli.terminal.sanitize import one_line
from swarmchat.swarm.models.discovery import LocalServer, find_servers

_SHOWN = 3
"""How many models are named."""


def found_servers(settings: Settings) -> list[LocalServer]:
    """Return the servers of this machine, if nothing says which model is to answer. Blocks for up to a second."""
    if settings.model is not None or wiring.is_connected(settings) or not settings.discover:
        return []
    return find_servers(settings.discover)


def offers(settings: Settings) -> list[str]:
    """Return a line for each server that was found: what it has, and how to talk with it."""
    return [offer_line(server) for server in found_servers(settings)]


def offer_line(server: LocalServer) -> str:
    """Return what can be done with ``server``."""
    # Of names like embedding models nothing is known for certain, but they are not what one talks with.
    chats = [name for name in server.models if "embed" not in name.lower()] or list(server.models)
    names = [one_line(name, 100) for name in chats[:_SHOWN]]
    more = ", …" if len(chats) > _SHOWN else ""
    command = f"swarmchat -m {shlex.quote(names[0])} --base-url {server.base_url}"
    return f"{server.program} runs here with {', '.join(names)}{more}: {command}"
