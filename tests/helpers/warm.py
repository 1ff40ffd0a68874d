"""Runs of programs that need not start Python: forks of a process that has imported most of what they need already.

Starting the program costs a second of CPU, a fork a tenth. Everything else is real: a process of its own with real
pipes or a real pseudo-terminal, signals, kill -9, exit codes. ``warm_server`` is the process that forks; there is one
for all processes that run tests.

What would be another program if it were started afresh is started afresh: see ``can_be_warm``.
"""

import fcntl
import json
import os
import pty
import selectors
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from functools import cache
from pathlib import Path
from typing import IO, Any

from pexpect.fdpexpect import fdspawn

COMMAND = (sys.executable, "-m", "swarmchat.cli")
LOCALE = "C.UTF-8"
FRESH = "SWARMCHAT_TEST_FRESH"
"""In the environment of a test run: start every program afresh."""
ADDRESS = "SWARMCHAT_TEST_WARM"
"""In the environment of the processes that run tests: where the server listens."""
AT_START = ("COV", "LC_", "LD_", "MALLOC", "PYTHON", "OPENAI_LOG", "OPENBLAS", "PYDANTIC")
"""Variables that matter when Python starts or a module is imported."""
GRACE = 0.3
"""How long a program may take to leave when its terminal is taken away."""


def can_be_warm(command: Sequence[str], env: Mapping[str, str]) -> bool:
    """Whether ``command`` is the program as it is by default, in an environment that does not matter to its start."""
    return tuple(command[: len(COMMAND)]) == COMMAND and _is_plain(env)


def _is_plain(env: Mapping[str, str]) -> bool:
    if os.environ.get(FRESH) or env.get("LANG") != LOCALE:
        return False
    given = {name: value for name, value in env.items() if name.startswith(AT_START)}
    return given == {name: value for name, value in _env().items() if name.startswith("PYTHON")}


def _env() -> dict[str, str]:
    # One thread for numpy's library: a process with threads should not fork.
    path = {name: value for name, value in os.environ.items() if name == "PYTHONPATH"}
    return {**path, "PATH": os.defpath, "HOME": "/nonexistent", "LANG": LOCALE, "OPENBLAS_NUM_THREADS": "1"}


class _Server:
    """The process that forks, of the process that runs the tests or starts those that do."""

    def __init__(self) -> None:
        self.folder = tempfile.mkdtemp()
        self._control, control = socket.socketpair()
        address = f"{self.folder}/warm"
        with control, socket.socket(socket.AF_UNIX) as listener:
            listener.bind(address)
            listener.listen(100)
            numbers = [control.fileno(), listener.fileno()]
            command = [sys.executable, str(Path(__file__).with_name("warm_server.py")), *map(str, numbers)]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, env=_env(), cwd="/", pass_fds=numbers)
        os.environ[ADDRESS] = address

    def end(self) -> None:
        self._control.close()
        self._process.wait(60)
        del os.environ[ADDRESS]
        shutil.rmtree(self.folder)


_servers: list[_Server] = []


def begin() -> str:
    """Start the server unless there is one; return its address."""
    if ADDRESS not in os.environ:
        _servers.append(_Server())
    return os.environ[ADDRESS]


def end() -> None:
    """End the server, if it is this process's."""
    while _servers:
        _servers.pop().end()


def environment() -> dict[str, str]:
    """An environment for programs of tests, with nothing of the tester's but coverage, and the path to the code."""
    kept = {name: value for name, value in os.environ.items() if name.startswith(("COV", "PYTHONPATH"))}
    return {**kept, "PATH": os.environ["PATH"], "HOME": str(Path(begin()).parent), "LANG": LOCALE}


def line(*arguments: str, env: Mapping[str, str] | None = None) -> list[str]:
    """Return a command that runs Python with ``arguments``, for what starts programs by itself: a shell, a client."""
    if not _is_plain(environment() if env is None else env):
        return [sys.executable, *arguments]
    _wait_for_server()
    return [sys.executable, "-I", "-S", str(Path(__file__).with_name("warm_client.py")), begin(), *arguments]


@cache
def _wait_for_server() -> None:
    # Who starts a program may have little patience; it need not last for a server that has just been started.
    run_python("-c", "")


class Process:
    """A run of Python. ``returncode`` is as subprocess has it: None while it runs, below zero for a signal."""

    def __init__(
        self,
        command: Sequence[str],
        streams: Mapping[int, int],
        *,
        env: Mapping[str, str],
        cwd: Path | None,
        terminal: bool = False,
    ) -> None:
        run = {"argv": command[1:], "env": dict(env), "cwd": str(cwd or Path.cwd()), "terminal": terminal}
        self._connection = socket.socket(socket.AF_UNIX)
        self._connection.connect(begin())
        self._answers = self._connection.makefile("rb")
        socket.send_fds(self._connection, [b"r"], [*streams.values()])
        self._connection.sendall(json.dumps({**run, "streams": list(streams)}).encode())
        self._connection.shutdown(socket.SHUT_WR)
        self.pid = int(self._answers.readline())
        self.returncode: int | None = None

    def wait(self, timeout: float | None = None) -> int:
        """Return the code once the program has ended. Raises subprocess.TimeoutExpired."""
        if self.returncode is None:
            with selectors.DefaultSelector() as waiting:
                waiting.register(self._connection, selectors.EVENT_READ)
                if not waiting.select(timeout):
                    raise subprocess.TimeoutExpired(COMMAND, timeout or 0)
            self.returncode = os.waitstatus_to_exitcode(int(self._answers.readline()))
            self._answers.close()
            self._connection.close()
        return self.returncode

    def poll(self) -> int | None:
        """Return the code if the program has ended."""
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the program has ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill the program."""
        self.send_signal(signal.SIGKILL)


class Piped(Process):
    """A run with pipes, as of subprocess.Popen: ``stdout`` goes into a pipe, or where it is told."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path | None,
        stdin: int | None = None,
        stdout: int | IO[Any] | None = None,
    ) -> None:
        self.stdin: IO[str] | None = None
        self.stdout: IO[str] | None = None
        with ExitStack() as theirs:
            if stdin == subprocess.PIPE:
                taken, given = os.pipe()
                self.stdin = open(given, "w", encoding="utf-8", newline="")  # noqa: SIM115 - communicate closes it
            else:
                taken = os.open(os.devnull, os.O_RDONLY) if stdin == subprocess.DEVNULL else os.dup(0)
            theirs.callback(os.close, taken)
            if stdout in (None, subprocess.PIPE):
                read, written = os.pipe()
                self.stdout = open(read, encoding="utf-8")  # noqa: SIM115 - communicate closes it
            else:
                written = os.dup(stdout if isinstance(stdout, int) else stdout.fileno())
            theirs.callback(os.close, written)
            read, error_output = os.pipe()
            self.stderr = open(read, encoding="utf-8")  # noqa: SIM115 - communicate closes it
            theirs.callback(os.close, error_output)
            super().__init__(command, {0: taken, 1: written, 2: error_output}, env=env, cwd=cwd)

    def communicate(self, given: str | None = None, timeout: float | None = None) -> tuple[str, str]:
        """Write ``given`` to the program, and return what it wrote, once it has ended.

        Raises subprocess.TimeoutExpired; the program is dead then.
        """
        with ThreadPoolExecutor(3) as threads:
            threads.submit(self._write, given or "")
            out, err = (threads.submit(self._read, file) for file in (self.stdout, self.stderr))
            try:
                self.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
                self.wait()
                raise
        return out.result(), err.result()

    def _write(self, given: str) -> None:
        # A program need not read what it is given.
        if self.stdin:
            with suppress(BrokenPipeError), self.stdin as file:
                file.write(given)

    def _read(self, file: IO[str] | None) -> str:
        if file is None or file.closed:
            return ""
        with file:
            return file.read()


def run(
    command: Sequence[str], piped: str | None, *, env: Mapping[str, str], cwd: Path | None, timeout: float
) -> "subprocess.CompletedProcess[str]":
    """Run Python to its end, with ``piped`` as its standard input, as subprocess.run does."""
    running = Piped(command, env=env, cwd=cwd, stdin=None if piped is None else subprocess.PIPE)
    out, err = running.communicate(piped, timeout)
    return subprocess.CompletedProcess(command, running.wait(), out, err)


def start_python(
    *arguments: str | Path, env: Mapping[str, str] | None = None, stdin: int | None = None
) -> "Piped | subprocess.Popen[str]":
    """Start a program of a test, given by Python's ``arguments``, with its streams as pipes."""
    command, env = [sys.executable, *map(str, arguments)], environment() if env is None else env
    if _is_plain(env):
        return Piped(command, env=env, cwd=None, stdin=stdin)
    return subprocess.Popen(
        command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env, encoding="utf-8"
    )


def run_python(
    *arguments: str | Path, env: Mapping[str, str] | None = None, cwd: Path | None = None, piped: str = ""
) -> "subprocess.CompletedProcess[str]":
    """Run a program of a test to its end, given by Python's ``arguments``."""
    command, env = [sys.executable, *map(str, arguments)], environment() if env is None else env
    if _is_plain(env):
        return run(command, piped, env=env, cwd=cwd, timeout=60)
    return subprocess.run(command, input=piped, capture_output=True, encoding="utf-8", env=env, cwd=cwd, timeout=60)


class OnTerminal(fdspawn):  # type: ignore[misc]  # pexpect ships no types
    """A run on a pseudo-terminal, as of pexpect.spawn."""

    def __init__(
        self, command: Sequence[str], *, env: Mapping[str, str], cwd: Path | None, dimensions: tuple[int, int]
    ) -> None:
        master, slave = pty.openpty()
        super().__init__(master)
        try:
            self.setwinsize(*dimensions)
            self._run = Process(command, dict.fromkeys(range(3), slave), env=env, cwd=cwd, terminal=True)
        finally:
            os.close(slave)
        self.pid = self._run.pid

    def setwinsize(self, rows: int, columns: int) -> None:
        """Give the terminal another size."""
        fcntl.ioctl(self.child_fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def isalive(self) -> bool:
        """Whether it goes on."""
        return self._tell(self._run.poll()) is None

    def wait(self) -> int | None:
        """Wait for its end, and return its code."""
        return self._tell(self._run.wait())

    def _tell(self, code: int | None) -> int | None:
        if code is not None and code >= 0:
            self.exitstatus = code
        elif code is not None:
            self.signalstatus = -code
        return code

    def kill(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        self._run.send_signal(number)

    def close(self, force: bool = True) -> None:
        """Take the terminal away, and with ``force`` kill what goes on nevertheless."""
        if not self.closed:
            super().close()
        with suppress(subprocess.TimeoutExpired):
            self._run.wait(GRACE)
        if force:
            self._run.kill()
            self.wait()
