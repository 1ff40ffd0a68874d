"""Recorded answers are written between the lines of an author, however these are laid out."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from swarmchat.swarm.errors import TranscriptError
from swarmchat.swarm.replay.writing import record_answers
from swarmchat.swarm.replay.yaml_tests import yaml_parts

PATH = Path("t.yaml")
VALUES = {
    "user": ["hi", '"a # b"', "{text: hi}", "|\n{0}two\n{0}# no comment\n{0}lines", "\n{0}text: deep"],
    "assistant": ["old", "{text: old}", "|-\n{0}old\n{0}older", "\n{0}calls:\n{0}- find"],
    "tool": ["found", "{result: {a: 1}}"],
    "expect": ["{contains: x}", "\n{0}contains: x\n{0}tools: []"],
}
TURNS = [
    ["user"],
    ["user", "expect"],
    ["user", "assistant"],
    ["user", "assistant", "expect"],
    ["user", "assistant", "tool", "assistant", "expect"],
]
STEPS = [("assistant", {"text": "new\nanswer"}), ("tool", {"result": {"a": [1]}}), ("assistant", {"text": "- x: y"})]


@st.composite
def files(draw: st.DrawFn) -> tuple[str, list[int]]:
    """Draw a file of tests and the number of turns of each conversation."""
    outer, inner, gap = draw(st.sampled_from([0, 2])), draw(st.sampled_from([0, 2])), draw(st.sampled_from([1, 3]))
    lines, turns = ["# top", "conversations:"], []
    for number in range(draw(st.integers(1, 2))):
        lines += [f"{' ' * outer}- name: c{number}", f"{' ' * outer}  steps:"]
        dash = outer + 2 + inner
        drawn = draw(st.lists(st.sampled_from(TURNS), min_size=1, max_size=3))
        turns.append(len(drawn))
        for kinds in drawn:
            seen: set[str] = set()
            for kind in kinds:
                value = draw(st.sampled_from(VALUES[kind])).replace("{0}", " " * (dash + 8))
                joins = bool(seen) and kind not in seen and draw(st.booleans())
                begin = " " * (dash + 1 + gap) if joins else " " * dash + "-" + " " * gap
                seen = {*seen, kind} if joins else {kind}
                lines.append(f"{begin}{kind}: {value}")
                if draw(st.booleans()):
                    lines += ["", " " * draw(st.sampled_from([0, dash, dash + 1 + gap])) + f"# comment {len(lines)}"]
    return "\n".join(lines) + "\n", turns


def kinds_of(text: bytes, *, recorded: bool) -> list[list[Any]]:
    parts = yaml_parts(text, "t.yaml")
    return [[value for _, value in part if (value["type"] in ("assistant", "tool")) is recorded] for part in parts]


@given(files(), st.lists(st.integers(0, 3), min_size=6, max_size=6), st.integers(0, 2))
def test_what_the_author_wrote_stays(file, counts, skipped):
    text, turns = file
    left = iter(counts)
    drawn = {n: [STEPS[: next(left)] for _ in range(count)] for n, count in enumerate(turns, 1)}
    answers = {n: steps for n, steps in drawn.items() if n != skipped}
    recorded = record_answers(text.encode(), PATH, answers)
    assert kinds_of(recorded, recorded=False) == kinds_of(text.encode(), recorded=False)
    expected = kinds_of(text.encode(), recorded=True)
    for n, each in answers.items():
        expected[n - 1] = [{"type": kind, **fields} for turn in each for kind, fields in turn]
    assert kinds_of(recorded, recorded=True) == expected
    lines = [line.strip() for line in recorded.decode().splitlines()]
    assert [line for line in text.splitlines() if "# comment" in line and line.strip() not in lines] == []
    assert record_answers(recorded, PATH, answers) == recorded


@pytest.mark.parametrize("text", ["steps: [{user: hi}]\n", "steps:\n  - {user: hi}\n"])
def test_a_step_on_a_shared_line_cannot_be_edited(text):
    with pytest.raises(TranscriptError, match="a step shares its line with others"):
        record_answers(text.encode(), PATH, {})


def test_steps_of_two_conversations_cannot_be_edited():
    text = "conversations:\n  - steps: &s\n      - user: hi\n  - steps: *s\n"
    with pytest.raises(TranscriptError, match=r"t\.yaml, line 4: its steps are shared with another conversation"):
        record_answers(text.encode(), PATH, {})
