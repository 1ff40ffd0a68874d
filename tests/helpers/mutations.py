"""All changes of swarms in the table of docs/replay.md: first those that matter, then the harmless ones."""

import asyncio

import mutated_office
import mutated_shop
import mutated_tools
from mutation import COLUMNS, Finding

SCENES = (mutated_shop.SCENE, mutated_office.SCENE, mutated_tools.SCENE)
MUTATIONS = sorted((each for scene in SCENES for each in scene.mutations), key=lambda each: each.harmless)


def findings(step: int = 1) -> list[Finding]:
    """Return what the replays of each ``step``-th change say, in the order of ``MUTATIONS``."""
    found = [each for scene in SCENES for each in asyncio.run(scene.findings(scene.mutations[::step]))]
    return sorted(found, key=lambda each: MUTATIONS.index(each.mutation))


def table() -> str:
    """Return the table."""
    head = "| change | recorded: `verify` | recorded: `tools` | by hand: `verify` | by hand: `tools` |"
    return "\n".join([head, "| --- | --- | --- | --- | --- |", *(each.row for each in findings())])


__all__ = ["COLUMNS", "MUTATIONS", "findings", "table"]
