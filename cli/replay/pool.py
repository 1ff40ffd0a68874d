"""Replay tasks in several processes: a replay mostly computes, and the threads of one process take turns."""

import asyncio
import os
import pickle
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from swarmchat.backends import BackendError
from swarmchat.cli.errors import CliError
from swarmchat.cli.replay.replayer import ReplayTask
from swarmchat.cli.replay.request import ReplayRequest
from swarmchat.cli.replay.result import ReplayResult
from swarmchat.swarm.errors import ModelError

Start = Callable[[ReplayTask], Callable[[], Awaitable[ReplayResult]]]
"""Starts a task, at once or when the function that it returns is called to wait for the result."""

GONE = (ModelError, BackendError)
"""The errors after which no further conversation can be replayed."""
LENGTH = 8
"""Bytes of the number before each result: the length of its pickle."""


@dataclass(frozen=True)
class Worker:
    """A process that replays conversations: tasks and results go through ``connection``."""

    process: int
    connection: socket.socket


@dataclass(frozen=True)
class TaskError:
    """The error of a task. Not the exception itself, as not every exception can be pickled."""

    message: str
    exit_code: int
    is_gone: bool
    """Whether a model or a store cannot be reached: then it will not be there for the next conversation either."""


class WorkerError(CliError):
    """A task failed in its process, or the process ended."""

    def __init__(self, error: TaskError) -> None:
        super().__init__(error.message)
        self.exit_code = error.exit_code
        self.is_gone = error.is_gone


_ENDED = TaskError("a process of --jobs ended unexpectedly: --jobs 1 replays without further processes", 1, False)


@dataclass
class _Pool:
    setup: bytes
    queue: "asyncio.Queue[tuple[ReplayTask, asyncio.Future[ReplayResult]]]" = field(default_factory=asyncio.Queue)

    def start(self, task: ReplayTask) -> Callable[[], Awaitable[ReplayResult]]:
        """Queue a task; the function that is returned waits for its result."""
        future: asyncio.Future[ReplayResult] = asyncio.get_running_loop().create_future()
        # If no caller is waiting any more, its error is not worth a warning.
        future.add_done_callback(lambda done: done.cancelled() or done.exception())
        self.queue.put_nowait((task, future))
        return lambda: future

    async def work(self, worker: Worker) -> None:
        """Give one process the tasks of the queue, one at a time, until cancelled."""
        results, tasks = await asyncio.open_connection(sock=worker.connection)
        is_idle = False
        try:
            await _send(tasks, self.setup)
            while True:
                is_idle = True
                task, future = await self.queue.get()
                is_idle = False
                try:
                    await _send(tasks, pickle.dumps(task))
                    outcome = await _next_result(results)
                except Exception as error:
                    # Whoever waits for the result must not wait for ever.
                    future.set_exception(error)
                    raise
                if isinstance(outcome, ReplayResult):
                    future.set_result(outcome)
                else:
                    future.set_exception(WorkerError(outcome))
        finally:
            if not is_idle:
                with suppress(ProcessLookupError):
                    os.kill(worker.process, signal.SIGTERM)
            tasks.close()
            await asyncio.to_thread(os.waitpid, worker.process, 0)


async def _send(tasks: asyncio.StreamWriter, data: bytes) -> None:
    tasks.write(data)
    with suppress(ConnectionError):
        await tasks.drain()


async def _next_result(results: asyncio.StreamReader) -> ReplayResult | TaskError:
    try:
        length = int.from_bytes(await results.readexactly(LENGTH))
        outcome: ReplayResult | TaskError = pickle.loads(await results.readexactly(length))  # noqa: S301 - ours
    except (asyncio.IncompleteReadError, ConnectionError):
        return _ENDED
    return outcome


@asynccontextmanager
async def worker_pool(workers: Sequence[Worker], request: ReplayRequest, model: str | None) -> AsyncIterator[Start]:
    """Let ``workers`` replay, and end them. ``model`` is the one in the settings."""
    pool = _Pool(pickle.dumps((request, model)))
    running = [asyncio.ensure_future(pool.work(worker)) for worker in workers]
    try:
        yield pool.start
    finally:
        for each in running:
            each.cancel()
        await asyncio.gather(*running, return_exceptions=True)
