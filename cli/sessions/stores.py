"""Open the stores that a command about sessions looks into: one, or all that this user has."""

import sys
from collections.abc import AsyncGenerator
from dataclasses import replace

from swarmchat.backends import BackendError
from swarmchat.cli.app.options import Flags
from swarmchat.cli.errors import UsageError
from swarmchat.cli.render.renderer import Renderer
from swarmchat.cli.settings import wiring
from swarmchat.cli.settings.store import OpenStore, open_store
from swarmchat.cli.terminal.capabilities import wants_colour
from swarmchat.swarm.persistence import keys

_ALL = ("disk", "redis")
"""The backends that outlive a process and need no address."""


async def session_stores(flags: Flags, everywhere: bool) -> AsyncGenerator[OpenStore, None]:
    """Yield the store that ``flags`` choose, or with ``everywhere`` disk and Redis; remark on one out of reach.

    Raises the last error if no store can be reached.
    """
    if everywhere and flags.get("backend") is not None:
        raise UsageError("--all looks into disk and redis: it does not go with -b")
    settings = wiring.apply_settings(flags)
    failure: BackendError | None = None
    reached = False
    for name in _ALL if everywhere else (settings.backend,):
        async with open_store(replace(settings, backend=name)) as store:
            try:
                if everywhere:
                    await store.backend.get(keys.sessions(store.client))
            except BackendError as error:
                failure = error
                remark(f"{name} was left out: {error}")
                continue
            reached = True
            yield store
    if failure is not None and not reached:
        raise failure


def remark(text: str) -> None:
    """Print a remark on stderr."""
    Renderer(colour=wants_colour(sys.stderr)).remark(text)
