"""Changes of a swarm that a replay must notice, and harmless ones: a sample of the table in docs/replay.md."""

import asyncio
from pathlib import Path

from mutations import COLUMNS, MUTATIONS, findings, row

PAGE = Path(__file__).parents[3] / "docs" / "replay.md"
ROWS = PAGE.read_text("utf-8").partition("<!-- begin mutations -->")[2].partition("<!-- end mutations -->")[0]
TABLE = {line.split("|")[1].strip(): line for line in ROWS.strip().splitlines()[2:]}


def test_the_table_names_all_changes_and_is_as_it_should_be():
    assert list(TABLE) == [mutation.name for mutation in MUTATIONS], "run: make docs"
    for mutation in MUTATIONS:
        marks = [cell.strip() for cell in TABLE[mutation.name].strip("|").split("|")[1:]]
        recorded = marks[:2]
        assert len(marks) == len(COLUMNS)
        assert (set(marks) == {"-"}) if mutation.harmless else ("fails" in recorded), mutation.name


def test_a_sample_of_the_changes_is_noticed_as_the_table_says():
    for finding in asyncio.run(findings(MUTATIONS[3::35])):
        assert row(finding) == TABLE[finding.mutation.name]
