"""Write a pytest test that replays a transcript: ``swarmchat replay --emit-test``."""

import json
import os
import re
import sys
from pathlib import Path

from swarmchat.cli.errors import UsageError
from swarmchat.cli.replay.request import ReplayRequest
from swarmchat.swarm.agents.loader import EXAMPLES
from swarmchat.swarm.replay.files import read_conversations
from swarmchat.swarm.replay.log_update import write_whole
from swarmchat.swarm.replay.runner import MODES
from swarmchat.swarm.replay.selection import Selection
from swarmchat.swarm.replay.stand_in import lacks_swarm, named_swarm

_TEST = '''"""Replays {file} and expects the same results."""

from pathlib import Path

from swarmchat.swarm.testing import replay_transcript

FOLDER = Path(__file__).parent


def test_{name}() -> None:
    replay_transcript({arguments})
'''


_TEST_OF_SEVERAL = '''"""Replays transcripts and expects the same results."""

from pathlib import Path

import pytest
from swarmchat.swarm.testing import replay_transcript, transcripts_in

FOLDER = Path(__file__).parent
TRANSCRIPTS = [{paths}]


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.relative_to(FOLDER).as_posix())
def test_{name}(path: Path) -> None:
    replay_transcript({arguments})
'''


async def emit(request: ReplayRequest, output: Path | None) -> None:
    """Write the test to ``output``, or print it. Raises UsageError and TranscriptError."""
    selection = Selection.of(request.files)
    if request.expression or request.tags or any(selection.paths.values()):
        raise UsageError("a test replays whole files: use --emit-test without -k, --tag and ::NAME")
    if request.mode not in ("verify", "tools"):
        raise UsageError(f"a test runs without a model: use --emit-test with --mode {' or '.join(MODES[:2])}")
    swarm = request.flags.get("swarm")
    for path in selection.paths:
        for conversation in await read_conversations(path):
            reason = None if swarm or named_swarm(conversation) else lacks_swarm(conversation, request.mode)
            if reason is not None:
                raise UsageError(f"{path}, {conversation.name}: {reason}")
    first = request.files[0]
    is_single = len(request.files) == 1 and not _is_folder(first)
    folder = (first if output is None else output).resolve().parent
    arguments = [_path_code(first, folder) if is_single else "path"]
    if swarm is not None:
        arguments.append(f"swarm={_swarm_code(str(swarm), folder)}")
    if request.mode != "verify":
        arguments.append(f"mode={json.dumps(request.mode)}")
    stem = first.resolve().stem if len(request.files) == 1 else "transcripts"
    name = re.sub(r"\W+", "_", stem, flags=re.ASCII).strip("_").lower() or "transcript"
    fields = {"name": name, "arguments": ", ".join(arguments)}
    if is_single:
        file = first.name.encode("ascii", "backslashreplace").decode().replace("\\", "/").replace('"', "'")
        _write(_TEST.format(file=file, **fields), output)
        return
    paths = ", ".join(_paths_code(path, folder) for path in request.files)
    code = _TEST_OF_SEVERAL if any(map(_is_folder, request.files)) else _TEST_OF_SEVERAL.replace(", transcripts_in", "")
    _write(code.format(paths=paths, **fields), output)


def _is_folder(path: Path) -> bool:
    return path.is_dir()


def _write(code: str, output: Path | None) -> None:
    if output is None:
        sys.stdout.write(code)
        return
    if output.exists():
        raise UsageError(f"{output} already exists: remove it, or choose another file with -o")
    write_whole(output, code.encode("utf-8"))
    print(output)


def _path_code(path: Path, folder: Path) -> str:
    """Return the Python expression for ``path``, relative to the folder of the test."""
    return f"FOLDER / {json.dumps(Path(os.path.relpath(path.resolve(), folder)).as_posix())}"


def _paths_code(path: Path, folder: Path) -> str:
    """Return the expression for an item of the list of transcripts. Of a folder, later transcripts are found too."""
    code = _path_code(path, folder)
    return f"*transcripts_in({code})" if _is_folder(path) else code


def _swarm_code(name: str, folder: Path) -> str:
    """Return the Python expression for a swarm's name or file, as ``replay_transcript`` takes it."""
    path, colon, attribute = name.rpartition(":")
    if not (colon and attribute.isidentifier() and Path(path).exists()):
        path, colon, attribute = name, "", ""
    if name in EXAMPLES or not Path(path).exists():
        return json.dumps(name)
    code = _path_code(Path(path), folder)
    return f"str({code}) + {json.dumps(':' + attribute)}" if colon else code
