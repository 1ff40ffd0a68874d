"""Sessions that are recorded by a real session with a scripted model, and replayed."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from chats import ticking_clock
from swarmchat.backends import Backend, open_backend
from swarmchat.swarm import Agent, Session, SessionSettings, Swarm, SwarmError
from swarmchat.swarm.models.base import Answer, ToolCall
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.replay.files import read_conversations
from swarmchat.swarm.replay.runner import Replayed, replay

HANG = "hang"
"""A step of a script: nothing more comes, so the user stops it."""


class Recorder:
    """Holds a session with a swarm, again and again, in one log."""

    def __init__(self, backend: Backend, swarm: Swarm) -> None:
        self.backend = backend
        self.swarm = swarm

    async def open(self, model: Any, *, client: str = "ann", options: Any = None, **settings: Any) -> Session:
        return await Session.open(
            self.backend,
            model,
            client=client,
            name="s",
            swarm=self.swarm,
            settings=SessionSettings(**settings),
            clock=ticking_clock(),
            **(options or {}),
        )

    async def log(self, client: str = "ann") -> bytes:
        return b"\n".join(await self.backend.slice(keys.session_log(client, "s"), 0)) + b"\n"


async def ask(session: Session, text: str, *, stop: asyncio.Event | None = None) -> None:
    """Run a turn; when ``stop`` is set, it is cancelled, as by Ctrl-C."""

    async def run() -> None:
        async for _ in session.run_turn(text):
            pass

    turn = asyncio.ensure_future(run())
    if stop is not None:
        stopped = asyncio.ensure_future(stop.wait())
        await asyncio.wait({turn, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        turn.cancel()
    with suppress(SwarmError, asyncio.CancelledError):
        await turn


def calls(*named_calls: tuple[str, str], text: str = "", ids: str = "call") -> Answer:
    return Answer(text, tuple(ToolCall(f"{ids}_{n}", *call) for n, call in enumerate(named_calls)), "tool_calls")


async def again(
    log: bytes, path: Path, swarm: Swarm | None, backend: Backend | None = None, **options: Any
) -> Replayed:
    """Replay ``log``, the only session in it."""
    _write(path, log)
    (conversation,) = await read_conversations(path)
    return await replay(conversation, backend or open_backend("memory:"), swarm=swarm, **options)


def record_and_replay(
    swarm: Swarm | Agent, scenario: Callable[[Recorder], Awaitable[object]], path: Path, **options: Any
) -> Replayed:
    """Hold ``scenario``; return what its replay comes to, which must be the same."""
    swarm = Swarm(swarm.name, [swarm]) if isinstance(swarm, Agent) else swarm

    async def run() -> Replayed:
        recorder = Recorder(open_backend("memory:"), swarm)
        await scenario(recorder)
        return await again(await recorder.log(), path, swarm, **options)

    done = asyncio.run(run())
    reports = [str(each) + "\n" + "\n".join(each.diff()) for each in done.differences[:3]]
    assert not reports, "\n".join(reports) + "\n" + path.read_text()
    return done


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)
