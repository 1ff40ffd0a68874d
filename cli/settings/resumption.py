"""Continue a session with the swarm, the model and the server that it used before."""

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

from swarmchat.cli.errors import ConfigError, UsageError
from swarmchat.cli.settings.folder import PROJECT_FILE, Consents, file_of, from_folder, needs_consent
from swarmchat.cli.settings.loading import read_file
from swarmchat.cli.settings.settings import Settings
from swarmchat.swarm.agents.agent import DEFAULT_SWARM, Swarm
from swarmchat.swarm.persistence.session_index import SessionInfo


def resume_with(settings: Settings) -> dict[str, str]:
    """Return the settings to store with a session: valid in any folder, without those of a folder's file."""
    values = {"swarm": _anywhere(settings.swarm) if settings.swarm else ""}
    origin = settings.origins.get("swarm", "")
    if settings.swarm and from_folder(origin) and needs_consent("swarm", settings.swarm):
        # Its program may change: it needs the user's consent in every folder, and each time.
        values["settings"] = str(file_of(origin).resolve())
    if settings.system is not None and _is_option(settings, "system"):
        values["system"] = settings.system
    # A server that a folder's file has chosen gets no key, and would get one when the session is continued elsewhere.
    if not from_folder(settings.origins.get("base_url", "")):
        values["base_url"] = settings.base_url or ""
    return values


def settings_of(settings: Settings, info: SessionInfo | None, *, options: bool = True) -> Settings:
    """Return ``settings`` with the swarm, model and server that the session ``info`` used before.

    With ``options``, an option on the command line and a variable in the environment override it. Raises ConfigError if
    the swarm was chosen by a folder that the user does not trust as it is now.
    """
    if info is None or info.resume_with is None:
        return settings
    stored = info.resume_with
    values: dict[str, Any] = {}
    if not (options and (_is_option(settings, "swarm") or _is_option(settings, "system"))):
        values |= {name: stored[name] or None for name in ("swarm", "system") if name in stored}
        _check_consent(info)
    # Until one has answered, it is the one that was asked.
    model = stored.get("model", info.model)
    # The demo model answers if no other is known: a user who has connected one since wants that one.
    if "base_url" in stored and model not in ("", "demo"):
        server = {"model": model, "base_url": stored["base_url"] or None}
        chosen = {name: settings.origins.get(name, "")[:1] for name in server} if options else {}
        # In the environment, the model and the server belong together; an option replaces one of them.
        if "$" not in chosen.values():
            values |= {name: value for name, value in server.items() if chosen.get(name) != "-"}
    origins = dict.fromkeys(values, f"session {info.name}")
    if "swarm" in values and "settings" in stored:
        origins["swarm"] = stored["settings"]
    return replace(settings, **values, origins={**settings.origins, **origins})


def _check_consent(info: SessionInfo) -> None:
    chosen_by = Path((info.resume_with or {}).get("settings", ""))
    if chosen_by.name == PROJECT_FILE and not Consents().has(chosen_by, read_file(chosen_by)):
        raise ConfigError(
            f"session {info.name!r} used a swarm chosen by {chosen_by}, which you do not trust in its current version: "
            f"see swarmchat trust {shlex.quote(str(chosen_by.parent))}, or name the swarm with -S"
        )


def check_swarm(settings: Settings, info: SessionInfo | None, swarm: Swarm) -> None:
    """Raise UsageError if the session ``info`` would be continued by another swarm that nobody chose."""
    if info is None or not info.swarm or info.swarm == swarm.name or info.resume_with is not None:
        return
    if not _is_option(settings, "swarm"):
        raise UsageError(
            f"session {info.name!r} belongs to the swarm {info.swarm!r}, and its file is not known: name it with -S; "
            f"-S {DEFAULT_SWARM.name} continues with the plain assistant"
        )


def swarm_is_missing(info: SessionInfo, problem: Exception) -> ConfigError:
    """Return the error for a session whose swarm cannot be loaded."""
    return ConfigError(f"session {info.name!r} used a swarm that cannot be loaded: {problem}. Name it with -S")


def _is_option(settings: Settings, name: str) -> bool:
    """Whether an option or the environment sets ``name``."""
    return settings.origins.get(name, "").startswith(("-", "$"))


def _anywhere(swarm: str) -> str:
    """Return the name of a swarm so that it is found from any folder."""
    from swarmchat.swarm.agents.loader import EXAMPLES

    if swarm in EXAMPLES:
        return swarm
    path, colon, attribute = swarm.rpartition(":")
    for file, rest in ((swarm, ""), (path, colon + attribute)):
        if file and Path(file).expanduser().exists():
            return f"{Path(file).expanduser().resolve()}{rest}"
    return swarm
