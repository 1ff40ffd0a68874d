"""Tests of conversations as YAML: what it means, what it refuses, and that its JSONL twin gives the same."""

import asyncio
import json
import os
import tempfile
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from swarmchat.swarm.errors import TranscriptError
from swarmchat.swarm.replay.files import read_conversations
from swarmchat.swarm.replay.selection import transcripts_in
from swarmchat.swarm.replay.yaml_file import read_yaml

TRAPS = """
norway: no
answer: yes
switch: off
date: 2026-01-05
time: 12:30:45
zip: 01907
version: 1.10
underscored: 1_000
hex: 0x1F
octal: 0o17
infinite: .inf
huge: 1.0e+999
hash: 12e4
quoted: "5"
tagged: !!str 5
numbers: [5, -1.5, 1.0e+3]
words: [true, null, ~, True]
1: one
no: false
"""


def read(text: str):
    return [value for value, _ in read_yaml(text.encode(), "t.yaml")]


def test_only_what_json_writes_so_is_no_text():
    (values,) = read(TRAPS)
    texts = {name: value for name, value in values.items() if isinstance(value, str)}
    assert (
        " ".join(texts) == "norway answer switch date time zip underscored hex octal infinite huge hash quoted tagged 1"
    )
    assert [texts[name] for name in ("norway", "date", "zip", "quoted", "tagged")] == [
        "no",
        "2026-01-05",
        "01907",
        "5",
        "5",
    ]
    assert values["version"] == 1.1
    assert (values["numbers"], values["words"], values["no"]) == ([5, -1.5, 1000.0], [True, None, None, "True"], False)


def test_json_is_yaml():
    value = {"a": [1, 2.5, None, True, "no", {"b": "x: # y"}], "c": "\u00e9\n"}
    assert read(json.dumps(value)) == [value]


def conversations_in(path: Path):
    return asyncio.run(read_conversations(path))


def bomb() -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3", "line 3: the key 'a' occurs twice, first in line 1"),
        (bomb(), "has more than 200,000 values"),
        ("a: &a [*a]", "line 1: the alias *a has no anchor &a that ends before it"),
        ("a: *b", "line 1: the alias *b"),
        ("- " * 150 + "x", "nested more than 100 levels deep"),
        ("{a: " * 120 + "1" + "}" * 120, "nested more than 100 levels deep"),
        ("a: !!python/object:os.system x", "line 1: it has the tag"),
        ("a: !!int 5", "tags are not supported"),
        ("a:\n  <<: {b: 1}", "line 2: merging with << is not supported"),
        ("a: {{fruit}}", "line 1: a key is a list or an object"),
        ("a: [1, 2", "line 2: it is not YAML"),
        ("a:\n\t- b", "line 2: it is not YAML"),
        ("a: b: c", "line 1: it is not YAML"),
        ("a: 1\nb: '\x07'", "line 2: YAML cannot hold the character '\\x07'"),
    ],
)
def test_what_is_refused(text, message):
    with pytest.raises(TranscriptError) as caught:
        read(text)
    assert str(caught.value).startswith("t.yaml, line ")
    assert message in str(caught.value)


def test_bytes_that_are_not_utf8_are_named_with_their_line():
    with pytest.raises(TranscriptError, match=r"t\.yaml, line 2: byte 0xff is not UTF-8"):
        list(read_yaml(b"a: 1\nb: \xff", "t.yaml"))


GOOD = "conversations:\n  - name: a\n    steps:\n      - user: hi\n      - expect: {refused: false}\n"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("name: a", "nam: a", "line 2: unknown key 'nam'; did you mean 'name'?"),
        ("conversations", "conversation", "line 1: unknown key 'conversation'; did you mean 'conversations'?"),
        ("user: hi", "usr: hi", "line 4: unknown step 'usr'; did you mean 'user'?"),
        ("expect: {", "expect: {contains: '', ", "'contains' is empty, so every turn passes"),
        ("user: hi", "input: hi", "line 4: unknown step 'input'; did you mean 'user'?"),
        ("user: hi", "user: {text: hi, images: cat.png}", "line 4: 'images' is 'cat.png', expected a list of paths"),
        ("user: hi", "user: 5", "line 4: 'user' is 5, expected a text (in quotes if"),
        ("user: hi", "user: {text: hi,\n         tex: x}", "line 5: unknown field 'tex' in a 'user'"),
        ("refused", "\n         contains: a,\n         refusd", "line 7: unknown field 'refusd' in an 'expect'"),
        ("refused", "turn: 2, refused", "line 5: 'turn' is 2, but the line is about turn 1"),
        ("name: a", "tags: [a b]", "the tag 'a b' is not a word"),
        ("steps:\n", "steps: 5\n    id:\n", "line 3: 'steps' is 5"),
        ("name: a", "parameters: [{a: 1}, {b: 1}]", "line 2: the rows of 'parameters' differ in a, b"),
        ("name: a", "parameters: {a: 1}", "line 2: 'parameters' is {\"a\": 1}, expected a list of objects"),
        ("name: a", "parameters: [{f: 1}]\n    comment: ${g}", "line 2: unknown parameter 'g'"),
        ("user: hi", "user: hi\n      - tool: {result: x, when: {a: 1}}", "line 5: 'when' selects rows of"),
        ("name: a", "parameters: [f: 1]\n    steps: [user: x, tool: {when: {g: 1}}]\n  - name: b", "unknown parameter"),
        ("name: a", "parameters: [f: 1]\n    steps: [user: x, tool: {when: {f: 2}}]\n  - name: b", "no row of"),
        ("name: a", "parameters: [f: 1]\n    steps: [user: {when: {f: 1}}]\n  - name: b", "have the same questions"),
        ("- name: a\n", "- name: a\n    steps: [user: x]\n  - name: a\n", "line 4: the name 'a' is also that of"),
        ("    steps:\n", "    steps:\n\t\n\t- user: x\n", "a line is indented with a tab, use spaces"),
        ("name: a", "model: 5", "line 2: 'model' is 5, expected a text"),
        ("name: a", "ignore: [requst.tokens]", "unknown type of record 'requst' in 'ignore'; did you mean 'request'?"),
        ("- name: a\n", "- 5\n  - name: a\n", "a conversation is 5, expected an object"),
    ],
)  # fmt: skip
def test_an_invalid_test_is_named_with_file_and_line(old, new, message, tmp_path):
    assert old in GOOD
    path = tmp_path / "t.yaml"
    path.write_text(GOOD.replace(old, new))
    with pytest.raises(TranscriptError) as caught:
        conversations_in(path)
    assert str(caught.value).startswith(f"{path}, line ")
    assert message in str(caught.value)


def test_parameters_make_conversations_with_their_values(tmp_path):
    path = tmp_path / "t.yaml"
    path.write_text(
        "tags: [smoke]\nconversations:\n  - name: a\n    tags: [x]\n"
        "    parameters:\n      - {n: 1, who: Ann}\n      - {n: 1, who: Ann}\n"
        "    steps:\n      - user: ${who} takes $${n} ${n}\n        expect: {states: {order: {n: '${n}'}}}\n"
    )
    one, two = conversations_in(path)
    assert (one.name, two.name, one.tags) == ("a[1-Ann]", "a[1-Ann]-2", ["smoke", "x"])
    assert one.records[1].message["content"] == "Ann takes ${n} 1"
    assert one.expectations[0].fields == {"states": {"order": {"n": 1}}}


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]) | st.just("\n"), max_size=20)
WORDS = TEXT | st.sampled_from(
    ["no", "~", "1e3", "0170", "2026-01-05", "12:30", "on", "null", "- a", "a: b", "*a", "&a", "!x", "${a}"]
)
KEYS = WORDS.filter(lambda key: key[:1] not in ("$", "<"))
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
STEPS = st.one_of(
    st.fixed_dictionaries({"user": WORDS}),
    st.fixed_dictionaries({"user": WORDS, "assistant": WORDS}),
    st.fixed_dictionaries({"user": WORDS, "expect": st.fixed_dictionaries({"states": st.dictionaries(WORDS, VALUE)})}),
)


@given(st.lists(STEPS, min_size=1, max_size=3), st.sampled_from([None, True, False]))
def test_a_yaml_file_and_its_jsonl_twin_are_the_same(steps, flow):
    lines = [{"type": "session", "name": "a"}]
    for step in steps:
        for kind, value in step.items():
            lines.append({"type": kind, **(value if kind == "expect" else {"text": value})})
    outcomes = []
    with tempfile.TemporaryDirectory() as folder:
        yaml_path, twin = Path(folder) / "t.yaml", Path(folder) / "t.jsonl"
        # What another program writes as YAML, with its own rules for quotes, is read as it meant it.
        document = {"conversations": [{"name": "a", "steps": steps}]}
        yaml_path.write_text(
            yaml.safe_dump(document, allow_unicode=True, default_flow_style=flow, sort_keys=False), "utf-8"
        )
        twin.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
        for path in (yaml_path, twin):
            try:
                (conversation,) = conversations_in(path)
            except TranscriptError as error:
                outcomes.append(str(error).partition(": ")[2])
                continue
            fields = [(each.turn, each.fields) for each in conversation.expectations]
            outcomes.append(([(record.type, record.turn, record.data) for record in conversation.records], fields))
    assert outcomes[0] == outcomes[1]


def test_of_a_folder_only_yaml_with_tests_is_taken(tmp_path):
    for name, text in (("a.yaml", GOOD), ("b.yml", "step: []"), ("compose.yaml", "services: {}"), ("c.json", "{}")):
        (tmp_path / name).write_text(text)
    assert [path.name for path in transcripts_in(tmp_path)] == ["a.yaml", "b.yml", "c.json"]


@pytest.mark.parametrize("name", ["pipe.yaml", "pipe.jsonl"])
def test_a_pipe_is_not_waited_for(tmp_path: Path, name: str):
    os.mkfifo(tmp_path / name)
    with pytest.raises(TranscriptError, match="is not a regular file"):
        asyncio.run(read_conversations(tmp_path / name))
