"""What others wrote cannot control the terminal."""

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from swarmchat.cli.terminal.sanitize import exact_json, one_line, sanitize

# Any text, with what is dangerous far more often than chance would have it.
HOSTILE = st.text(st.one_of(st.characters(), st.sampled_from("\x1b\x07\x9b\r\n\t\x00\u202e\u2028[]0;mA")))


@given(st.lists(HOSTILE))
def test_any_cut_into_pieces_gives_the_same_as_the_whole(pieces):
    assert "".join(map(sanitize, pieces)) == sanitize("".join(pieces))


@given(HOSTILE)
def test_no_control_character_survives_but_tab_and_line_feed(text):
    left = {letter for letter in sanitize(text) if unicodedata.category(letter) == "Cc"}
    assert left <= {"\t", "\n"}
    assert sanitize(sanitize(text)) == sanitize(text)


@given(HOSTILE, st.integers(1, 50))
def test_one_line_is_one_safe_line_of_the_width(text, width):
    line = one_line(text, width)
    assert len(line) <= width
    assert line.isprintable() or all(
        unicodedata.category(letter)[0] in "CZ" for letter in line if not letter.isprintable()
    )
    assert not any(unicodedata.category(letter) == "Cc" for letter in line)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, 漢字, 🦦, e\u0301 and \u200d stay", "plain, 漢字, 🦦, e\u0301 and \u200d stay"),
        ("\x1b[31mred\x1b[0m", "␛[31mred␛[0m"),
        ("\x1b]0;title\x07", "␛]0;title␇"),
        ("\x9b2J", "\ufffd2J"),
        ("a\r\nb\rc", "a\nbc"),
        ("a\tb\x7f\x08", "a\tb␡␈"),
        ("user\u202enimda", "user\ufffdnimda"),
        ("one\u2028two", "one\ufffdtwo"),
    ],
)
def test_pictures(text, shown):
    assert sanitize(text) == shown


def test_a_line_that_was_cut_says_so():
    assert one_line("one  two\nthree", 20) == "one two three"
    assert one_line("one two three", 8) == "one two…"
    assert one_line(" " * 1000 + "x", 8) == "…"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ann\u200b", r"ann\u200b"),
        ("a\u202enimda", r"a\u202enimda"),
        ("x\U000e0041", r"x\udb40\udc41"),
        ("x\ufe0f \u3164 a\u00adb", r"x\ufe0f \u3164 a\u00adb"),
        ("a\u200cb 💻\u200dx", r"a\u200cb 💻\u200dx"),
        ("👩\u200d💻 ❤\ufe0f 1\ufe0f\u20e3 می\u200cخواهم", "👩\u200d💻 ❤\ufe0f 1\ufe0f\u20e3 می\u200cخواهم"),
    ],
)
def test_a_line_hides_nothing_and_emoji_and_scripts_stay(text, shown):
    assert one_line(text, 80) == shown


@given(st.dictionaries(HOSTILE, HOSTILE), st.none() | st.integers(1, 2))
def test_exact_json_is_the_same_json_on_one_line(value, indent):
    line = exact_json(json.dumps(value, ensure_ascii=False, indent=indent))
    assert json.loads(line) == value
    assert not any((unicodedata.category(char) == "Zs" and char != " ") or char in "\r\n\t\u202e" for char in line)
