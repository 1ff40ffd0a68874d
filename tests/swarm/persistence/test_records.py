"""The one form of a record, and what is done with lines that are none."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from swarmchat.swarm.common.encoding import clean_text, encode_json
from swarmchat.swarm.errors import BadRecord
from swarmchat.swarm.persistence.records import FORMAT_VERSION, Record, parse_record

TIME = "2026-01-02T03:04:05.678Z"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def test_a_record_is_one_line_of_json():
    record = Record("user", 3, 2, TIME, "sales", {"message": {"role": "user", "content": "é\n🦦"}})
    assert record.line.decode() == (
        '{"v":1,"type":"user","seq":3,"turn":2,"ts":"2026-01-02T03:04:05.678Z","agent":"sales",'
        '"message":{"role":"user","content":"é\\n🦦"}}'
    )
    assert record.message_json.decode() == '{"role":"user","content":"é\\n🦦"}'


@given(
    st.dictionaries(
        st.text(max_size=8).filter(lambda name: name not in ("v", "type", "seq", "turn", "ts", "agent")),
        JSON,
        max_size=4,
    )
)
def test_unknown_fields_and_spacing_come_back_byte_for_byte(extra):
    fields = {"v": 1, "type": "note", "seq": 1, "turn": 1, "ts": TIME, **extra}
    for line in (
        json.dumps(fields).encode(),
        json.dumps(fields, ensure_ascii=False, indent=1).encode("utf-8", "replace"),
    ):
        assert parse_record(line).line == line


@given(st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()))
def test_no_line_makes_the_parser_fail_in_another_way(line):
    with suppress(BadRecord):
        assert parse_record(line).line == line


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seq": "3"}, "'seq' of .* is '3', expected int"),
        ({"seq": True}, "'seq'"),
        ({"turn": None}, "'turn'"),
        ({"type": 1}, "'type'"),
        ({"agent": 5}, "'agent'"),
        ({"message": "hi"}, "has no message"),
        ({"v": "x"}, "version 'x'"),
    ],
)
def test_what_is_wrong_is_named(change, message):
    fields = {"v": 1, "type": "user", "seq": 3, "turn": 1, "ts": TIME, "message": {"role": "user", "content": ""}}
    with pytest.raises(BadRecord, match=message) as caught:
        parse_record(json.dumps(fields | change).encode())
    assert not caught.value.newer_version


def test_a_newer_version_is_refused_as_such():
    line = json.dumps({"v": FORMAT_VERSION + 1, "type": "user"}).encode()
    with pytest.raises(BadRecord, match="update swarmchat") as caught:
        parse_record(line)
    assert caught.value.newer_version


def test_nesting_that_python_cannot_follow_is_a_bad_record():
    with pytest.raises(BadRecord):
        parse_record(b"[" * 100_000)


def test_counts_belong_to_an_encoding():
    record = Record("user", 0, 1, TIME, None, {"tokens": {"count": 7, "encoding": "o200k_base"}})
    assert record.stored_tokens("o200k_base") == 7
    assert record.stored_tokens("cl100k_base") is None
    for tokens in (7, {"count": -1, "encoding": "o200k_base"}, {"count": "7", "encoding": "o200k_base"}, None):
        assert Record("user", 0, 1, TIME, None, {"tokens": tokens}).stored_tokens("o200k_base") is None


@given(st.text(alphabet=st.characters(codec=None)))
def test_cleaned_text_is_valid_unicode(text):
    cleaned = clean_text(text)
    assert json.loads(encode_json(cleaned)) == cleaned
    assert clean_text(cleaned) == cleaned


def test_halves_of_a_character_are_joined_and_lone_ones_replaced():
    assert clean_text("\ud83e\udda6") == "🦦"
    assert clean_text("a\udc80b") == "a\ufffdb"
    assert encode_json("\ud800") == b'"?"'
