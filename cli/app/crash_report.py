"""Report an unexpected error: one line for the user, and a file with details for the developers."""

import os
import platform
import sys
import tempfile
import traceback

from swarmchat.swarm.version import VERSION


def report_crash(error: Exception) -> int:
    """Write the traceback of ``error`` and the versions to a file, name it on stderr, and return the exit code.

    Only the user can read the file (mode 0600). It contains no settings, keys or messages, unless the error quotes one.
    """
    name = " ".join(traceback.format_exception_only(error)[-1].split())
    outcome = "the conversation so far is stored"
    try:
        handle, path = tempfile.mkstemp(prefix="swarmchat-crash-", suffix=".txt")
        with os.fdopen(handle, "w", encoding="utf-8", errors="replace") as file:
            file.write(f"swarmchat {VERSION}, Python {platform.python_version()}, {platform.platform()}\n\n")
            file.writelines(traceback.format_exception(error))
        outcome += f"; a report for its developers is in {path}: read it before you send it"
    except OSError:
        pass
    if sys.stderr is not None:
        print(f"error: this is a bug in swarmchat ({name[:200]}): {outcome}", file=sys.stderr)
    return 1
