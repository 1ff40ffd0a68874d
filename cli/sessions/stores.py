"""Where the commands about sessions find them: in one store, or in all that this user has."""

import sys
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import typer
from swarmchat.backends import Backend, BackendError
from swarmchat.cli.app.runner import run_to_exit_code
from swarmchat.cli.app.signals import run_until_signal
from swarmchat.cli.errors import NotFoundError, UsageError
from swarmchat.cli.render.renderer import Renderer
from swarmchat.cli.settings import wiring
from swarmchat.cli.settings.settings import Settings
from swarmchat.cli.terminal.capabilities import wants_colour
from swarmchat.swarm.common.names import nearest
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.session_index import SessionInfo, find_session, list_sessions

_ALL = ("disk", "redis")
"""The stores that outlive a process and that there is one of."""


@dataclass(frozen=True)
class SessionStore:
    """A store, and whose sessions in it are meant."""

    settings: Settings
    backend: Backend

    @property
    def client(self) -> str:
        """Whose sessions."""
        return self.settings.client_name

    @property
    def name(self) -> str:
        """The short name of the store, for the screen."""
        return wiring.backend_name(self.settings)

    @property
    def ttl(self) -> float | None:
        """How long a session is kept there."""
        return wiring.session_settings(self.settings).lifetimes.session

    async def session(self, name: str) -> SessionInfo:
        """Return the session ``name``. Raises NotFoundError."""
        info = await find_session(self.backend, self.client, name)
        if info is None:
            known = [each.name for each in await list_sessions(self.backend, self.client)]
            hint = f"; {nearest(name, known)}" if len(known) <= 10 else ""
            raise NotFoundError(f"{self.client} has no session {name!r} on {self.name}{hint}")
        return info

    async def must_be_free(self, name: str) -> None:
        """Raise UsageError unless ``name`` can be given to a session."""
        if not name.strip():
            raise UsageError("a session needs a name that is not empty")
        if await find_session(self.backend, self.client, name) is not None:
            raise UsageError(f"{self.client} has a session {name!r} on {self.name} already: choose another name")


@asynccontextmanager
async def opened(settings: Settings, backend: str | None = None) -> AsyncIterator[SessionStore]:
    """Open the store of ``settings``, or another one."""
    chosen = settings if backend is None else replace(settings, backend=backend)
    place = SessionStore(chosen, wiring.make_backend(chosen))
    try:
        yield place
    finally:
        await place.backend.close()


async def session_stores(flags: Mapping[str, Any], everywhere: bool) -> AsyncGenerator[SessionStore, None]:
    """Yield the store that ``flags`` name, or with ``everywhere`` disk and Redis; say which could not be reached.

    Raises the error of the last one if none can be.
    """
    if everywhere and flags.get("backend") is not None:
        raise UsageError("--all looks into disk and redis: it does not go with -b")
    settings = wiring.apply_settings(flags)
    failed: BackendError | None = None
    reached = False
    for name in _ALL if everywhere else (None,):
        async with opened(settings, name) as place:
            try:
                if everywhere:
                    await place.backend.get(keys.sessions(place.client))
            except BackendError as error:
                failed = error
                remark(f"{name} was left out: {error}")
                continue
            reached = True
            yield place
    if failed is not None and not reached:
        raise failed


def leave_with(work: Coroutine[Any, Any, int | None]) -> None:
    """Run ``work`` and leave with its exit code, or that of an error; signals let it come to a good end."""
    codes: list[int | None] = []

    async def run() -> int | None:
        async def keep() -> None:
            codes.append(await work)

        await run_until_signal(keep(), "SIGINT", "SIGTERM", "SIGHUP")
        return codes[0]

    raise typer.Exit(run_to_exit_code(run))


def remark(text: str) -> None:
    """Say something on stderr that is no result."""
    Renderer(colour=wants_colour(sys.stderr)).remark(text)
