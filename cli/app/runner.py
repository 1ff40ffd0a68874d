"""From an error to one line on stderr and an exit code: the same for every command."""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from swarmchat.backends import BackendError
from swarmchat.cli.app.signals import Interrupted
from swarmchat.cli.errors import CliError
from swarmchat.cli.render.renderer import Renderer
from swarmchat.cli.terminal.capabilities import wants_colour
from swarmchat.swarm.errors import SwarmError

Work = Coroutine[Any, Any, int | None]


def run_to_exit_code(prepare: Callable[[], Work]) -> int:
    """Run the work that ``prepare`` returns; return its exit code, or that of an error of ours. Prints the error."""
    try:
        return asyncio.run(prepare()) or 0
    except (SwarmError, BackendError, CliError) as error:
        Renderer(colour=wants_colour(sys.stderr)).error(str(error))
        return error.exit_code
    except Interrupted as interrupted:
        return interrupted.exit_code
    except KeyboardInterrupt:
        return 130
