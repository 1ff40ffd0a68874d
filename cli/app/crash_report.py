"""An error that nobody foresaw: the user gets one line, and a file with what whoever repairs it needs."""

import os
import platform
import sys
import tempfile
import traceback

from swarmchat.swarm.version import VERSION


def report_crash(error: Exception) -> int:
    """Write what is known of ``error`` to a file, say so on stderr, and return the exit code.

    The file is the user's own, mode 0600. It has the traceback and the versions; no setting, key or message is put
    there, but the error's own text may quote one.
    """
    name = " ".join(traceback.format_exception_only(error)[-1].split())
    known = "what was said until then is stored"
    try:
        handle, path = tempfile.mkstemp(prefix="swarmchat-crash-", suffix=".txt")
        with os.fdopen(handle, "w", encoding="utf-8", errors="replace") as file:
            file.write(f"swarmchat {VERSION}, Python {platform.python_version()}, {platform.platform()}\n\n")
            file.writelines(traceback.format_exception(error))
        known += f"; a report for whoever repairs it is in {path}, please look through it before you send it"
    except OSError:
        pass
    if sys.stderr is not None:
        print(f"error: this is a defect of swarmchat ({name[:200]}): {known}", file=sys.stderr)
    return 1
