"""What tests of sessions share: a clock, a way to run turns, a backend whose failures are set by hand."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable, Sequence
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

from swarmchat.backends import Backend, BackendUnavailable, Lease, Write
from swarmchat.backends.memory import MemoryBackend
from swarmchat.swarm.agents.agent import Agent, Swarm
from swarmchat.swarm.conversation.events import Event, TextDelta
from swarmchat.swarm.conversation.settings import SessionSettings
from swarmchat.swarm.session.session import Session

AGENT = Agent("assistant", "Be brief.")


def copy_into(backend: MemoryBackend, source: MemoryBackend) -> None:
    """Give an empty store the content of another one: for what many tests begin with."""
    backend._entries.update(deepcopy(source._entries))


def ticking_clock() -> Callable[[], datetime]:
    """Return a clock that goes on by one second a look, so that the same run gives the same records."""
    ticks = itertools.count()
    return lambda: datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC) + timedelta(seconds=next(ticks))


async def open_session(
    backend: Backend,
    model: Any,
    name: str | None = "s",
    swarm: Swarm | Agent = AGENT,
    client: str = "ann",
    options: dict[str, Any] | None = None,
    **settings: Any,
) -> Session:
    return await Session.open(
        backend,
        model,
        client=client,
        name=name,
        swarm=swarm,
        settings=SessionSettings(**settings),
        **(options or {}),
        clock=ticking_clock(),
    )


async def say(session: Session, text: str) -> list[Event]:
    return [event async for event in session.run_turn(text)]


def text_of(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def sent(model: Any, index: int = -1) -> list[dict[str, Any]]:
    """Return the messages of a request that a scripted model got."""
    return [json.loads(message) for message in model.requests[index].messages]


def contents(model: Any, index: int = -1) -> list[Any]:
    return [message["content"] for message in sent(model, index)]


class Faulty:
    """A backend in front of another that fails when told to; ``lands`` says whether the failed commit took place."""

    def __init__(self, inner: Backend) -> None:
        self.inner = inner
        self.fail = 0
        self.lands = False
        self.commits = 0
        self.committing: asyncio.Event | None = None
        self.go_on: asyncio.Event | None = None

    @property
    def url(self) -> str:
        return self.inner.url

    def one_commit(self, keys: Sequence[str]) -> bool:
        return self.inner.one_commit(keys)

    async def get(self, key: str) -> bytes | None:
        return await self.inner.get(key)

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        return await self.inner.get_many(keys)

    def scan(self, prefix: str) -> AsyncIterator[tuple[str, bytes]]:
        return self.inner.scan(prefix)

    async def length(self, key: str) -> int:
        return await self.inner.length(key)

    async def slice(self, key: str, start: int, stop: int | None = None) -> list[bytes]:
        return await self.inner.slice(key, start, stop)

    async def wait(self, key: str, timeout: float) -> bool:
        return await self.inner.wait(key, timeout)

    async def commit(self, *writes: Write, lease: Lease | None = None) -> None:
        self.commits += 1
        if self.committing and self.go_on:
            self.committing.set()
            await self.go_on.wait()
        if self.fail:
            self.fail -= 1
            if self.lands:
                await self.inner.commit(*writes, lease=lease)
            raise BackendUnavailable("the store is away")
        await self.inner.commit(*writes, lease=lease)

    async def acquire(self, key: str, owner: bytes, ttl: float, *, replacing: bytes | None = None) -> Lease | None:
        return await self.inner.acquire(key, owner, ttl, replacing=replacing)

    async def renew(self, lease: Lease) -> bool:
        return await self.inner.renew(lease)

    async def release(self, lease: Lease) -> None:
        await self.inner.release(lease)

    async def close(self) -> None:
        await self.inner.close()
