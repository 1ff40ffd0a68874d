"""The selection of conversations: expressions, names, tags and folders."""

from pathlib import Path

import pytest
from swarmchat.swarm.replay.files import RecordedConversation
from swarmchat.swarm.replay.selection import Selection, SelectionError, parse_expression

NAMES = ("tests/Shop.jsonl::order tea", "smoke", "eu")


@pytest.mark.parametrize(
    ("expression", "is_selected"),
    [
        ("tea", True),
        ("TEA", True),
        ("shop", True),
        ("coffee", False),
        ("not coffee", True),
        ("not not tea", True),
        ("tea and smoke", True),
        ("tea and slow", False),
        ("slow or eu", True),
        ("slow or tea and coffee", False),
        ("(slow or tea) and not (coffee or us)", True),
        ("shop.jsonl::order", True),
    ],
)
def test_expressions(expression: str, is_selected: bool):
    assert parse_expression(expression)(NAMES) is is_selected


@pytest.mark.parametrize("expression", ["and", "tea and", "not", "(tea", "tea)", "tea coffee", "()", "  "])
def test_invalid_expressions(expression: str):
    with pytest.raises(SelectionError, match="expected words with and, or, not and parentheses") as raised:
        parse_expression(expression)
    assert raised.value.exit_code == 2


def test_names_and_files(tmp_path: Path):
    for name in ("b.jsonl", "a.json", "c.yaml", "notes.md", "in/d::e.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("steps:\n- user: hi\n")
    selection = Selection.of([tmp_path / "in" / "d::e.jsonl", Path(f"{tmp_path}/b.jsonl::one  two"), tmp_path])
    assert [path.name for path in selection.paths] == ["d::e.jsonl", "b.jsonl", "a.json", "c.yaml"]
    conversations = [RecordedConversation(name, [], whole=True) for name in ("one\ttwo", "three")]
    assert len(selection.of_file(tmp_path / "b.jsonl", conversations)) == 2, "the folder holds all of the file"
    alone = Selection.of([Path("b.jsonl::one two"), Path("b.jsonl::three")])
    assert alone.of_file(Path("b.jsonl"), conversations) == conversations
    alone = Selection.of([Path("b.jsonl::four")])
    with pytest.raises(SelectionError, match=r"b\.jsonl has no conversation 'four'; it has: one two, three"):
        alone.of_file(Path("b.jsonl"), conversations)
