"""One question, one answer: for pipes and scripts."""

import sys
from contextlib import suppress

from swarmchat.cli.errors import RescueExhausted, UsageError
from swarmchat.cli.render import Renderer
from swarmchat.swarm.events import TurnEnded
from swarmchat.swarm.session import Session


def read_prompt(words: list[str]) -> str:
    """Return the question: the words of the command line, then what is piped in. Raises UsageError if it is empty."""
    parts = [" ".join(words)]
    if not words or not sys.stdin.isatty():
        # A standard input that cannot be read, such as a folder, holds nothing.
        with suppress(OSError):
            parts.append(sys.stdin.buffer.read().decode("utf-8", "replace"))
    prompt = "\n\n".join(part.strip() for part in parts if part.strip())
    if not prompt:
        raise UsageError("nothing to ask: give a PROMPT, or pipe one in")
    return prompt


async def run_once(session: Session, prompt: str, renderer: Renderer, *, strict: bool = False) -> None:
    """Ask ``prompt`` and print the answer.

    Raises what the turn raises, OutputLost where nothing can be printed, and with ``strict`` RescueExhausted when there
    is no answer but the placeholder.
    """
    recovered = True
    try:
        async for event in session.run_turn(prompt):
            renderer.show(event)
            if isinstance(event, TurnEnded):
                recovered = event.recovered
    finally:
        renderer.end_turn()
    renderer.check_output()
    if strict and not recovered:
        raise RescueExhausted("the model gave no answer that could be used: ask again, or try another model")
