"""A report on a Redis server: version, persistence, memory policy and clock, as far as its ACL allows."""

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from swarmchat.backends.errors import BackendError
from swarmchat.backends.redis.backend import RedisBackend


@dataclass(frozen=True)
class RedisReport:
    """``None`` where the server does not tell, as one whose ACL forbids the question."""

    program: str | None = None
    """Redis or Valkey, with its version."""
    mode: str | None = None
    """standalone, cluster or sentinel."""
    appendonly: bool | None = None
    appendfsync: str | None = None
    save: str | None = None
    """When snapshots are taken; empty: never."""
    policy: str | None = None
    """What is thrown away when the memory is full."""
    maxmemory: int | None = None
    ahead: float | None = None
    """Seconds that its clock is ahead of ours."""


async def report_on(backend: RedisBackend) -> RedisReport:
    """Return what the server says. Raises no error for a question that it does not answer."""
    info = _text(await _asked(backend, "INFO", "server"))
    config: dict[str, str] = {}
    for name in ("appendonly", "appendfsync", "save", "maxmemory-policy", "maxmemory"):
        config |= _text(await _asked(backend, "CONFIG GET", name))
    started = time.time()
    told = await _asked(backend, "TIME")
    ahead = None
    with suppress(TypeError, ValueError, LookupError):
        ahead = float(told[0]) + float(told[1]) / 1e6 - (started + time.time()) / 2
    version = info.get("valkey_version") or info.get("redis_version")
    maxmemory = config.get("maxmemory", "")
    return RedisReport(
        program=f"{'Valkey' if 'valkey_version' in info else 'Redis'} {version}" if version else None,
        mode=info.get("server_mode") or info.get("redis_mode"),
        appendonly=config["appendonly"] == "yes" if "appendonly" in config else None,
        appendfsync=config.get("appendfsync"),
        save=config.get("save"),
        policy=config.get("maxmemory-policy"),
        maxmemory=int(maxmemory) if maxmemory.isdecimal() else None,
        ahead=ahead,
    )


async def _asked(backend: RedisBackend, *command: str) -> Any:
    try:
        return await backend.ask(*command)
    except BackendError:
        return None


def _text(answer: Any) -> dict[str, str]:
    """Return an answer as names and values: they come as bytes or text, in a table or one after the other."""
    if isinstance(answer, list):
        answer = dict(zip(answer[::2], answer[1::2], strict=False))
    if not isinstance(answer, Mapping):
        return {}
    return {_word(name): _word(value) for name, value in answer.items()}


def _word(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
