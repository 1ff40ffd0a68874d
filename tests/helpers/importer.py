"""A program that imports a file in small pieces, under control: for killing. Arguments: a store's URL, a file.

For each "b" on its input it forks an importer, so that many deaths cost one start-up. It prints the importer's process
id, the importer a dot whenever something is stored, after which it waits for a "p"; "ended" closes the importer's life.
"""

import asyncio
import os
import sys
from pathlib import Path

from swarmchat.backends import open_backend
from swarmchat.swarm.archive.writer import Pieces, SessionWriter
from swarmchat.swarm.importers.detect import open_transcript


def wait_for_permission(count: int) -> None:
    os.write(1, b".\n")
    os.read(0, 1)


async def import_all(url: str, path: Path) -> None:
    backend = open_backend(url)
    with open_transcript(path, "ann") as transcript:
        writer = SessionWriter(backend, "ann", progress=wait_for_permission, pieces=Pieces(lines=3))
        for incoming in transcript.sessions:
            await writer.store(incoming)
    await backend.close()


while command := os.read(0, 1):
    if command == b"p":
        # The importer died before it read it.
        continue
    started, start = os.pipe()
    child = os.fork()
    if child == 0:
        # Not before the process id is printed.
        os.read(started, 1)
        asyncio.run(import_all(sys.argv[1], Path(sys.argv[2])))
        os._exit(0)
    os.write(1, b"importer %d\n" % child)
    os.write(start, b"s")
    os.waitpid(child, 0)
    os.close(started)
    os.close(start)
    os.write(1, b"ended\n")
