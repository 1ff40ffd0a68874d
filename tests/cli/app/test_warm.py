"""A fork of the warm process is what a program that was started is, as far as anybody outside can see."""

import os
import signal
import subprocess
from pathlib import Path

import pytest
import warm
from model_server import Gate, hang
from terminal import at_prompt


@pytest.mark.parametrize(
    ("arguments", "piped"),
    [
        (["--version"], ""),
        (["sessions"], ""),
        (["--nope"], ""),
        (["-b", "memory", "say", "it"], "what was piped: ü\n"),
        (["-b", "redis", "--redis-url", "redis://127.0.0.1:1", "hello"], ""),
    ],
)
def test_a_fork_says_what_a_start_says(arguments, piped, program):
    assert program.run(*arguments, piped=piped) == program.run(*arguments, piped=piped, fresh=True)


def test_a_fork_has_what_it_was_given_and_nothing_else(program, server):
    gate = Gate()
    server.reply(hang(gate, "half"))
    running = program.start("hello!")
    assert isinstance(running, warm.Piped)
    assert gate.reached.wait(20)
    of = Path("/proc", str(running.pid))
    kinds = [os.readlink(of / "fd" / number).partition(":")[0] for number in ("0", "1", "2")]
    assert kinds == ["/dev/null", "pipe", "pipe"]
    assert Path(os.readlink(of / "cwd")) == program.folder
    assert os.getsid(running.pid) == running.pid
    masks = dict(line.split(":\t") for line in (of / "status").read_text().splitlines() if line.startswith("Sig"))
    ignored = {signal.SIGPIPE, signal.SIGXFSZ}
    # Those above 31 are the C library's own, and what it finds ignored stays so in any program.
    blocked, unheard = (int(masks[name], 16) & (1 << 31) - 1 for name in ("SigBlk", "SigIgn"))
    assert (blocked, unheard) == (0, sum(1 << number - 1 for number in ignored))
    running.kill()
    running.communicate(timeout=20)
    gate.release()
    assert running.returncode == -signal.SIGKILL


def test_a_fork_on_a_terminal_is_killed_as_any_process_is(program):
    with program.chat() as screen:
        assert isinstance(screen.process, warm.OnTerminal)
        screen.wait_for(at_prompt)
        screen.process.kill(signal.SIGKILL)
        assert screen.wait_for_end() == 128 + signal.SIGKILL


@pytest.mark.parametrize(
    "different",
    [{"LANG": "C"}, {"LC_ALL": "C"}, {"PYTHONIOENCODING": "ascii"}, {"COVERAGE_PROCESS_START": "x"}],
)
def test_what_matters_to_a_start_is_started(different, program):
    assert warm.can_be_warm(warm.COMMAND, program.env)
    assert not warm.can_be_warm(warm.COMMAND, {**program.env, **different})
    assert not warm.can_be_warm(["/bin/bash", "-c", "true"], program.env)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_fork_that_a_shell_starts_ends_with_what_the_shell_has_started(number, tmp_path):
    code = "import os, signal, sys; print(sys.argv, os.getcwd(), flush=True); signal.pause()"
    command = warm.line("-c", code, "a b")
    with subprocess.Popen(command, cwd=tmp_path, env=warm.environment(), stdout=subprocess.PIPE, text=True) as started:
        assert started.stdout.readline() == f"['-c', 'a b'] {tmp_path}\n"
        started.send_signal(number)
        # A pipe ends when the last process that has it does.
        assert started.stdout.read() == ""
    assert started.returncode == -number


def test_a_fork_has_what_python_is_given(tmp_path):
    (tmp_path / "script.py").write_text("import sys, neighbour; sys.exit(neighbour.CODE + len(sys.argv))", "utf-8")
    (tmp_path / "neighbour.py").write_text("CODE = 3", "utf-8")
    assert warm.run_python(tmp_path / "script.py", "more").returncode == 5
    warned = warm.run_python("-W", "error", "-c", "import warnings; warnings.warn('beware')")
    assert (warned.returncode, "UserWarning: beware" in warned.stderr) == (1, True)
