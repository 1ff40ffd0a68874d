"""Replay tasks in several processes: a replay mostly computes, and the threads of one process take turns."""

import asyncio
import pickle
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from swarmchat.backends import BackendError
from swarmchat.cli.environment import environment
from swarmchat.cli.errors import CliError
from swarmchat.cli.replay.replayer import ReplayTask
from swarmchat.cli.replay.request import ReplayRequest
from swarmchat.cli.replay.result import ReplayResult
from swarmchat.swarm.errors import ModelError

Start = Callable[[ReplayTask], Callable[[], Awaitable[ReplayResult]]]
"""Starts a task, at once or when the function that it returns is called to wait for the result."""

_WORKER = (sys.executable, "-P", "-m", "swarmchat.cli.replay.worker")


GONE = (ModelError, BackendError)
"""The errors after which no further conversation can be replayed."""
LENGTH = 8
"""Bytes of the number before each result: the length of its pickle."""


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
        # If nobody waits any more, its error is not worth a warning.
        future.add_done_callback(lambda done: done.cancelled() or done.exception())
        self.queue.put_nowait((task, future))
        return lambda: future

    async def work(self) -> None:
        """Give one process the tasks of the queue, one at a time, until cancelled."""
        process = await asyncio.create_subprocess_exec(*_WORKER, stdin=PIPE, stdout=PIPE, env=environment())
        is_idle = False
        try:
            await _send(process, self.setup)
            while True:
                is_idle = True
                task, future = await self.queue.get()
                is_idle = False
                try:
                    outcome = await _result_of(process, task)
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
                    process.terminate()
            if process.stdin is not None:
                process.stdin.close()
            await process.wait()


async def _send(process: Process, data: bytes) -> None:
    assert process.stdin is not None
    process.stdin.write(data)
    with suppress(ConnectionError):
        await process.stdin.drain()


async def _result_of(process: Process, task: ReplayTask) -> ReplayResult | TaskError:
    assert process.stdout is not None
    await _send(process, pickle.dumps(task))
    try:
        length = int.from_bytes(await process.stdout.readexactly(LENGTH))
        outcome: ReplayResult | TaskError = pickle.loads(await process.stdout.readexactly(length))  # noqa: S301 - ours
    except asyncio.IncompleteReadError:
        return _ENDED
    return outcome


@asynccontextmanager
async def worker_pool(request: ReplayRequest, model: str | None) -> AsyncIterator[Start]:
    """Start the processes of ``request``, and end them again. ``model`` is the one of the settings."""
    pool = _Pool(pickle.dumps((request, model)))
    workers = [asyncio.ensure_future(pool.work()) for _ in range(request.jobs)]
    try:
        yield pool.start
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
