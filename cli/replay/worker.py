"""A process that replays conversations for another one: tasks come in on stdin, results leave through a pipe.

Both are pickles. Only `pool` starts such a process; nobody else can write to its stdin.
"""

import asyncio
import gc
import os
import pickle
import sys
from dataclasses import replace
from typing import IO, Any

from swarmchat.backends import BackendError
from swarmchat.cli.app.crash_report import report_crash
from swarmchat.cli.app.signals import ignore_interrupts
from swarmchat.cli.environment import hide_keys
from swarmchat.cli.errors import CliError
from swarmchat.cli.replay.pool import GONE, LENGTH, TaskError
from swarmchat.cli.replay.replayer import ReplayTask, open_replayer
from swarmchat.cli.replay.result import ReplayResult
from swarmchat.cli.settings import wiring
from swarmchat.swarm.errors import SwarmError


def main() -> None:
    """Serve until stdin is closed."""
    # Ctrl-C reaches all processes of a terminal; the first one ends this one.
    ignore_interrupts()
    # As in the program itself: the default makes a replay a sixth slower.
    gc.set_threshold(50_000)
    hide_keys()
    output = os.fdopen(os.dup(1), "wb")
    # What a tool prints must not get among the results.
    os.dup2(2, 1)
    try:
        asyncio.run(_serve(sys.stdin.buffer, output))
    except BrokenPipeError:
        # The process that started this one was killed.
        os._exit(1)
    except Exception as error:
        sys.exit(report_crash(error))


async def _serve(tasks: IO[bytes], output: IO[bytes]) -> None:
    request, model_name = await asyncio.to_thread(pickle.load, tasks)
    settings = replace(wiring.apply_settings(request.store_flags, tell=False), model=model_name)
    async with open_replayer(request, settings) as replayer:
        while (task := await asyncio.to_thread(_next_task, tasks)) is not None:
            outcome: ReplayResult | TaskError
            try:
                outcome = await replayer.replay(task)
            except (CliError, SwarmError, BackendError) as error:
                outcome = TaskError(str(error), error.exit_code, isinstance(error, GONE))
            except Exception as error:
                outcome = TaskError("a defect of swarmchat stopped it", report_crash(error), is_gone=False)
            data = pickle.dumps(outcome)
            output.write(len(data).to_bytes(LENGTH) + data)
            output.flush()


def _next_task(tasks: IO[bytes]) -> ReplayTask | None:
    try:
        task: Any = pickle.load(tasks)  # noqa: S301 - it comes from the process that started this one
    except EOFError:
        return None
    return task if isinstance(task, ReplayTask) else None


if __name__ == "__main__":
    main()
