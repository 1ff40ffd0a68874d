"""Files in a message."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from swarmchat.cli.attachments.message import with_files
from swarmchat.cli.errors import UsageError

MB = 2**20


def test_a_block_for_each_file(tmp_path):
    first, second = tmp_path / "a.md", tmp_path / "b\n.txt"
    first.write_text("one\n```\ntwo\n```\n", "utf-8")
    second.write_bytes("ä".encode("utf-16"))
    message, remark = with_files("what?", [first, second], MB)
    assert message == (
        f"what?\n\nFile {first}:\n````\none\n```\ntwo\n```\n````\n\nFile {tmp_path}/b .txt:\n```\nä\n```"
    )
    assert "a.md (4 lines)" in remark
    assert "(1 line)" in remark
    assert with_files(message, [first, second], MB) == (message, "")


@pytest.mark.parametrize("data", [b"\x89PNG", b"a\0b", b"\xff"])
def test_what_is_no_text_is_refused(data, tmp_path):
    path = tmp_path / "x"
    path.write_bytes(data)
    with pytest.raises(UsageError, match="is not UTF-8 text"):
        with_files("what?", [path], MB)


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(UsageError, match=r"missing cannot be read: No such file or directory"):
        with_files("", [tmp_path / "missing"], MB)


def test_the_limit_holds_for_the_whole_message(tmp_path):
    path, other, endless = tmp_path / "x", tmp_path / "y", Path("/dev/zero")
    for each in (path, other):
        each.write_text("x" * 60, "utf-8")
    assert with_files("", [path], 60)[0]
    for text, paths, name in [
        ("", [path], "x"),
        ("y", [path], "x"),
        ("", [path, other], "the message with its files"),
        ("", [endless], "zero"),
    ]:
        limit = 59 if paths == [path] and not text else 60 if len(paths) == 1 else 119
        with pytest.raises(UsageError, match=f"{name} has more than the {limit} bytes that max_input allows"):
            with_files(text, paths, limit)


@settings(max_examples=40)
@given(content=st.text(st.sampled_from("`~ab \n"), max_size=40))
def test_no_content_ends_its_block(content, tmp_path_factory):
    path = tmp_path_factory.mktemp("f") / "x"
    path.write_text(content, "utf-8", newline="")
    message, _ = with_files("what?", [path], MB)
    fences = [token for token in MarkdownIt().parse(message) if token.type == "fence"]
    assert [fence.content for fence in fences] == [content.removesuffix("\n") + "\n"]
    assert fences[0].map
    assert fences[0].map[1] == message.count("\n") + 1
