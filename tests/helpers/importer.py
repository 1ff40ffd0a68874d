"""A program that imports a file in small pieces and says how far it is: for killing. Arguments: a store's URL, a file.

For each line on its input, a number, it forks an importer, so that many deaths cost one start-up. The importer prints
its process id, and a dot whenever something is stored; one dot after that number it waits to be killed, so that no kill
comes too late. "ended" closes the importer's life.
"""

import asyncio
import os
import signal
import sys
from itertools import count
from pathlib import Path

from swarmchat.backends import open_backend
from swarmchat.swarm.archive.writer import Pieces, SessionWriter
from swarmchat.swarm.importers.detect import open_transcript


async def import_all(url: str, path: Path, limit: int) -> None:
    numbers = count(1)

    def progress(_: int) -> None:
        os.write(1, b".\n")
        if next(numbers) > limit:
            signal.pause()

    backend = open_backend(url)
    with open_transcript(path, "ann") as transcript:
        writer = SessionWriter(backend, "ann", progress=progress, pieces=Pieces(lines=3))
        for incoming in transcript.sessions:
            await writer.store(incoming)
    await backend.close()


child = 0
for line in sys.stdin:
    if child:
        # Not reaped before: until now nobody else could have its process id, which may still be sent a signal.
        os.waitpid(child, 0)
    child = os.fork()
    if child == 0:
        os.write(1, b"importer %d\n" % os.getpid())
        asyncio.run(import_all(sys.argv[1], Path(sys.argv[2]), int(line)))
        os._exit(0)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    os.write(1, b"ended\n")
