"""Write a pytest test that replays a transcript: ``swarmchat replay --emit-test``."""

import json
import os
import re
import sys
from pathlib import Path

from swarmchat.cli.errors import UsageError
from swarmchat.cli.replay.run import ReplayRequest, transcript_paths
from swarmchat.swarm.agents.loader import EXAMPLES
from swarmchat.swarm.replay.files import read_conversations
from swarmchat.swarm.replay.runner import MODES
from swarmchat.swarm.replay.stand_in import lacks_swarm, named_swarm
from swarmchat.swarm.replay.update import write_whole

_TEST = '''"""Replays {file} and expects the same results."""

from pathlib import Path

from swarmchat.swarm.testing import replay_transcript

FOLDER = Path(__file__).parent


def test_{name}() -> None:
    replay_transcript({arguments})
'''


async def emit(request: ReplayRequest, output: Path | None) -> None:
    """Write the test to ``output``, or print it. Raises UsageError and TranscriptError."""
    paths = transcript_paths(request.files)
    if len(paths) != 1:
        raise UsageError(f"--emit-test takes one transcript, not {len(paths)}")
    if request.mode not in ("verify", "tools"):
        raise UsageError(f"a test runs without a model: use --emit-test with --mode {' or '.join(MODES[:2])}")
    path = paths[0]
    swarm = request.flags.get("swarm")
    for conversation in await read_conversations(path):
        reason = None if swarm or named_swarm(conversation) else lacks_swarm(conversation, request.mode)
        if reason is not None:
            raise UsageError(f"{path}, {conversation.name}: {reason}")
    folder = (path if output is None else output).resolve().parent
    arguments = [_path_code(path, folder)]
    if swarm is not None:
        arguments.append(f"swarm={_swarm_code(str(swarm), folder)}")
    if request.mode != "verify":
        arguments.append(f"mode={json.dumps(request.mode)}")
    name = re.sub(r"\W+", "_", path.stem, flags=re.ASCII).strip("_").lower() or "transcript"
    file = path.name.encode("ascii", "backslashreplace").decode().replace("\\", "/").replace('"', "'")
    _write(_TEST.format(file=file, name=name, arguments=", ".join(arguments)), output)


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


def _swarm_code(name: str, folder: Path) -> str:
    """Return the Python expression for a swarm's name or file, as ``replay_transcript`` takes it."""
    path, colon, attribute = name.rpartition(":")
    if not (colon and attribute.isidentifier() and Path(path).exists()):
        path, colon, attribute = name, "", ""
    if name in EXAMPLES or not Path(path).exists():
        return json.dumps(name)
    code = _path_code(Path(path), folder)
    return f"str({code}) + {json.dumps(':' + attribute)}" if colon else code
