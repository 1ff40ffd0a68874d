"""Worker processes for replays, forked when all modules are loaded but nothing runs yet.

Tasks and results pass through a socket as pickles; only the parent process has the other end.
"""

import asyncio
import os
import pickle
import socket
import sys
from dataclasses import replace
from typing import IO, Any, NoReturn

from swarmchat.backends import BackendError
from swarmchat.cli.app.crash_report import report_crash
from swarmchat.cli.app.signals import ignore_interrupts
from swarmchat.cli.errors import CliError
from swarmchat.cli.replay.pool import GONE, LENGTH, TaskError, Worker
from swarmchat.cli.replay.replayer import ReplayTask, open_replayer
from swarmchat.cli.replay.result import ReplayResult
from swarmchat.cli.settings import wiring
from swarmchat.swarm.context.tokens import counter_for
from swarmchat.swarm.errors import SwarmError

_USUAL_MODEL = "gpt-4o"
"""A model whose encoder most conversations need."""


def fork_workers(count: int) -> list[Worker]:
    """Start ``count`` processes. No event loop may run, and no thread."""
    # Loaded once, for all of them.
    counter_for(_USUAL_MODEL).text("tea")
    sys.stdout.flush()
    sys.stderr.flush()
    workers: list[Worker] = []
    for _ in range(count):
        ours, theirs = socket.socketpair()
        process = os.fork()
        if process == 0:
            # One that holds an end of another's connection would keep it open.
            for connection in (ours, *(worker.connection for worker in workers)):
                connection.close()
            _run(theirs)
        theirs.close()
        workers.append(Worker(process, ours))
    return workers


def _run(connection: socket.socket) -> NoReturn:
    """Serve until the other end is closed, and end the process."""
    code = 0
    # Ctrl-C reaches all processes of a terminal; the first one ends this one.
    ignore_interrupts()
    # What a tool prints is shown beside the report, and it reads nothing that is meant for the program.
    os.dup2(2, 1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    try:
        asyncio.run(_serve(connection.makefile("rb"), connection.makefile("wb")))
    except (BrokenPipeError, ConnectionResetError):
        # The process that started this one was killed.
        code = 1
    except Exception as error:
        code = report_crash(error)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


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
                outcome = TaskError("a bug in swarmchat stopped it", report_crash(error), is_gone=False)
            data = pickle.dumps(outcome)
            output.write(len(data).to_bytes(LENGTH) + data)
            output.flush()


def _next_task(tasks: IO[bytes]) -> ReplayTask | None:
    try:
        task: Any = pickle.load(tasks)  # noqa: S301 - it comes from the process that started this one
    except EOFError:
        return None
    return task if isinstance(task, ReplayTask) else None
