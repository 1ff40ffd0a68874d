"""``python -m benchmarks [PART …] [--quick] [--write]``: measures and prints; all parts by default."""

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

from benchmarks.page import keep
from benchmarks.parts import PARTS
from benchmarks.setup import Setup


async def run(parts: list[str], *, quick: bool, write: bool) -> None:
    """Measure the ``parts`` one after the other, each in a folder of its own; with ``write``, keep what comes out."""
    for part in parts:
        started = time.perf_counter()
        tables = []
        with tempfile.TemporaryDirectory(prefix="swarmchat-bench-") as folder:
            async for table in PARTS[part].run(Setup(Path(folder), quick)):
                print(table.text, flush=True)
                tables.append(table)
        print(f"\n({part}: {time.perf_counter() - started:.0f} s)", flush=True)
        if write:
            keep(part, PARTS[part].TITLE, tables)


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--quick", action="store_true", help="less of everything, in under two minutes")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md")
    options = parser.parse_args()
    if options.quick and options.write:
        parser.error("--write keeps full runs only")
    asyncio.run(run(options.parts or list(PARTS), quick=options.quick, write=options.write))


if __name__ == "__main__":
    main()
