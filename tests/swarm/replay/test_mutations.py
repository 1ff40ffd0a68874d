"""Changes of a swarm that a replay must notice, and harmless ones: a sample of the table in docs/replay.md."""

import asyncio
import re
from pathlib import Path

import mutated_office
from mutations import COLUMNS, MUTATIONS, findings
from recorded import again
from swarmchat.swarm.agents.loader import load_swarm

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
    for finding in findings(step=24):
        assert finding.row == TABLE[finding.mutation.name]


def test_a_log_of_before_rules_were_recorded_replays_the_same(tmp_path):
    asyncio.run(mutated_office.SCENE.record(tmp_path))
    log = (tmp_path / "recorded.jsonl").read_bytes()
    older = re.sub(rb',"rules":(?:"\w+"|\[[^]]*\])', b"", log)
    assert len(older) < len(log)
    assert b"timeout" not in older
    swarm = load_swarm("swarm.py", tmp_path)
    assert asyncio.run(again(older, tmp_path / "older.jsonl", swarm)).differences == []
