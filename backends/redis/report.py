"""A report on a Redis server: version, persistence, memory policy and clock, as far as its ACL allows."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from swarmchat.backends.errors import BackendError
from swarmchat.backends.redis.backend import RedisBackend

_AT_ONCE = 200
"""The number of questions that are asked side by side."""


@dataclass(frozen=True)
class RedisReport:
    """Facts about a server; ``None`` for what it does not tell, as when its ACL forbids the command."""

    program: str | None = None
    """Redis or Valkey, with its version."""
    mode: str | None = None
    """standalone, cluster or sentinel."""
    appendonly: bool | None = None
    appendfsync: str | None = None
    save: str | None = None
    """When the server takes snapshots; empty: never."""
    policy: str | None = None
    """Which keys the server evicts when its memory is full."""
    maxmemory: int | None = None
    ahead: float | None = None
    """Seconds by which its clock is ahead of this machine's."""


async def report_on(backend: RedisBackend) -> RedisReport:
    """Ask the server for all parts of a report. A command that fails leaves its part ``None``."""
    info = _table(await _reply(backend, "INFO", "server"))
    memory = await _memory(backend)
    config: dict[str, str] = {}
    for name in ("appendonly", "appendfsync", "save"):
        config |= _table(await _reply(backend, "CONFIG GET", name))
    started = time.time()
    clock = await _reply(backend, "TIME")
    ahead = None
    with suppress(TypeError, ValueError, LookupError):
        ahead = float(clock[0]) + float(clock[1]) / 1e6 - (started + time.time()) / 2
    version = info.get("valkey_version") or info.get("redis_version")
    maxmemory = memory.get("maxmemory", "")
    return RedisReport(
        program=f"{'Valkey' if 'valkey_version' in info else 'Redis'} {version}" if version else None,
        mode=info.get("server_mode") or info.get("redis_mode"),
        appendonly=config["appendonly"] == "yes" if "appendonly" in config else None,
        appendfsync=config.get("appendfsync"),
        save=config.get("save"),
        policy=memory.get("maxmemory_policy"),
        maxmemory=int(maxmemory) if maxmemory.isdecimal() else None,
        ahead=ahead,
    )


async def remaining(backend: RedisBackend, keys: Sequence[str]) -> list[float | None]:
    """Return the seconds for which the server still keeps each of ``keys``; ``None`` for one that it does not delete.

    Raises the backend's errors.
    """
    milliseconds: list[int] = []
    for first in range(0, len(keys), _AT_ONCE):
        milliseconds += await asyncio.gather(*(backend.ask("PTTL", key) for key in keys[first : first + _AT_ONCE]))
    return [None if left < 0 else left / 1000 for left in milliseconds]


async def eviction_policy(backend: RedisBackend) -> str | None:
    """Return the policy by which the server may evict parts of sessions; ``None`` if none does, or it is not told."""
    policy = (await _memory(backend)).get("maxmemory_policy")
    return None if policy == "noeviction" else policy


async def _memory(backend: RedisBackend) -> dict[str, str]:
    # Hosted servers forbid CONFIG, and allow INFO.
    return _table(await _reply(backend, "INFO", "memory"))


async def _reply(backend: RedisBackend, *command: str) -> Any:
    try:
        return await backend.ask(*command)
    except BackendError:
        return None


def _table(reply: Any) -> dict[str, str]:
    """Return the names and values of a reply: a mapping, or a list in which they alternate, of bytes or text."""
    if isinstance(reply, list):
        reply = dict(zip(reply[::2], reply[1::2], strict=False))
    if not isinstance(reply, Mapping):
        return {}
    return {_word(name): _word(value) for name, value in reply.items()}


def _word(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
