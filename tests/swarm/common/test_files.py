"""Writing files atomically, and reading those of limited size."""

import os
import stat
from pathlib import Path

import pytest
from swarmchat.swarm.common.files import read_text_file, write_atomically


def permissions(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_it_writes_a_new_file_and_replaces_an_old_one(tmp_path):
    path = tmp_path / "log.jsonl"
    for data in (b"first\n", b"", b"\x00\xff second"):
        write_atomically(path, data)
        assert path.read_bytes() == data
    assert os.listdir(tmp_path) == ["log.jsonl"]


def test_an_existing_file_keeps_its_mode(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(0o640)
    write_atomically(path, b"new")
    assert permissions(path) == 0o640
    write_atomically(path, b"newer", mode=0o600)
    assert permissions(path) == 0o640


@pytest.mark.parametrize(("mode", "expected"), [(None, 0o600), (0o644, 0o644)])
def test_a_new_file_gets_the_mode(mode, expected, tmp_path):
    path = tmp_path / "file"
    write_atomically(path, b"new", mode=mode)
    assert permissions(path) == expected


def test_a_link_stays_and_its_target_is_replaced(tmp_path):
    (tmp_path / "kept").mkdir()
    target, link = tmp_path / "kept/config.toml", tmp_path / "config.toml"
    link.symlink_to("kept/config.toml")
    # The first write creates the target.
    for data in (b"one", b"two"):
        write_atomically(link, data)
        assert target.read_bytes() == data
        assert link.is_symlink()
    assert os.listdir(target.parent) == ["config.toml"]


def test_a_pipe_is_written_to_and_stays(tmp_path):
    """As a device is: root replaced /dev/null by a file that grew."""
    os.mkfifo(path := tmp_path / "pipe")
    reader = os.open(path, os.O_RDWR)
    write_atomically(path, b"one")
    assert os.read(reader, 9) == b"one"
    os.close(reader)
    assert path.is_fifo()


def test_an_error_in_the_middle_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(TypeError):
        write_atomically(path, "text is not bytes")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_an_error_at_the_end_leaves_what_was_there(tmp_path):
    path = tmp_path / "folder"
    path.mkdir()
    with pytest.raises(OSError):
        write_atomically(path, b"new")
    assert path.is_dir()
    assert os.listdir(tmp_path) == ["folder"]


def test_without_a_folder_it_fails(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "missing/file", b"new")


def test_a_text_file_has_a_limit():
    with pytest.raises(OSError, match="it has more than 4,000,000 bytes"):
        read_text_file(Path("/dev/zero"))
