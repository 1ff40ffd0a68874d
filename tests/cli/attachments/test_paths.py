"""Paths in messages, patterns, pastes and completion."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from swarmchat.cli.attachments.paths import expand, folder_entries, mention, mentioned, pasted_file
from swarmchat.cli.errors import UsageError


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("notes.md", "a b.txt", ".hidden", "src/one.py", "src/two.py", "src/deep/three.py", "end."):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name, "utf-8")
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("what is in @notes.md", ["notes.md"]),
        ("@notes.md?! and (@src/one.py), @notes.md", ["notes.md"]),
        ('see @"a b.txt" and\n@src/one.py.', ["a b.txt", "src/one.py"]),
        ("@end. is a name, @~/notes.md too", ["end.", "~/notes.md"]),
        ("ann@notes.md @missing.md @src @pipe @/dev/zero `@notes.md` @ @@notes.md", []),
        ('@"notes.md @~nobody-here/x @' + "x" * 5000 + " @a\0b", []),
    ],
)
def test_what_a_message_mentions(text, names):
    assert mentioned(text) == [Path(name) for name in names]


@given(st.text())
def test_no_text_disturbs_it(text):
    assert all(path.expanduser().is_file() for path in mentioned("@" + text))
    pasted_file("/" + text)


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        (["notes.md", "~/notes.md"], ["notes.md", "~/notes.md"]),
        (["src/*.py", "src/one.py"], ["src/one.py", "src/two.py"]),
        (["src/**/*.py"], ["src/deep/three.py", "src/one.py", "src/two.py"]),
        (["*"], ["a b.txt", "end.", "notes.md"]),
        (["-", "pipe"], ["-", "pipe"]),
    ],
)
def test_patterns(patterns, names):
    assert expand(patterns) == [Path(name) for name in names]


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("missing.md", "no such file: 'missing.md'"),
        ("src", "src is a folder: name the files in it, as in 'src/*'"),
        ("*.rs", "no file matches '*.rs'"),
        ("a\0b", "no such file: 'a\\x00b'"),
    ],
)
def test_what_is_no_file(pattern, problem):
    with pytest.raises(UsageError) as caught:
        expand([pattern])
    assert problem in str(caught.value)


def test_dropped_files(folder, monkeypatch):
    plain, spaced = folder / "notes.md", folder / "a b.txt"
    assert pasted_file(f"{plain} \n") == Path("notes.md")
    for form in (f"'{spaced}'", str(spaced).replace(" ", "\\ "), str(spaced), spaced.as_uri()):
        assert pasted_file(form) == Path("a b.txt")
    assert pasted_file("~/notes.md") == Path("~/notes.md")
    monkeypatch.chdir("src")
    assert pasted_file(str(spaced)) == spaced
    for other in ("notes.md", f"{plain}\n{plain}", f"{plain} {plain}", "/etc", "/missing", f"'{plain}", "it's", ""):
        assert pasted_file(other) is None, other


def test_completion():
    assert folder_entries("") == ["a b.txt", "end.", "notes.md", "pipe", "src/"]
    assert folder_entries(".h") == [".hidden"]
    assert folder_entries("src/") == ["src/deep/", "src/one.py", "src/two.py"]
    assert folder_entries("~/no") == ["~/notes.md"]
    with pytest.raises(OSError, match="No such file"):
        folder_entries("missing/")


def test_a_path_is_mentioned_so_that_it_is_found():
    for name in ("notes.md", "a b.txt"):
        assert mentioned(mention(name)) == [Path(name)]
