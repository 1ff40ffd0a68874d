"""What terminals send: keys in newer forms do what they mean, and what is no key is dropped."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prompt_toolkit.key_binding import KeyPress
from prompt_toolkit.keys import Keys
from swarmchat.cli.prompt.key_parser import KeyParser, pasted_text

NO_KEYS = (
    "\x1b[I",
    "\x1b[O",
    "\x1b[?62;22c",
    "\x1b[>1;4600;0c",
    "\x1b[?1u",
    "\x1b[?2026;2$y",
    "\x1b[0n",
    "\x1b[8;24;80t",
    "\x1b]11;rgb:0000/0000/0000\x1b\\",
    "\x1b]10;rgb:ffff/ffff/ffff\a",
    "\x1bP>|WezTerm 20240203\x1b\\",
    "\x1b_Gi=31;OK\x1b\\",
    "\x1b[97;1:3u",
    "\x1b[1;1:3A",
    "\x1b[57441;2u",
    "\x1b[57358u",
    "\x1b[99;6u",
    "\x1b[97;9u",
    "\x1b[9;5u",
    "\x1b[u",
    "\x1b[99999999999u",
    "\x1b[55296u",
    "\x1b[27;5;49~",
    "\x1b[1;2;3z",
)
"""Focus, replies to questions about the terminal, released keys, and keys without a use here."""


def presses(*parts: str, flush: bool = True) -> list[KeyPress]:
    read: list[KeyPress] = []
    parser = KeyParser(read.append)
    for part in parts:
        parser.feed(part)
    if flush:
        parser.flush()
    return read


def keys(*parts: str) -> list[str]:
    return [str(getattr(press.key, "value", press.key)) for press in presses(*parts)]


@pytest.mark.parametrize("sequence", NO_KEYS)
def test_what_is_no_key_is_dropped(sequence: str) -> None:
    assert keys(f"a{sequence}b") == ["a", "b"]


@pytest.mark.parametrize(
    ("sequence", "expected"),
    [
        ("\x1b[13u", ["c-m"]),
        ("\x1b[13;2u", ["c-j"]),
        ("\x1b[27;2;13~", ["c-j"]),
        ("\x1b[57414;2u", ["c-j"]),
        ("\x1b[13;5u", ["escape", "c-m"]),
        ("\x1b[27;5;13~", ["escape", "c-m"]),
        ("\x1b[13;3u", ["escape", "c-m"]),
        ("\x1b[13;66u", ["c-j"]),
        ("\x1bOM", ["c-m"]),
        ("\x1b[9u", ["c-i"]),
        ("\x1b[105;5u", ["c-i"]),
        ("\x1b[9;2u", ["s-tab"]),
        ("\x1b[32;5u", ["c-@"]),
        ("\x1b[27;5;32~", ["c-@"]),
        ("\x1b[32;2u", [" "]),
        ("\x1b[99;5u", ["c-c"]),
        ("\x1b[106;5u", ["c-j"]),
        ("\x1b[47;5u", ["c-_"]),
        ("\x1b[45:95;6u", ["c-_"]),
        ("\x1b[98;3u", ["escape", "b"]),
        ("\x1b[27u", ["escape"]),
        ("\x1b[127;5u", ["escape", "c-h"]),
        ("\x1b[127;2u", ["c-h"]),
        ("\x1b[97;2u", ["A"]),
        ("\x1b[49:33;2u", ["!"]),
        ("\x1b[97;;228u", ["ä"]),
        ("\x1b[57400u", ["1"]),
        ("\x1b[57419u", ["up"]),
        ("\x1b[1;1:2A", ["up"]),
        ("\x1b[1;5:1C", ["c-right"]),
        ("\x1b[3;1:1~", ["delete"]),
        ("\x1b[A", ["up"]),
        ("\x1b[[A", ["f1"]),
        ("\x1b[12;3R", ["<cursor-position-response>"]),
        ("\x1b[<0;3;4M", ["<vt100-mouse-event>"]),
        ("\x1b\x1b[A", ["escape", "up"]),
        ("\x1b", ["escape"]),
        ("\x1b[", ["escape", "["]),
        ("\x1b]", ["escape", "]"]),
        ("\x1bP", ["escape", "P"]),
    ],
)
def test_a_key_does_what_it_means(sequence: str, expected: list[str]) -> None:
    assert keys(sequence) == expected
    assert keys(f"a{sequence}") == ["a", *expected]


def test_a_cut_off_reply_takes_no_key_with_it() -> None:
    assert keys("\x1b]11;rgb:00\r") == ["c-m"]
    assert keys("\x1b[13;\rb") == ["c-m", "b"]
    assert keys("\x1b]11;rgb:00\x1b[Ab") == ["up", "b"]


def test_a_sequence_may_arrive_in_two_parts() -> None:
    read: list[KeyPress] = []
    parser = KeyParser(read.append)
    for part in ("a\x1b[1", "3;2u", "b\x1b]11;rg", "b:0/0/0\a", "c"):
        parser.feed(part)
        parser.flush()
    assert [press.key for press in read] == ["a", Keys.ControlJ, "b", "c"]


def test_the_rest_of_a_sequence_may_come_after_its_escape_was_a_key() -> None:
    read: list[KeyPress] = []
    parser = KeyParser(read.append)
    for part in ("\x1b", "[13;2u", "\x1b", "]11;rgb:0/0/0\x1b\\", "\x1b", "[", "1", "2u"):
        parser.feed(part)
        parser.flush()
    assert [press.key for press in read] == ["escape", Keys.ControlJ, "escape", "escape", "[", "1", "2", "u"]


def test_keys_in_a_paste_are_its_text() -> None:
    [paste] = presses("\x1b[200~one\x1b[106;5utwo\x1b[27;2;13~\x1b[9uthree\x1b[99;5u\x1b[201~")
    assert paste.key == Keys.BracketedPaste
    assert pasted_text(paste.data) == "one\ntwo\n\tthree"
    assert pasted_text("red \x1b[31m stays") == "red \x1b[31m stays"


@given(
    st.lists(st.sampled_from([*NO_KEYS, "\x1b[13;2u", "\x1b[200~p\x1b[I\x1b[201~", "a", "ü", "[", "1", "\r"])),
    st.data(),
)
def test_the_keys_do_not_depend_on_how_the_input_is_split(pieces: list[str], data: st.DataObject) -> None:
    text = "".join(pieces)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)))))
    parts = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert presses(*parts) == presses(text)
    typed = "".join(press.data for press in presses(text) if press.key not in (Keys.BracketedPaste, Keys.ControlJ))
    assert typed == "".join(piece for piece in pieces if "\x1b" not in piece)
