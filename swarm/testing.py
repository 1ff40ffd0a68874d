"""Replay transcripts from the tests of a swarm."""

import asyncio
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from swarmchat.backends import open_backend
from swarmchat.swarm.agents.agent import Agent, Swarm
from swarmchat.swarm.agents.loader import load_swarm
from swarmchat.swarm.conversation.settings import SessionSettings
from swarmchat.swarm.models.base import Model
from swarmchat.swarm.replay.files import RecordedConversation, read_conversations
from swarmchat.swarm.replay.runner import MODES, Replayed, replay
from swarmchat.swarm.replay.stand_in import lacks_swarm, named_swarm

_T = TypeVar("_T")


def replay_transcript(
    path: Path | str,
    swarm: Swarm | Agent | Path | str | None = None,
    *,
    mode: str = "verify",
    model: Model | None = None,
    backend: str = "memory:",
    settings: SessionSettings | None = None,
) -> Sequence[Replayed]:
    """Replay the conversations in the file at ``path``, and return what came of them.

    ``swarm`` is a swarm, an agent, the name of a swarm that comes with the program, or a file with one, looked for
    beside the transcript; without it, the one that the transcript names. ``mode`` is verify, tools or live; the last
    needs a ``model``. ``settings`` are those that a transcript does not tell. Raises AssertionError, which tells what
    is not the same, TranscriptError for an invalid file, and ValueError for an unknown ``mode``.
    """
    path = Path(path)
    if mode not in MODES or (mode == "live" and model is None):
        raise ValueError(f"mode is {mode!r}, expected one of {', '.join(MODES)}, and for 'live' a model")
    if isinstance(swarm, Agent):
        swarm = Swarm(swarm.name, [swarm])
    elif isinstance(swarm, Path | str):
        swarm = load_swarm(str(swarm), path.parent)
    done = _finished(_replay_all(path, swarm, mode, model, backend, settings))
    told = [line for each in done if not each.same for line in _told(path, each)]
    assert not told, "\n".join(told)
    return done


async def _replay_all(
    path: Path, swarm: Swarm | None, mode: str, model: Model | None, url: str, settings: SessionSettings | None
) -> list[Replayed]:
    done = []
    backend = open_backend(url)
    try:
        for conversation in await read_conversations(path):
            answering = swarm or named_swarm(conversation)
            if answering is None:
                _check_stand_in(path, conversation, mode)
            done.append(await replay(conversation, backend, swarm=answering, mode=mode, model=model, settings=settings))
    finally:
        await backend.close()
    return done


def _check_stand_in(path: Path, conversation: RecordedConversation, mode: str) -> None:
    why = lacks_swarm(conversation, mode)
    assert why is None, f"{path}, {conversation.name}: {why}, or here with swarm="


def _told(path: Path, replayed: Replayed) -> list[str]:
    first = replayed.differences[0]
    more = len(replayed.differences) - 1
    lines = [f"{path}, {replayed.conversation.name}: {first}", *first.diff()]
    return [*lines, f"… and {more} more"] if more else lines


def _finished(work: Coroutine[Any, Any, _T]) -> _T:
    """Run ``work`` to its end, also where an event loop runs already."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()
