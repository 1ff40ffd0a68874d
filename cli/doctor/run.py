"""Run all checks of the doctor, and print them one by one or as JSON."""

import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from swarmchat.backends import BackendError
from swarmchat.cli.doctor.check import Check, Status, shown
from swarmchat.cli.doctor.host import check_completion, check_program, check_terminal
from swarmchat.cli.doctor.settings import check_folder, check_key, check_settings
from swarmchat.cli.terminal.capabilities import can_move, wants_colour
from swarmchat.cli.terminal.printing import print_json
from swarmchat.cli.terminal.themes import use_theme

_WIDEST = 110


async def run_doctor(flags: Mapping[str, Any], *, offline: bool, everything: bool, as_json: bool) -> int:
    """Run all checks and print them. Returns 1 if one failed, else 0."""
    made: list[Check] = []
    tell = made.append if as_json else _Printer(made)

    def take(checks: Sequence[Check]) -> None:
        for check in checks:
            tell(check)

    take(check_program())
    take(check_terminal(os.environ))
    take(check_completion(os.environ))
    settings, checks = check_settings(flags)
    use_theme(settings.theme)
    take(checks)
    key_checks, usable = check_key(settings)
    take(key_checks)
    from swarmchat.cli.doctor.backend import check_backend
    from swarmchat.cli.doctor.model import check_model

    with _waiting("asking the model's server"):
        checks = await check_model(settings, offline=offline, usable=usable)
    take(checks)
    take(check_folder(settings))
    with _waiting("trying the store"):
        backend, checks = await check_backend(settings, offline=offline)
    take(checks)
    if backend is not None:
        from swarmchat.cli.doctor.sessions import check_sessions

        try:
            with _waiting("reading the sessions"):
                checks = await check_sessions(backend, settings.client_name, everything=everything)
            take(checks)
        finally:
            with suppress(BackendError):
                await backend.close()
    failed = any(check.status == "failed" for check in made)
    if as_json:
        print_json({"ok": not failed, "checks": [check.as_dict() for check in made]})
    else:
        print(f"\n{_summary(made)}")
    return int(failed)


@contextmanager
def _waiting(what: str) -> Iterator[None]:
    """Show a line while the context is open: a server may be silent for half a minute."""
    if not can_move(sys.stderr):
        yield
        return
    print(f"  {what} · Ctrl-C stops", end="", file=sys.stderr, flush=True)
    try:
        yield
    finally:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)


class _Printer:
    """Prints each check as it arrives, under the name of its group, and appends it to ``made``."""

    def __init__(self, made: list[Check]) -> None:
        self._made = made
        self._width = min(_WIDEST, shutil.get_terminal_size((_WIDEST, 24)).columns)
        self._colour = wants_colour(sys.stdout)

    def __call__(self, check: Check) -> None:
        if not self._made or self._made[-1].group != check.group:
            print(f"{check.group}")
        self._made.append(check)
        print(shown(check, self._width, colour=self._colour), flush=True)


def _summary(made: Sequence[Check]) -> str:
    def count(status: Status) -> int:
        return sum(check.status == status for check in made)

    kinds: tuple[Status, ...] = ("ok", "warning", "failed", "skipped")
    return ", ".join(f"{count(kind)} {kind}" for kind in kinds)
