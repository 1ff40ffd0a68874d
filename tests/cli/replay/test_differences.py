"""What ``swarmchat replay`` shows of differences: causes first, the same change once, levels, and the first failure."""

import asyncio
import json
import shutil
from pathlib import Path

import pytest
from mutated_shop import MUTATIONS, SCENE

CHANGED = {mutation.name: mutation.apply(SCENE.source) for mutation in MUTATIONS}


@pytest.fixture
def shop(program) -> Path:
    """The folder with a recorded and a handwritten conversation."""
    asyncio.run(SCENE.record(program.folder))
    (program.folder / "written.jsonl").unlink()
    return program.folder


def replay(program, shop, *arguments, change=None, mode="tools"):
    if change is not None:
        (shop / "swarm.py").write_text(CHANGED[change])
        # Python takes a file of the same second and size for the one that it has compiled.
        shutil.rmtree(shop / "__pycache__", ignore_errors=True)
    return program.invoke("replay", "-S", "swarm.py", "--mode", mode, *arguments)


def test_a_tool_that_raises_comes_first_and_the_rest_is_folded(program, shop):
    done = replay(program, shop, "recorded.jsonl", change="a tool raises an error")
    lines = done.out.splitlines()
    assert lines[0].endswith("(tool of clerk): order failed")
    assert lines[1:3] == ["  - ok: in the basket: 2 Sencha", "  + error: ValueError: sold out"]
    assert lines[-1].endswith(" that follow from it: --diff long shows all")
    assert len(lines) == 7  # The basket stands in the prompt.


@pytest.mark.parametrize(
    ("change", "first", "diff"),
    [
        ("a tool renamed", "the tools of 'clerk' have changed: price is now cost", ["- tool: price", "+ tool: cost"]),
        (
            "a parameter's default",
            "the tools of 'clerk' have changed: price has changed",
            ["- price, parameter grams: default: 100", "+ price, parameter grams: default: 50"],
        ),
        ("an agent's parameters", "parameters.temperature has changed", ["- 0.2", "+ 0.3"]),
        ("an agent's model", "model has changed", ["- gpt-4o-mini", "+ gpt-4o"]),
    ],
)
def test_one_cause_is_one_difference(change, first, diff, program, shop):
    done = replay(program, shop, "recorded.jsonl", change=change, mode="verify")
    lines = done.out.splitlines()
    assert first in lines[0]
    assert [line.strip() for line in lines[1:3]] == diff
    assert len(lines) == 4


def test_the_same_change_in_many_files_is_shown_once(program, shop):
    log = (shop / "recorded.jsonl").read_bytes()
    for number in range(4):
        (shop / f"{number}.jsonl").write_bytes(log)
    done = replay(program, shop, ".", change="a word of a prompt", mode="verify")
    assert done.out.count("- You sell tea, and you are polite.") == 1
    summary = "5 conversations: the system prompt of 'clerk' has changed, 1 word (first in 0.jsonl, turn 1)"
    assert done.out.splitlines()[-1] == summary
    lines = replay(program, shop, ".", "--diff", "line", mode="verify").out.splitlines()
    assert len(lines) == 6
    assert all("more)" in line for line in lines[:5])
    assert replay(program, shop, ".", "--diff", "no", mode="verify").out.splitlines() == [summary]
    assert replay(program, shop, ".", "--diff", "long", mode="verify").out.count("you are polite") > 30
    first = replay(program, shop, ".", "-x", mode="verify")
    assert (first.code, "the conversation differs" in first.err) == (3, True)
    wrong = replay(program, shop, ".", "--diff", "all", mode="verify")
    assert (wrong.code, "--diff is 'all', expected one of no, line, short, long" in wrong.err) == (2, True)


def test_a_new_record_is_one_difference(program, shop):
    log = shop / "recorded.jsonl"
    records = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
    (removed,) = (record["seq"] for record in records if record["type"] == "memory")
    # As if the tool had not written to the memory then: everything behind it stands one place further up.
    text = "".join(json.dumps(_moved_up(record, removed)) + "\n" for record in records if record["seq"] != removed)
    log.write_text(text, "utf-8")
    done = replay(program, shop, "recorded.jsonl", "--diff", "long")
    assert done.out.splitlines() == [f"recorded.jsonl: turn 3, after record {removed - 1}: new record memory"]


def _moved_up(value, removed):
    positions = ("seq", "first_kept", "from", "to")
    if not isinstance(value, dict):
        return value
    return {
        name: each - (each > removed) if name in positions and isinstance(each, int) else _moved_up(each, removed)
        for name, each in value.items()
    }
