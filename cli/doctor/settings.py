"""Checks of the settings: files, profiles, misspelt names, the key, and the data folder."""

import os
import shlex
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from swarmchat.cli.doctor.check import Check, Checks
from swarmchat.cli.doctor.host import mode
from swarmchat.cli.errors import ConfigError
from swarmchat.cli.settings import wiring
from swarmchat.cli.settings.credentials import has_key, key_origin, read_key
from swarmchat.cli.settings.settings import Settings, read_files, read_value

_SECRETS = ("api_key", "api_key_command")


def check_settings(flags: Mapping[str, Any]) -> tuple[Settings, list[Check]]:
    """Return the settings that can be read, and the checks."""
    checks = Checks("settings")
    problems: list[ConfigError] = []
    settings = wiring.read_settings(flags, complain=problems.append)
    for path in wiring.settings_files():
        _check_file(checks, path)
    told = {str(problem) for problem in problems}
    for problem in problems:
        checks.failed("problem", str(problem))
    for found in _unused_profiles():
        if found not in told:
            checks.warning("problem", found, "it counts when that profile is chosen")
    places: dict[str, list[str]] = {}
    for name, origin in settings.origins.items():
        places.setdefault(origin, []).append(name)
    if places:
        for origin, names in places.items():
            checks.ok("origin", f"{origin}: {', '.join(names)}")
    else:
        checks.ok("origin", "nothing is set: all settings have their defaults")
    return settings, checks.made


def _check_file(checks: Checks, path: Path) -> None:
    try:
        if not path.exists():
            checks.skipped("file", f"{path}: does not exist")
            return
        found, profiles = read_files([path], lambda error: None)
        tables = f", profiles: {', '.join(profiles)}" if profiles else ""
        names = [*found, *(place for each in profiles.values() for place in each)]
        open_to_all = mode(path) & 0o077 and any(name in values for _, values in names for name in _SECRETS)
    except OSError as error:
        checks.failed("file", f"{path} cannot be read: {error.strerror}", "check its permissions")
        return
    if open_to_all:
        checks.warning("file", f"{path} holds a key, and others can read it", f"chmod 600 {path}")
    else:
        checks.ok("file", f"{path}{tables}")


def _unused_profiles() -> list[str]:
    """Return the problems in all profiles, chosen or not."""
    problems = []
    _, profiles = read_files(wiring.settings_files(), lambda error: None)
    for places in profiles.values():
        for origin, values in places:
            for name, value in values.items():
                try:
                    read_value(origin, name, value)
                except ConfigError as error:
                    problems.append(str(error))
    return problems


def check_key(settings: Settings) -> tuple[list[Check], bool]:
    """Check the key, which is never shown. Returns the checks, and whether requests can be sent."""
    checks = Checks("model")
    if not has_key(settings):
        checks.skipped("key", "none is set" + ("" if settings.base_url else ": the demo model answers"))
        return checks.made, True
    try:
        wiring.check_key_stays_home(settings)
        key = read_key(settings) or ""
    except ConfigError as error:
        checks.failed("key", str(error))
        return checks.made, False
    # Its length helps to see a key that was cut or doubled, and opens nothing.
    found = f"*** ({len(key.strip())} letters, from {key_origin(settings)})"
    if key.strip().isascii() and key.strip().isprintable() and " " not in key.strip():
        checks.ok("key", found)
        return checks.made, True
    checks.failed("key", f"{found} holds a space, a line break or a letter outside ASCII", "copy it again")
    return checks.made, False


def check_folder(settings: Settings) -> list[Check]:
    """Check the data folder: its permissions and free space."""
    from swarmchat.cli.doctor.host import free_space

    checks = Checks("storage")
    try:
        folder = wiring.data_dir(settings)
    except ConfigError as error:
        status = checks.failed if settings.backend == "disk" else checks.skipped
        status("folder", str(error))
        return checks.made
    try:
        free = free_space(folder) / 1e9
    except OSError as error:
        checks.failed("folder", f"{folder} cannot be checked: {error.strerror}", "name another one with --data-dir")
        return checks.made
    if not folder.is_dir():
        checks.skipped("folder", f"{folder} does not exist yet; {free:.1f} GB free")
        return checks.made
    kept = [folder, folder / "sessions", folder / "sessions/cache.db", folder / "prompts"]
    loose = []
    for path in kept:
        with suppress(OSError):
            # Who may see that there is a folder sees nothing that is in those within it.
            if mode(path) & (0o022 if path == folder else 0o077):
                loose.append(f"{path} ({mode(path):o})")
    if not os.access(folder, os.W_OK):
        checks.warning("folder", f"{folder} cannot be written", "name another one with --data-dir, or use -b memory")
    elif loose:
        fix = f"chmod -R go= {shlex.quote(str(folder))}"
        checks.warning("folder", f"not for you alone: {', '.join(loose)}", fix)
    elif free < 0.1:
        checks.warning("folder", f"{folder}: {free * 1000:.0f} MB free", "make room: a full disk stores no turns")
    else:
        checks.ok("folder", f"{folder}, for you alone; {free:.1f} GB free")
    return checks.made
