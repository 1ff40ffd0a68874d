"""The result of one check, and its form on the screen and in JSON."""

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from swarmchat.cli.terminal.capabilities import report_width
from swarmchat.cli.terminal.sanitize import one_line
from swarmchat.cli.terminal.themes import paint

Status = Literal["ok", "warning", "failed", "skipped"]

_ROLES: Mapping[Status, str] = {"ok": "ok", "warning": "warning", "failed": "error", "skipped": "remark"}


@dataclass(frozen=True)
class Check:
    """The result of a check: its status, finding and advice, each in a line."""

    group: str
    name: str
    status: Status
    finding: str
    advice: str = ""

    def as_dict(self) -> Mapping[str, Any]:
        """Return the check as it appears in JSON, safe to print."""
        return {
            "group": self.group,
            "name": self.name,
            "status": self.status,
            "found": one_line(self.finding, 600),
            "advice": one_line(self.advice, 600),
        }


class Checks(list[Check]):
    """The checks of one group, in the order in which they were made."""

    def __init__(self, group: str) -> None:
        super().__init__()
        self.group = group

    def add(self, status: Status, name: str, finding: str, advice: str = "") -> None:
        """Append a check. ``skipped``: not checked, or missing but not required."""
        self.append(Check(self.group, name, status, finding, advice))

    def judge(
        self, good: bool, name: str, finding: str, *, problem: str = "", advice: str = "", status: Status = "warning"
    ) -> None:
        """Append an ok check if ``good``, else one with ``status``, ``advice`` and the ``problem``, if it differs."""
        if good:
            self.add("ok", name, finding)
        else:
            self.add(status, name, problem or finding, advice)


def format_check(check: Check, *, colour: bool) -> str:
    """Return the lines that show ``check`` on the screen."""
    width = report_width()
    head = f"  {check.status:<8} {check.name:<12} "
    indent = " " * len(head) if width >= 60 else "    "
    wrap = partial(textwrap.wrap, width=width, break_on_hyphens=False, break_long_words=False)
    lines = wrap(head + one_line(check.finding, 600), subsequent_indent=indent)
    if colour:
        lines[0] = lines[0].replace(check.status, paint(_ROLES[check.status], check.status), 1)
    if check.advice:
        lines += wrap(f"{indent}→ {one_line(check.advice, 600)}", subsequent_indent=f"{indent}  ")
    return "\n".join(lines)
