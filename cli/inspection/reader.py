"""Read the data of a client and a session without opening the session, which may be in use."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from swarmchat.cli.app.options import Flags
from swarmchat.cli.render.renderer import remark
from swarmchat.cli.settings import wiring
from swarmchat.cli.settings.store import OpenStore, open_store
from swarmchat.swarm.agents.agent import Swarm
from swarmchat.swarm.conversation.primitives import Primitives
from swarmchat.swarm.persistence import keys


@dataclass(frozen=True)
class StoreReader(OpenStore):
    """An open store, and the swarm whose data is in it."""

    swarm: Swarm

    def primitives(self) -> Primitives:
        """Return the states, storages, memory and policies of the client."""
        lifetimes = wiring.session_settings(self.settings).lifetimes
        return Primitives(self.swarm, self.backend, lifetimes, self.client, "", remark)

    async def scopes_with_memory(self) -> list[str]:
        """Return the scopes in which the client has a memory."""
        prefix = keys.common_memory(self.client) + ":"
        return [unquote(key.removeprefix(prefix)) async for key, _ in self.backend.scan(prefix)]

    async def values(self, prefix: str) -> dict[str, Any]:
        """Return the JSON values whose keys start with ``prefix``; the names are the rest of the keys."""
        return {key.removeprefix(prefix): json.loads(value) async for key, value in self.backend.scan(prefix)}


def json_or_text(text: str) -> Any:
    """Return the value of ``text`` if it is JSON, else the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def to_json(item: Any) -> Any:
    """Return ``item`` as a value that JSON can hold."""
    from pydantic_core import to_jsonable_python

    return to_jsonable_python(item, fallback=str)


@asynccontextmanager
async def open_reader(flags: Flags) -> AsyncIterator[StoreReader]:
    """Open the store and the swarm that the ``flags`` of a command choose."""
    settings = wiring.apply_settings(flags)
    swarm = wiring.make_swarm(settings)
    try:
        async with open_store(settings) as store:
            yield StoreReader(settings, store.backend, swarm)
    finally:
        await wiring.close_swarm(swarm)
