"""What is piped in; and where nothing is, what is typed in its place."""

import sys


def read_piped(what: str) -> bytes:
    """Return all of standard input. At a terminal, say that ``what`` is waited for. Raises OSError."""
    if sys.stdin.isatty() and sys.stderr is not None:
        print(f"type {what}, and Ctrl-D at the beginning of a line to send it", file=sys.stderr, flush=True)
    return sys.stdin.buffer.read()
