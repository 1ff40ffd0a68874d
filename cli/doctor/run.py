"""Run all checks of the doctor, and print them one by one or as JSON."""

import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, get_args

from swarmchat.backends import BackendError
from swarmchat.cli.doctor.check_result import Check, Status, format_check
from swarmchat.cli.doctor.environment import check_completion, check_key, check_program, check_settings, check_terminal
from swarmchat.cli.terminal.capabilities import can_move, wants_colour
from swarmchat.cli.terminal.printing import print_json
from swarmchat.cli.terminal.themes import use_theme


async def run_doctor(flags: Mapping[str, Any], *, offline: bool, everything: bool, as_json: bool) -> int:
    """Run all checks and print them. Returns 1 if one failed, else 0."""
    report = _Report(as_json=as_json)
    report.add(check_program())
    report.add(check_terminal(os.environ))
    report.add(check_completion(os.environ))
    settings, checks = check_settings(flags)
    use_theme(settings.theme)
    report.add(checks)
    checks, usable = check_key(settings)
    report.add(checks)
    from swarmchat.cli.doctor.model import check_model
    from swarmchat.cli.doctor.store import check_backend, check_folder, check_sessions

    with _status_line("asking the model's server"):
        checks = await check_model(settings, offline=offline, usable=usable)
    report.add(checks)
    report.add(check_folder(settings))
    with _status_line("testing the store"):
        backend, checks = await check_backend(settings, offline=offline)
    report.add(checks)
    if backend is not None:
        try:
            with _status_line("reading the sessions"):
                checks = await check_sessions(backend, settings.client_name, everything=everything)
            report.add(checks)
        finally:
            with suppress(BackendError):
                await backend.close()
    return report.end()


@contextmanager
def _status_line(text: str) -> Iterator[None]:
    """Show a line while the context is open: a server may be silent for half a minute."""
    if not can_move(sys.stderr):
        yield
        return
    print(f"  {text} · Ctrl-C stops", end="", file=sys.stderr, flush=True)
    try:
        yield
    finally:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)


class _Report:
    """Prints each check as it arrives, under the name of its group; or all of them at the end, as JSON."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._checks: list[Check] = []

    def add(self, checks: Sequence[Check]) -> None:
        for check in checks:
            if not self._as_json:
                if not self._checks or self._checks[-1].group != check.group:
                    print(check.group)
                print(format_check(check, colour=wants_colour(sys.stdout)), flush=True)
            self._checks.append(check)

    def end(self) -> int:
        """Print the JSON or the summary. Returns the exit code: 1 if a check failed, else 0."""
        counts = Counter(check.status for check in self._checks)
        if self._as_json:
            print_json({"ok": not counts["failed"], "checks": [check.as_dict() for check in self._checks]})
        else:
            print("\n" + ", ".join(f"{counts[status]} {status}" for status in get_args(Status)))
        return int(counts["failed"] > 0)
