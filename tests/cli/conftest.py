"""What the tests of the program share: the program itself, in an environment of its own."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, chdir
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pytest
import warm
from model_server import ModelServer, model_server
from swarmchat.backends import open_backend
from swarmchat.cli.main import app
from swarmchat.cli.settings.folder import Consents
from swarmchat.cli.settings.loading import read_file
from swarmchat.swarm.persistence import keys
from terminal import Terminal, terminal
from typer.testing import CliRunner


@dataclass(frozen=True)
class Finished:
    """A program that has ended."""

    out: str
    err: str
    code: int


class Program:
    """Runs swarmchat with a home folder of its own, and nothing of the tester's environment."""

    command = warm.COMMAND

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.folder = folder / "work"
        self.home.mkdir()
        self.folder.mkdir()
        # Coverage and the path to the code under test are the test run's business.
        inherited = {name: value for name, value in os.environ.items() if name.startswith(("COVERAGE", "PYTHONPATH"))}
        # What a user would have: the program on the path, and a name.
        path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
        self.env = {**inherited, "HOME": str(self.home), "PATH": path, "LANG": "C.UTF-8", "TERM": "xterm-256color"}
        # Shared by the tests: the program makes a table there, once.
        self.env["XDG_CACHE_HOME"] = str(folder.parent / "cache")
        self.env["SWARMCHAT_CLIENT"] = "ann"
        # What listens on the tester's machine is none of the tests' business.
        self.env["SWARMCHAT_DISCOVER"] = "false"

    def connect(self, server: ModelServer) -> None:
        """Have ``server`` answer from now on."""
        self.env |= {"SWARMCHAT_MODEL": "test-model", "SWARMCHAT_BASE_URL": server.base_url}

    def messages(self, session: str) -> list[str]:
        """Return the texts of ``session``, questions and answers, as stored on disk."""

        async def read() -> list[bytes]:
            backend = open_backend(f"disk:{self.home}/.local/share/swarmchat/sessions")
            try:
                return await backend.slice(keys.session_log("ann", session), 0)
            finally:
                await backend.close()

        records = map(json.loads, asyncio.run(read()))
        return [record["message"]["content"] for record in records if record["type"] in ("user", "assistant")]

    def run(self, *arguments: str, piped: str | None = "", fresh: bool = False, **more: Any) -> Finished:
        """Run the program to its end, with ``piped`` as its standard input, and ``more`` for subprocess.run.

        With ``fresh``, or with what only a fresh process can be given, it is started, else it is a fork (``warm``).
        """
        command, env = [*self.command, *arguments], {**self.env, **more.pop("env", {})}
        if warm.can_be_warm(command, env) and not fresh and not more:
            done = warm.run(command, piped, env=env, cwd=self.folder, timeout=60)
        else:
            done = subprocess.run(
                command,
                input=piped,
                capture_output=True,
                encoding="utf-8",
                env=env,
                cwd=self.folder,
                timeout=60,
                **more,
            )
        return Finished(done.stdout, done.stderr, done.returncode)

    def invoke(self, *arguments: str, piped: str | bytes = "", env: Mapping[str, str] | None = None) -> Finished:
        """Carry out a command as ``run`` does, in this process: for what does not depend on having one of its own."""
        gone = dict.fromkeys(name for name in os.environ if name.startswith(("SWARMCHAT_", "OPENAI_")))
        with chdir(self.folder):
            done = CliRunner().invoke(app, arguments, input=piped, env={**gone, **self.env, **(env or {})})
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return Finished(done.stdout, done.stderr, done.exit_code)

    def start(self, *arguments: str, stdout: IO[str] | int | None = None) -> "warm.Piped | subprocess.Popen[str]":
        """Start the program with its streams as pipes, or ``stdout`` as given."""
        command = [*self.command, *arguments]
        if warm.can_be_warm(command, self.env):
            return warm.Piped(command, env=self.env, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=stdout)
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if stdout is None else stdout,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            env=self.env,
            cwd=self.folder,
            # A shell with job control starts it with Ctrl-C in force, whatever the test runner was started with.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )

    def chat(
        self, *arguments: str, columns: int = 80, rows: int = 24, env: Mapping[str, str] | None = None
    ) -> AbstractContextManager[Terminal]:
        """Run the program on a terminal."""
        whole = {**self.env, **(env or {})}
        return terminal([*self.command, *arguments], env=whole, columns=columns, rows=rows, cwd=self.folder)


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """The program, with the demo model, in an empty home."""
    return Program(tmp_path)


@pytest.fixture
def server(program: Program) -> Iterator[ModelServer]:
    """A real model server that the program is connected to."""
    with model_server() as running:
        program.connect(running)
        yield running


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str], Path]:
    """A way to write a file: ``write("a.toml", content)`` returns its path."""

    def write(name: str, content: str) -> Path:
        path = tmp_path / name
        path.write_text(content, "utf-8")
        return path

    return write


@pytest.fixture
def trusted(tmp_path: Path) -> Callable[[Path], Consents]:
    """A way to trust the settings file of a folder: ``trusted(path)`` returns the consents to load settings with."""

    def trusted(path: Path) -> Consents:
        consents = Consents(tmp_path / "trusted.json")
        consents.give(path, read_file(path))
        return consents

    return trusted
