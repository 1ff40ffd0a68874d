"""Keep in a file what a session could not store before the program ended."""

import tempfile
from contextlib import suppress
from pathlib import Path

from swarmchat.cli.settings import wiring
from swarmchat.cli.settings.settings import Settings
from swarmchat.cli.terminal.sanitize import one_line
from swarmchat.swarm.common.files import write_atomically
from swarmchat.swarm.conversation.restore import lines_in_memory
from swarmchat.swarm.persistence.keys import escape
from swarmchat.swarm.session.session import Session


def keep_in_file(session: Session, settings: Settings) -> str:
    """Write what ``session`` has in memory into a file that can be imported; return a line for the user."""
    conversation, info = session.conversation, session.info
    lines = lines_in_memory(conversation.journal, conversation.blobs)
    # The data folder may be on the disk that is full.
    for folder in (wiring.data_dir(settings) / "unsaved", Path(tempfile.gettempdir())):
        path = folder / f"{escape(info.client)}-{escape(info.id)}.jsonl"
        with suppress(OSError):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_atomically(path, b"".join(line + b"\n" for line in lines))
            return f"what is not stored yet is in {one_line(str(path), 500)}, for swarmchat sessions import"
    return "what is not stored is lost: no file could be written either"
