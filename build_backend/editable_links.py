"""The build backend of the project: setuptools, with an editable install that type checkers and editors can follow.

The rooms lie at the top level and install as ``swarmchat.*``. setuptools maps them by an import hook: Python runs it,
mypy, pyright and editors do not. These follow a ``.pth`` file that names a folder, so the editable install gets one
more: it names ``build/editable``, where ``swarmchat/ROOM`` are symbolic links to the rooms. Where links cannot be made,
or somebody deletes them, the import hook still works.
"""

import base64
import hashlib
import os
import zipfile
from pathlib import Path
from typing import Any

from setuptools import build_meta
from setuptools.build_meta import (
    build_sdist,
    build_wheel,
    get_requires_for_build_editable,
    get_requires_for_build_sdist,
    get_requires_for_build_wheel,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]

_ROOT = Path(__file__).resolve().parents[1]
_LINKS = _ROOT / "build" / "editable"
_ROOMS = ("backends", "cli", "examples", "swarm")


def build_editable(
    wheel_directory: str, config_settings: dict[str, Any] | None = None, metadata_directory: str | None = None
) -> str:
    """Build the wheel of an editable install; return its name. A hook of PEP 660."""
    name: str = build_meta.build_editable(wheel_directory, config_settings, metadata_directory)
    try:
        _link_rooms(_LINKS / "swarmchat")
    except (OSError, NotImplementedError):
        return name
    _add_file(Path(wheel_directory, name), "__editable__.swarmchat.links.pth", os.fsencode(f"{_LINKS}\n"))
    return name


def _link_rooms(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for room in _ROOMS:
        link = folder / room
        link.unlink(missing_ok=True)
        link.symlink_to(os.path.relpath(_ROOT / room, folder), target_is_directory=True)


def _add_file(wheel: Path, name: str, content: bytes) -> None:
    """Add a file to a wheel, and to the wheel's list of files."""
    with zipfile.ZipFile(wheel) as archive:
        files = {each.filename: archive.read(each) for each in archive.infolist()}
    (record,) = (each for each in files if each.endswith(".dist-info/RECORD"))
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode("ascii")
    files[name] = content
    # The list of files stays the last, as PEP 427 recommends.
    files[record] = files.pop(record) + f"{name},sha256={digest},{len(content)}\n".encode()
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for each, data in files.items():
            archive.writestr(each, data)
