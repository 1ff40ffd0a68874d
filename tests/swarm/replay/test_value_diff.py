"""The lines of a diff: words of a text, fields of JSON, tools by their names."""

import pytest
from swarmchat.swarm.persistence.records import Record
from swarmchat.swarm.replay.compare import compare_logs
from swarmchat.swarm.replay.value_diff import changed_words, describe_tools, diff_values

MANY = "one two three four five six seven eight nine ten "


def function(name, description="", **parameters):
    properties = {key: {"type": kind} for key, kind in parameters.items()}
    schema = {"type": "object", "properties": properties, "required": list(parameters)}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": schema}}


def lines(old, new, **options):
    return [str(line) for line in diff_values(old, new, **options)]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("You sell tea.", "You sell tea.", []),
        ("You sell tea.", "You sell coffee.", ["- You sell tea.", "+ You sell coffee."]),
        ("a", "", ["- a", "+ "]),
        ("a  b", "a b", ["- a··b", "+ a·b"]),
        ("a\nb", "a\nc", ["- a⏎b", "+ a⏎c"]),
        (f"{MANY}old {MANY}", f"{MANY}new {MANY}", ["- …", "+ …"]),
        (3, "3", ["- 3", '+ 3']),
        (["a"], [], ['- ["a"]', "+ []"]),
        ('{"paid": 3, "left": 1}', '{"left": 1, "paid": 4}', ['- {"paid": 3, "left": 1}', '+ {"left": 1, "paid": 4}']),
        (
            {"a": {"b": [1, 2, 3], "c": "x" * 90}, "d": "e"},
            {"a": {"b": [1, 3], "c": "x" * 90}, "f": "e"},
            ["- a.b[1]: 2", '- d: e', '+ f: e'],
        ),
    ],
)  # fmt: skip
def test_values(old, new, expected):
    shown = lines(old, new)
    assert len(shown) == len(expected)
    assert all(line.startswith(start) for line, start in zip(shown, expected, strict=True))


def test_the_changed_words_are_marked_and_counted():
    old, new = "You sell tea, and you are polite. Be brief.", "You sell tea, and you are very kind. Be brief."
    (line, _) = diff_values(old, new)
    assert [text for text, changed in line.pieces if changed] == ["polite"]
    assert changed_words(old, new) == 2
    assert changed_words("a b c", "a b c") == 0


def test_changes_that_are_far_apart_are_shown_apart_and_bounded():
    old = " ".join(f"{MANY}w{n}" for n in range(20))
    assert len(lines(old, old.replace("w3", "x").replace("w15", "y"))) == 4
    many = lines(old, old.replace(" w", " v"))
    assert (len(many), many[-1]) == (9, "  … and 2 more lines")
    assert len(lines(old, old.replace(" w", " v"), whole=True)) == 10


TOOLS = [function("price", item="string"), function("order", item="string", count="integer")]


@pytest.mark.parametrize(
    ("new", "words", "expected"),
    [
        (TOOLS[:1], "order is gone", ["- tool: order"]),
        (TOOLS[::-1], "another order", ["- order: price, order", "+ order: order, price"]),
        ([function("cost", item="string"), TOOLS[1]], "price is now cost", ["- tool: price", "+ tool: cost"]),
        ([*TOOLS, function("pay")], "pay is new", ["+ tool: pay"]),
        (
            [TOOLS[0], function("order", item="string", count="string")],
            "order has changed",
            ["- order, parameter count: type: integer", "+ order, parameter count: type: string"],
        ),
        (
            [TOOLS[0], function("order", item="string")],
            "order has changed",
            ['- order, parameter count: {"type": "integer"}', "- order, required[1]: count"],
        ),
        (
            [function("price", "Cheap.", item="string"), TOOLS[1]],
            "price has changed",
            ["- price, description: ", "+ price, description: Cheap."],
        ),
    ],
)
def test_tools(new, words, expected):
    assert describe_tools(TOOLS, new) == words
    assert lines(TOOLS, new, tools=True) == expected


def test_two_long_texts_without_a_common_word_take_no_time_by_the_square():
    old, new = (" ".join(f"{letter}{n}" for n in range(20_000)) for letter in "ab")
    assert changed_words(old, new) == 20_000


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ({"ban_for": None}, {"ban_for": 60.0}, ["turn 1, record 0 (policy): the ban by rude lasts 60 s now"]),
        # A log of an older version has no such field.
        ({}, {"ban_for": 60.0}, []),
    ],
)
def test_the_length_of_a_ban_is_compared_where_it_is_known(old, new, words):
    def log(further):
        return [Record("policy", 0, 1, "2026-01-01T00:00:00.000Z", None, {"policy": "rude", "banned": True, **further})]

    assert list(map(str, compare_logs(log(old), log(new)))) == words
