"""Where settings come from: flags override the environment, then the chosen profile, then the files.

./swarmchat.toml in the current folder overrides the user's own file.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

from swarmchat.cli.errors import ConfigError
from swarmchat.cli.settings.folder import FORBIDDEN, Consents, file_of, from_folder, needs_consent
from swarmchat.cli.settings.named_models import KEYS
from swarmchat.cli.settings.readers import (
    read_or_parse,
)
from swarmchat.cli.settings.settings import READERS, Settings
from swarmchat.cli.terminal.sanitize import one_line
from swarmchat.swarm.common.encoding import decode_toml
from swarmchat.swarm.common.files import read_text_file
from swarmchat.swarm.common.names import nearest

PROFILES = "profiles"
"""The key of the table of profiles."""

_PREFIX = "SWARMCHAT_"

_TESTS = "SWARMCHAT_TEST_"
"""Prefix of variables that only the test suite reads."""

_PROFILE_NAME = re.compile(r"[A-Za-z0-9_.-]{1,60}")

Source = tuple[str, Mapping[str, Any]]
"""An origin, and the settings from there."""

Complain = Callable[[ConfigError], object]
"""Receives a problem. If it returns, the bad value is skipped."""


def refuse(error: ConfigError) -> None:
    """Raise ``error``: the default for ``complain``."""
    raise error


def load_settings(
    flags: Mapping[str, Any],
    environment: Mapping[str, str],
    files: Sequence[Path],
    *,
    complain: Complain = refuse,
    consents: Consents | None = None,
) -> Settings:
    """Return the settings from all sources. A later file overrides earlier ones.

    A flag that is ``None`` was not given, an empty variable is not set, and a file may be missing. Each problem is a
    ConfigError with its origin, the bad value and what was expected; ``complain`` receives it. If ``complain`` returns,
    the bad value is skipped. What a folder's file may set only with consent is in ``withheld`` unless it is in
    ``consents``.
    """
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    withheld: dict[str, Any] = {}
    sources, profiles = read_files(files, complain)
    permit = partial(_permitted, consents=consents, withheld=withheld, complain=complain)
    sources, above = list(map(permit, sources)), _above_files(flags, environment)
    chosen = map(permit, _chosen_profile(profiles, [*sources, *above], complain))
    for origin, settings in [*sources, *chosen, *above]:
        for name, value in settings.items():
            try:
                read = read_value(origin, name, value)
                if name == "approve":
                    # The user's later settings replace those of a folder.
                    before = values.pop("approve_at_least", {})
                    if from_folder(origin):
                        others = {pattern: rule for pattern, rule in before.items() if pattern not in read}
                        values["approve_at_least"], origins["approve_at_least"] = {**read, **others}, origin
                        continue
                # A profile adds tables.
                tables = name in ("models", "mcp")
                values[name], origins[name] = {**values.get(name, {}), **read} if tables else read, origin
            except ConfigError as error:
                complain(error)
                continue
            # The key from the strongest source is used.
            for other in KEYS if name in KEYS else ():
                if other != name:
                    values.pop(other, None)
                    origins.pop(other, None)
    return Settings(**values, origins=origins, withheld=withheld)


def _permitted(source: Source, consents: Consents | None, withheld: dict[str, Any], complain: Complain) -> Source:
    """Return ``source`` without settings that need the user's consent; these are added to ``withheld``."""
    origin, settings = source
    asking = {name: value for name, value in settings.items() if needs_consent(name, value)}
    if not asking or not from_folder(origin):
        return source
    path = file_of(origin)
    with suppress(ConfigError):
        if consents is not None and consents.has(path, read_file(path)):
            return source
    for name, value in asking.items():
        try:
            withheld[name] = read_value(origin, name, value)
        except ConfigError as error:
            complain(error)
    return origin, {name: value for name, value in settings.items() if name not in asking}


def read_files(files: Sequence[Path], complain: Complain) -> tuple[list[Source], dict[str, list[Source]]]:
    """Return the settings in each file, and the profiles in all of them by name."""
    sources: list[Source] = []
    profiles: dict[str, list[Source]] = {}
    for path in files:
        try:
            content = read_file(path)
        except ConfigError as error:
            complain(error)
            continue
        sources.append((str(path), {name: value for name, value in content.items() if name != PROFILES}))
        for name, values in _tables(path, content.get(PROFILES, {}), complain):
            profiles.setdefault(name, []).append((f"{path} [{PROFILES}.{name}]", values))
    return sources, profiles


def read_file(path: Path) -> dict[str, Any]:
    """Return the content of a file; nothing if it does not exist. Raises ConfigError."""
    try:
        if not path.is_file():
            if path.exists():
                raise ConfigError(f"{path} cannot be read: it is not a file")
            return {}
        return decode_toml(read_text_file(path))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error


def _chosen_profile(
    profiles: Mapping[str, list[Source]], sources: Sequence[Source], complain: Complain
) -> list[Source]:
    """Return the settings of the profile that the last of ``sources`` chooses, if any of them does."""
    choices = [(origin, values["profile"]) for origin, values in sources if "profile" in values]
    if not choices:
        return []
    origin, name = choices[-1]
    if isinstance(name, str) and name in profiles:
        return profiles[name]
    hint = nearest(str(name), profiles) if profiles else f"write it as [{PROFILES}.NAME] in your config file"
    complain(ConfigError(f"{origin}: unknown profile {one_line(str(name), 60)!r}; {hint}"))
    return []


def _above_files(flags: Mapping[str, Any], environment: Mapping[str, str]) -> list[Source]:
    """Return the settings in the environment and on the command line."""
    others = [(other, setting.name) for setting in fields(Settings) for other in setting.metadata.get("others", ())]
    ours = [(name, name.removeprefix(_PREFIX).lower()) for name in environment if name.startswith(_PREFIX)]
    sources: list[Source] = [
        (f"${variable}", {name: environment[variable]})
        for variable, name in [*others, *ours]
        if environment.get(variable) and not variable.startswith(_TESTS)
    ]
    return sources + [
        (f"--{name.replace('_', '-')}", {name: value}) for name, value in flags.items() if value is not None
    ]


def check_name(name: str) -> None:
    """Raise ConfigError unless a profile can be called ``name``."""
    if not _PROFILE_NAME.fullmatch(name):
        raise ConfigError(
            f"no profile can be called {one_line(name, 60)!r}: use up to 60 of the characters A-Z, a-z, 0-9, _, . and -"
        )


def _tables(path: Path, table: object, complain: Complain) -> list[Source]:
    if not isinstance(table, dict):
        complain(ConfigError(f"{path}: {PROFILES} is not a table: write [{PROFILES}.NAME]"))
        return []
    tables: list[Source] = []
    for name, values in table.items():
        try:
            check_name(name)
            if not isinstance(values, dict):
                raise ConfigError(f"{PROFILES}.{name} is not a table: write [{PROFILES}.{name}] above its settings")
            if "profile" in values:
                raise ConfigError(f"the profile {name} sets profile: a profile cannot choose another")
        except ConfigError as error:
            complain(ConfigError(f"{path}: {error}"))
        else:
            tables.append((name, values))
    return tables


def read_value(origin: str, name: str, value: object) -> Any:
    """Convert the value of a setting to the form in which it is used. Raises ConfigError."""
    if name not in READERS:
        raise ConfigError(f"{origin}: unknown setting {name!r}; {nearest(name, READERS)}")
    if name in FORBIDDEN and from_folder(origin):
        raise ConfigError(
            f"{origin} sets {name}, which {FORBIDDEN[name]}: the settings of a folder must not do that. "
            "Set it in your own config file, or in the environment"
        )
    try:
        return read_or_parse(READERS[name], value)
    except ValueError as error:
        secret = name in (*KEYS, "redis_url", "headers", "query", "models", "mcp") or "@" in str(value)
        shown = "a hidden value" if secret else one_line(repr(value), 60)
        raise ConfigError(f"{origin}: {name} is {shown}: {error}") from error
