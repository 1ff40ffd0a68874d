"""Values that options and arguments can have, as far as they can be known at once and without asking far away."""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from swarmchat.cli import wiring
from swarmchat.cli.candidates import Candidate, Typed
from swarmchat.cli.settings import Settings
from swarmchat.cli.settings_files import read_files

_SECONDS = 0.15
"""How long a server, of models or of sessions, may take: nobody waits long for Tab."""


def values_of(typed: Typed, param: Any) -> list[Candidate]:
    """Return the values that ``param`` can have; none for those that nothing is known of."""
    make = _BY_PLACE.get((*typed.path, param.name)) or _BY_NAME.get(param.name)
    if make is not None:
        return make(typed)
    choices = getattr(param.type, "choices", None) or ()
    return [(str(choice), "") for choice in choices]


def _settings(typed: Typed) -> Settings:
    known = {name: value for name, value in typed.given.items() if name in Settings.__dataclass_fields__}
    return wiring.read_settings(known, complain=lambda error: None)


def _backends(typed: Typed) -> list[Candidate]:
    return [
        ("disk", "a folder on this machine"),
        ("memory", "nowhere: gone with the program"),
        ("redis", "a Redis server"),
        ("disk:", "disk:PATH, another folder"),
        ("redis://", "redis://HOST:PORT/DB, another server"),
    ]


def _sessions(typed: Typed) -> list[Candidate]:
    settings = _settings(typed)
    # What is not there must not be made by a look.
    if settings.backend == "memory" or (
        settings.backend == "disk" and not (wiring.data_dir(settings) / "sessions").is_dir()
    ):
        return []
    from swarmchat.swarm.index import list_sessions

    async def look() -> list[Candidate]:
        backend = wiring.make_backend(settings)
        try:
            async with asyncio.timeout(2 * _SECONDS):
                found = await list_sessions(backend, settings.client_name)
        finally:
            await backend.close()
        return [(info.name, info.title) for info in found]

    return asyncio.run(look())


def _models(typed: Typed) -> list[Candidate]:
    from swarmchat.swarm.local_servers import find_servers

    settings = _settings(typed)
    found = {"demo": "built in: scripted answers, no AI"}
    places, profiles = read_files(wiring.settings_files(), lambda error: None)
    for origin, values in [*places, *(place for each in profiles.values() for place in each)]:
        if isinstance(values.get("model"), str):
            found.setdefault(values["model"], Path(origin).name)
    ports = settings.discover
    if settings.base_url:
        parts = urlsplit(settings.base_url)
        ports = [parts.port or 80] if parts.hostname in ("localhost", "127.0.0.1") else []
    elif settings.api_key or settings.api_key_command:
        ports = []
        found.setdefault(wiring.OPENAI_DEFAULT, "OpenAI")
    for server in find_servers(ports, _SECONDS):
        found |= dict.fromkeys(server.models, server.program)
    return list(found.items())


def _profiles(typed: Typed) -> list[Candidate]:
    _, profiles = read_files(wiring.settings_files(), lambda error: None)
    return [(name, Path(origins[-1][0]).name) for name, origins in sorted(profiles.items())]


def _swarms(typed: Typed) -> list[Candidate]:
    here = Path.cwd()
    own = [(".", "the swarm of this folder")] if (here / "swarm.toml").is_file() else []
    files = [(path.name, "") for path in sorted(here.glob("*.py"))]
    return [*own, ("helpdesk", "comes with the program"), ("phone_shop", "comes with the program"), *files]


def _approvals(typed: Typed) -> list[Candidate]:
    return [("auto", "tools run"), ("ask", "each call is asked for"), ("deny", "no tool runs")]


def _outputs(typed: Typed) -> list[Candidate]:
    return [("text", "the answer"), ("json", "one object"), ("jsonl", "the log as it grows")]


def _setting_names(typed: Typed) -> list[Candidate]:
    return [(name, "") for name, each in Settings.__dataclass_fields__.items() if each.metadata]


def _shells(typed: Typed) -> list[Candidate]:
    from swarmchat.cli.completion_scripts import SHELLS

    return [(shell, "") for shell in SHELLS]


_BY_NAME: Mapping[str, Callable[[Typed], list[Candidate]]] = {
    "backend": _backends,
    "session": _sessions,
    "sessions": _sessions,
    "model": _models,
    "profile": _profiles,
    "swarm": _swarms,
    "approve": _approvals,
    "output": _outputs,
}
_BY_PLACE: Mapping[tuple[str, ...], Callable[[Typed], list[Candidate]]] = {
    ("completion", "shell"): _shells,
    ("config", "set", "name"): _setting_names,
    ("sessions", "delete", "names"): _sessions,
    ("sessions", "copy", "names"): _sessions,
    **{
        ("sessions", command, "name"): _sessions for command in ("show", "rename", "delete", "export", "fork", "repair")
    },
}
"""What an argument is called in one command only, by the words of the command."""
