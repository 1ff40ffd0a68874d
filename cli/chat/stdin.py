"""The question on a command line, with what is piped in."""

import sys
from contextlib import suppress

from swarmchat.cli.errors import UsageError


def read_prompt(words: list[str]) -> str:
    """Return the question: the words of the command line, then what is piped in. Raises UsageError if it is empty."""
    parts = [" ".join(words)]
    if not words or not sys.stdin.isatty():
        # A standard input that cannot be read, such as a folder, holds nothing.
        with suppress(OSError):
            parts.append(read_piped("a question").decode("utf-8", "replace"))
    prompt = "\n\n".join(part.strip() for part in parts if part.strip())
    if not prompt:
        raise UsageError("nothing to ask: give a PROMPT, or pipe one in")
    return prompt


def read_piped(what: str) -> bytes:
    """Return all of standard input. At a terminal, say that ``what`` is waited for. Raises OSError."""
    if sys.stdin.isatty() and sys.stderr is not None:
        print(f"type {what}, and Ctrl-D at the beginning of a line to send it", file=sys.stderr, flush=True)
    return sys.stdin.buffer.read()
