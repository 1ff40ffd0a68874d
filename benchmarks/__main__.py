"""``python -m benchmarks [rotation] [opening] [turns] [start]``: all of them by default."""

import asyncio
import sys
import tempfile
from pathlib import Path

from benchmarks import opening, rotation, start, turns
from benchmarks.stores import open_stores

PARTS = ("rotation", "opening", "turns", "start")


async def run(wanted: list[str], folder: Path) -> None:
    """Measure the ``wanted`` parts, with all files in ``folder``."""
    if "rotation" in wanted:
        await rotation.run()
    if {"opening", "turns"} & set(wanted):
        async with open_stores(folder) as stores:
            if "opening" in wanted:
                await opening.run(stores)
            if "turns" in wanted:
                await turns.run(stores)
    if "start" in wanted:
        await start.run(folder)


def main() -> None:
    """Run what the command line names."""
    wanted = sys.argv[1:] or list(PARTS)
    if unknown := set(wanted) - set(PARTS):
        sys.exit(f"no benchmark {', '.join(sorted(unknown))}: expected {', '.join(PARTS)}")
    with tempfile.TemporaryDirectory(prefix="swarmchat-bench-") as folder:
        asyncio.run(run(wanted, Path(folder)))


main()
