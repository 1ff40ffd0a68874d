"""The entry point ``swarmchat``: nothing is collected as garbage while the program starts and ends."""

import gc

_START_OBJECTS = 250_000
"""New objects until Python's garbage collector first runs. A start with all that an answer imports makes 190,000."""
_OBJECTS = 50_000
"""New objects between its later runs; about 10 MB."""


def main() -> None:
    """Run the program."""
    gc.set_threshold(_START_OBJECTS)
    gc.callbacks.append(_exempt_start)
    # Not earlier, or Python would collect some twenty times while it is imported.
    from swarmchat.cli.main import main as run

    try:
        run()
    finally:
        # Python collects several times at exit, to free what the system is about to take back anyway.
        gc.freeze()


def _exempt_start(phase: str, info: dict[str, int]) -> None:
    """Exempt what there is from garbage collection, at its first run: nearly all of it are modules, which stay."""
    gc.callbacks.remove(_exempt_start)
    gc.freeze()
    gc.set_threshold(_OBJECTS)
