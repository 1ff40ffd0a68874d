"""The page of results, ``docs/benchmarks.md``, written from ``docs/benchmarks.json``, which holds each part's last
run."""

import json
import os
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.parts import PARTS
from benchmarks.tables import Table, markdown_rows

DOCS = Path(__file__).parent.parent / "docs"
_DATA, _PAGE = DOCS / "benchmarks.json", DOCS / "benchmarks.md"
_PEERS = (
    "openai openai-agents langgraph langgraph-checkpoint-sqlite langchain-core langchain-openai litellm autogen-core "
    "llm redis hiredis diskcache tiktoken prompt-toolkit rich typer numpy"
).split()
_INTRODUCTION = """# Benchmarks

What swarmchat costs, beside what people would use instead. `make bench` measures all of it and writes this page,
`make bench ARGS="turns"` one part of it; `make bench-quick` prints a smaller run in two minutes.

All figures of a table come from one run, in which the variants took turns: compare within a table, and trust the ratios
more than the milliseconds. A ratio is the median over the rounds, each against the same round of its base. Libraries to
compare with run in processes of their own. What does not depend on the machine (round trips, bytes, records read, texts
counted, modules imported) is held by the tests.
"""


def keep(part: str, title: str, tables: list[Table]) -> None:
    """Store the ``tables`` of one part of the benchmark and write the page anew, in the order of the parts."""
    data = json.loads(_DATA.read_text("utf-8")) if _DATA.exists() else {}
    data[part] = {
        "title": title,
        "measured": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": _machine(),
        "versions": _versions(),
        "tables": [table.json for table in tables],
    }
    data = {name: data[name] for name in PARTS if name in data}
    _DATA.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", "utf-8")
    _PAGE.write_text(page(data), "utf-8")


def page(data: dict[str, Any]) -> str:
    """Return the page that shows ``data``."""
    tables = {part: [Table.from_json(table) for table in one["tables"]] for part, one in data.items()}
    aims = [aim for of_part in tables.values() for table in of_part for aim in table.aims]
    sections = [_INTRODUCTION, "## Aims\n", *markdown_rows(("", "aim", "measured", ""), [aim.row for aim in aims]), ""]
    for part, one in data.items():
        sections += [f"## {one['title']}\n", f"{one['measured']}, {one['machine']}.\n"]
        sections += [f"{table.markdown}\n" for table in tables[part]]
    sections += ["## Versions\n", _newest(data)]
    return "\n".join(sections)


def _newest(data: dict[str, Any]) -> str:
    versions: dict[str, str] = {}
    for part in sorted(data.values(), key=lambda part: part["measured"]):
        versions |= part["versions"]
    return ", ".join(f"{name} {versions[name]}" for name in _PEERS if name in versions) + ".\n"


def _machine() -> str:
    processor = platform.processor()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        processor = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), processor)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    python = f"Python {platform.python_version()}"
    return f"{processor}, {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()}, {python}"


def _versions() -> dict[str, str]:
    versions = {}
    for name in _PEERS:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions
