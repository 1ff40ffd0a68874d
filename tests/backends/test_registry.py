"""From a URL to a driver: names, other people's drivers, and what is imported when."""

import subprocess
import sys
from pathlib import Path

import pytest
from swarmchat.backends import UnknownBackend, open_backend
from swarmchat.backends.registry import schemes


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("rediss3://h", r"unknown backend 'rediss3:'; did you mean rediss:\?"),
        ("dsk:/tmp", r"did you mean disk:\?"),
        ("Memry:", r"did you mean memory:\?"),
        ("memory", "'memory' is not a URL: write one, such as memory:$"),
        ("rediss", "'rediss' is not a URL: write one, such as rediss://HOST:PORT/DB$"),
        ("redis+cluster", r"write one, such as redis\+cluster://HOST:PORT,HOST:PORT$"),
        ("redsi", r"did you mean redis:\?"),
        ("", "expected a URL such as memory:"),
        ("/some/path", "expected a URL such as memory:"),
        ("http://[", "unknown backend 'http:'"),
        ("zzz:", r"unknown backend 'zzz:'\. Known: disk, memory, redis"),
    ],
)
def test_an_unknown_scheme_names_the_nearest(url: str, says: str) -> None:
    with pytest.raises(UnknownBackend, match=says) as caught:
        open_backend(url)
    assert caught.value.exit_code == 78


def test_the_schemes_that_come_with_it() -> None:
    assert {"memory", "disk", "redis", "rediss", "unix", "redis+cluster", "redis+sentinel"} <= set(schemes())


def test_a_driver_of_somebody_elses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "their_driver.py").write_text(
        "from swarmchat.backends.memory import MemoryBackend\n"
        "def open_theirs(url):\n    backend = MemoryBackend()\n    backend.url = url\n    return backend\n"
    )
    distribution = tmp_path / "their_driver-1.0.dist-info"
    distribution.mkdir()
    (distribution / "METADATA").write_text("Metadata-Version: 2.1\nName: their-driver\nVersion: 1.0\n")
    (distribution / "entry_points.txt").write_text(
        "[swarmchat.backends]\ntheirs = their_driver:open_theirs\nbroken = missing_module:open\n"
        "gone = their_driver:gone\nmemory = their_driver:open_theirs\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert open_backend("theirs:place").url == "theirs:place"
    assert {"theirs", "broken"} <= set(schemes())
    for url in ("broken:x", "gone:x"):
        with pytest.raises(UnknownBackend, match="of their-driver cannot be imported"):
            open_backend(url)
    with pytest.raises(UnknownBackend, match=r"did you mean theirs:\?"):
        open_backend("their:x")
    # A built-in name cannot be taken over.
    assert open_backend("memory:").url == "memory:"


def loaded_by(program: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; {program}; print(*sys.modules)"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return set(done.stdout.split())


def test_drivers_are_imported_when_one_is_opened() -> None:
    drivers = {"redis", "diskcache", "sqlite3", "pytest", "hypothesis", "swarmchat.backends.memory"}
    assert not drivers & loaded_by("import swarmchat.backends")
    opened = loaded_by("import swarmchat.backends as b; b.open_backend('disk:/nowhere')")
    assert "diskcache" in opened
    assert not {"redis", "pytest", "hypothesis"} & opened
    assert not {"diskcache", "redis.asyncio"} & loaded_by("import swarmchat.backends as b; b.open_backend('memory:')")
