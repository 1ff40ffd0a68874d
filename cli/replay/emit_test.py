"""A test for pytest that replays a transcript: ``swarmchat replay --emit-test``."""

import json
import os
import re
import sys
from pathlib import Path

from swarmchat.cli.errors import UsageError
from swarmchat.cli.replay.run import ReplayRequest, transcripts
from swarmchat.swarm.agents.loader import EXAMPLES
from swarmchat.swarm.replay.files import read_conversations
from swarmchat.swarm.replay.runner import MODES
from swarmchat.swarm.replay.stand_in import lacks_swarm, named_swarm
from swarmchat.swarm.replay.update import write_whole

_TEST = '''"""{about}"""

from pathlib import Path

from swarmchat.swarm.testing import replay_transcript

FOLDER = Path(__file__).parent


def test_{name}() -> None:
    replay_transcript({arguments})
'''


async def emit(wanted: ReplayRequest, output: Path | None) -> None:
    """Write the test to ``output``, or print it. Raises UsageError and TranscriptError."""
    paths = transcripts(wanted.files)
    if len(paths) != 1:
        raise UsageError("--emit-test writes a test of one file: name one")
    if wanted.mode not in ("verify", "tools"):
        raise UsageError(f"a test needs no model: --emit-test goes with --mode {' or '.join(MODES[:2])}")
    path = paths[0]
    swarm = wanted.flags.get("swarm")
    for conversation in await read_conversations(path):
        why = None if swarm or named_swarm(conversation) else lacks_swarm(conversation, wanted.mode)
        if why is not None:
            raise UsageError(f"{path}, {conversation.name}: {why}")
    folder = (path if output is None else output).resolve().parent
    arguments = [_place(path, folder)]
    if swarm is not None:
        arguments.append(f"swarm={_swarm(str(swarm), folder)}")
    if wanted.mode != "verify":
        arguments.append(f"mode={_quoted(wanted.mode)}")
    name = re.sub(r"\W+", "_", path.stem, flags=re.ASCII).strip("_").lower() or "transcript"
    safe = path.name.encode("ascii", "backslashreplace").decode().replace("\\", "/").replace('"', "'")
    about = f"What was said in {safe} comes to the same again."
    text = _TEST.format(about=about, name=name, arguments=", ".join(arguments))
    _write(text, output)


def _write(text: str, output: Path | None) -> None:
    if output is None:
        sys.stdout.write(text)
        return
    if output.exists():
        raise UsageError(f"{output} is there already: remove it, or name another file with -o")
    write_whole(output, text.encode("utf-8"))
    print(output)


def _place(path: Path, folder: Path) -> str:
    """Return the code of a path, from the folder of the test."""
    return f"FOLDER / {_quoted(_relative(path, folder))}"


def _relative(path: Path, folder: Path) -> str:
    return Path(os.path.relpath(path.resolve(), folder)).as_posix()


def _quoted(text: str) -> str:
    return json.dumps(text)


def _swarm(name: str, folder: Path) -> str:
    path, colon, attribute = name.rpartition(":")
    if not (colon and attribute.isidentifier() and Path(path).exists()):
        path, colon, attribute = name, "", ""
    if name in EXAMPLES or not Path(path).exists():
        return _quoted(name)
    place = _place(Path(path), folder)
    return f"str({place}) + {_quoted(':' + attribute)}" if colon else place
