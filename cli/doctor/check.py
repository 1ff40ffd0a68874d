"""What a check of the doctor finds, and how checks are shown."""

import textwrap
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from swarmchat.cli.terminal.sanitize import one_line
from swarmchat.cli.terminal.themes import paint

Status = Literal["ok", "warning", "failed", "skipped"]

_ROLES = {"ok": "ok", "warning": "warning", "failed": "error", "skipped": "remark"}


@dataclass(frozen=True)
class Check:
    """One thing that was looked at: what was found, and what to do about it, each in a line."""

    group: str
    name: str
    status: Status
    found: str
    advice: str = ""

    def as_dict(self) -> Mapping[str, Any]:
        """Return the check as JSON has it, safe to print."""
        fields = asdict(self)
        return {**fields, "found": one_line(self.found, 600), "advice": one_line(self.advice, 600)}


class Checks:
    """The checks of one group, as they are made."""

    def __init__(self, group: str) -> None:
        self.group = group
        self.made: list[Check] = []

    def ok(self, name: str, found: str) -> None:
        """Note what is as it should be."""
        self.made.append(Check(self.group, name, "ok", found))

    def warning(self, name: str, found: str, advice: str) -> None:
        """Note what works, and not as well as it could."""
        self.made.append(Check(self.group, name, "warning", found, advice))

    def failed(self, name: str, found: str, advice: str = "") -> None:
        """Note what does not work. An error of ours says what to do after its colon."""
        self.made.append(Check(self.group, name, "failed", found, advice))

    def skipped(self, name: str, found: str, advice: str = "") -> None:
        """Note what was not looked at, or is not there and need not be."""
        self.made.append(Check(self.group, name, "skipped", found, advice))


def shown(check: Check, width: int, *, colour: bool) -> str:
    """Return the lines that show ``check``."""
    head = f"  {check.status:<8} {check.name:<12} "
    indent = " " * len(head) if width >= 60 else "    "
    found = one_line(check.found, 600)
    lines = textwrap.wrap(head + found, width, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False)
    if colour:
        lines[0] = lines[0].replace(check.status, paint(_ROLES[check.status], check.status), 1)
    if check.advice:
        advice = one_line(check.advice, 600)
        lines += textwrap.wrap(
            f"{indent}→ {advice}",
            width,
            subsequent_indent=f"{indent}  ",
            break_on_hyphens=False,
            break_long_words=False,
        )
    return "\n".join(lines)
