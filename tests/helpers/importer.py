"""A program that imports a file in small pieces and says how far it is: for killing. Arguments: a store's URL, a file.

For each line on its input it forks an importer, so that many deaths cost one start-up. It prints the importer's process
id, the importer a dot whenever something is stored, and "ended" closes the importer's life.
"""

import asyncio
import os
import sys
from pathlib import Path

from swarmchat.backends import open_backend
from swarmchat.swarm.archive.writer import Pieces, SessionWriter
from swarmchat.swarm.importers.detect import open_transcript


async def import_all(url: str, path: Path) -> None:
    backend = open_backend(url)
    with open_transcript(path, "ann") as transcript:
        writer = SessionWriter(backend, "ann", progress=lambda count: os.write(1, b".\n"), pieces=Pieces(lines=3))
        for incoming in transcript.sessions:
            await writer.store(incoming)
    await backend.close()


for _ in sys.stdin:
    child = os.fork()
    if child == 0:
        asyncio.run(import_all(sys.argv[1], Path(sys.argv[2])))
        os._exit(0)
    os.write(1, b"importer %d\n" % child)
    os.waitpid(child, 0)
    os.write(1, b"ended\n")
