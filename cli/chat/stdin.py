"""The question on a command line, and what is piped in with it."""

import sys
from contextlib import suppress

from swarmchat.cli.chat.piped import read_piped
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
