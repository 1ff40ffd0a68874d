"""``swarmchat replay --update`` with handwritten tests: the results of tools, and nothing else in the file."""

import pytest

SHOP = """
from swarmchat.swarm import Agent, Swarm, tool

@tool
async def price(item: str) -> str:
    "Price of an item."
    return f"{item} costs 4"

@tool
async def stock(item: str) -> dict:
    "Stock of an item."
    return {"item": item, "left": 7}

swarm = Swarm("shop", [Agent("clerk", "You sell.", tools=[price, stock])])
"""
JSONL = """\
{"type": "session", "comment": "the price is of 2026"}
{"type":"user",  "text":"how much is tea?"}

{"type": "assistant", "calls": [{"name": "price", "arguments": {"item": "tea"}}, {"stock": {"item": "tea"}}]}
{"type": "tool",  "result": "tea costs 3", "comment": "kept"}
{"type": "tool", "result": {"item": "tea", "left": 5}}
{"type": "assistant", "text": "tea costs 3"}
{"type": "expect", "tools": ["price", "stock"]}
"""
YAML = """\
# Prices.
steps:
  - user: how much is tea?
  - assistant:
      calls: [price: {item: tea}, stock: {item: tea}]
  - tool: tea costs 3   # euros
  - tool:
      result:
        item: tea
        left: 5

  - assistant: tea costs 3
  - expect: {tools: [price, stock]}
"""
CHANGES = {
    "hand.jsonl": (
        JSONL,
        [('"tea costs 3", "comm', '"tea costs 4", "comm'), ('"left": 5', '"left": 7')],
    ),
    "hand.yaml": (
        YAML,
        [
            ("- tool: tea costs 3   #", "- tool: tea costs 4   #"),
            ("        left: 5", "        left: 7"),
        ],
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_results_are_written_into_a_handwritten_test(name, program):
    text, replacements = CHANGES[name]
    (program.folder / "shop.py").write_text(SHOP)
    path = program.folder / name
    path.write_text(text)
    command = ("replay", name, "-S", "shop.py", "--mode", "tools")

    refused = program.invoke(*command, "--update")
    assert (refused.code, "pass --yes" in refused.err, path.read_text()) == (3, True, text)
    assert "       1  the result of price differs from the one in the transcript\n" in refused.out

    done = program.invoke(*command, "--update", "--yes")
    assert (done.err, done.code) == ("", 0)
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new)
    assert path.read_text() == text
    assert program.invoke(*command).code == 0
    assert "nothing to update" in program.invoke(*command, "--update").out


def test_an_expectation_that_is_not_met_stays_and_fails(program):
    (program.folder / "shop.py").write_text(SHOP)
    path = program.folder / "hand.jsonl"
    path.write_text(JSONL + '{"type": "expect", "contains": "4"}\n')
    done = program.invoke("replay", "hand.jsonl", "-S", "shop.py", "--mode", "tools", "--update", "--yes")
    assert (done.code, "updated, 2 of 8 lines changed" in done.out) == (3, True)
    assert path.read_text().endswith('{"type": "expect", "contains": "4"}\n')


def test_a_call_that_no_longer_fits_is_not_written_as_a_result(program):
    (program.folder / "shop.py").write_text(SHOP.replace("def price", "def cost").replace("[price,", "[cost,"))
    path = program.folder / "hand.jsonl"
    path.write_text(JSONL)
    done = program.invoke("replay", "hand.jsonl", "-S", "shop.py", "--mode", "tools", "--update", "--yes")
    assert (done.code, '"tea costs 3", "comm' in path.read_text()) == (3, True)
