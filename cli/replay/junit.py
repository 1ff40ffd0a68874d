"""The result of a replay as CI systems read it: JUnit's XML, one test case for each conversation."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape, quoteattr

if TYPE_CHECKING:
    from swarmchat.cli.replay.report import Done

# What XML 1.0 cannot hold, not even escaped.
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def as_junit(done: "Sequence[Done]", failures: Sequence[tuple[Path, str]]) -> bytes:
    """Return the report: a failure where something differs, an error for each file that cannot be used."""
    from swarmchat.cli.replay.report import told_of

    cases = []
    for each in done:
        name = each.conversation.name + (f" ({each.model})" if each.model else "")
        differences = each.replayed.differences
        told = ""
        if differences:
            text = "\n".join(told_of(differences))
            told = f"<failure message={_quoted(str(differences[0]))}>{escape(_clean(text))}</failure>"
        cases.append(_case(each.path, name, each.seconds, told))
    cases += [_case(path, path.name, 0, f"<error message={_quoted(why)}/>") for path, why in failures]
    failed = sum(not each.replayed.same for each in done)
    seconds = sum(each.seconds for each in done)
    counts = f'tests="{len(cases)}" failures="{failed}" errors="{len(failures)}" skipped="0" time="{seconds:.3f}"'
    suite = f'<testsuite name="swarmchat replay" {counts}>'
    lines = [f"<testsuites {counts}>", suite, *cases, "</testsuite>", "</testsuites>", ""]
    return ('<?xml version="1.0" encoding="utf-8"?>\n' + "\n".join(lines)).encode("utf-8")


def _case(path: Path, name: str, seconds: float, inside: str) -> str:
    about = f"classname={_quoted(str(path))} name={_quoted(name)} file={_quoted(str(path))}"
    return f'<testcase {about} time="{seconds:.3f}">{inside}</testcase>'


def _quoted(text: str) -> str:
    return quoteattr(_clean(text))


def _clean(text: str) -> str:
    return _NO_XML.sub("\ufffd", text)
