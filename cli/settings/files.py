"""Read settings files and the profiles in them, which are named tables of settings."""

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from swarmchat.cli.errors import ConfigError
from swarmchat.cli.terminal.sanitize import one_line

PROFILES = "profiles"
"""The key of the table of profiles."""

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,60}")
_OF_PROFILE = re.compile(r" \[profiles\.[A-Za-z0-9_.-]{1,60}\]\Z")

Place = tuple[str, Mapping[str, Any]]
"""Where settings come from, and what they are there."""
Complain = Callable[[ConfigError], object]
"""Receives a problem. If it returns, the bad value is skipped."""


def read_files(files: Sequence[Path], complain: Complain) -> tuple[list[Place], dict[str, list[Place]]]:
    """Return what each file sets, and the profiles in all of them by their names."""
    places: list[Place] = []
    profiles: dict[str, list[Place]] = {}
    for path in files:
        try:
            found = read_file(path)
        except ConfigError as error:
            complain(error)
            continue
        places.append((str(path), {name: value for name, value in found.items() if name != PROFILES}))
        for name, values in _tables(path, found.get(PROFILES, {}), complain):
            profiles.setdefault(name, []).append((f"{path} [{PROFILES}.{name}]", values))
    return places, profiles


def read_file(path: Path) -> dict[str, Any]:
    """Return what stands in a file; nothing if there is none. Raises ConfigError."""
    try:
        if not path.is_file():
            if path.exists():
                raise ConfigError(f"{path} cannot be read: it is not a file")
            return {}
        import tomllib

        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error


def choose_profile(profiles: Mapping[str, list[Place]], places: Sequence[Place], complain: Complain) -> list[Place]:
    """Return the settings of the profile that the last of ``places`` names, if one of them does."""
    chosen = [(origin, found["profile"]) for origin, found in places if "profile" in found]
    if not chosen:
        return []
    origin, name = chosen[-1]
    if not isinstance(name, str) or name not in profiles:
        complain(ConfigError(_unknown(origin, str(name), list(profiles))))
        return []
    return profiles[name]


def file_of(origin: str) -> Path:
    """Return the file that an origin is in, as far as it is one."""
    return Path(_OF_PROFILE.sub("", origin))


def check_name(name: str) -> None:
    """Raise ConfigError for a name that no profile can have."""
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"no profile can be called {one_line(name, 60)!r}: up to 60 letters of A-Z, a-z, 0-9, _, . and -"
        )


def _tables(path: Path, table: object, complain: Complain) -> list[tuple[str, Mapping[str, Any]]]:
    if not isinstance(table, dict):
        complain(ConfigError(f"{path}: {PROFILES} holds no tables: write [{PROFILES}.NAME]"))
        return []
    good: list[tuple[str, Mapping[str, Any]]] = []
    for name, values in table.items():
        try:
            check_name(name)
            if not isinstance(values, dict):
                raise ConfigError(f"{PROFILES}.{name} is no table: write [{PROFILES}.{name}] above its settings")
            if "profile" in values:
                raise ConfigError(f"the profile {name} sets profile: a profile cannot choose another")
        except ConfigError as error:
            complain(ConfigError(f"{path}: {error}"))
        else:
            good.append((name, values))
    return good


def _unknown(origin: str, name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    if near:
        hint = f"did you mean {near[0]!r}?"
    else:
        hint = (
            f"known are {', '.join(sorted(known))}" if known else f"write it as [{PROFILES}.NAME] in your config file"
        )
    return f"{origin}: unknown profile {one_line(name, 60)!r}; {hint}"
