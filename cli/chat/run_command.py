"""``swarmchat run``: turns for scripts, from a prompt or a file."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from swarmchat.cli.app import options

if TYPE_CHECKING:
    from swarmchat.cli.chat.script import Step


@options.settings(*options.CHAT, "profile")
def run(
    prompt: Annotated[list[str] | None, typer.Argument(help="Message to send; - reads it from standard input.")] = None,
    script: Annotated[
        Path | None, typer.Option(help="Read messages and commands from this file, or - for stdin.")
    ] = None,
    output: options.Output = "text",
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 4 if a turn gets no usable answer.")] = False,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Continue after an error; the exit code is that of the first.")
    ] = False,
    session: options.OpenSession = None,
    resume: options.Resume = False,
    *,
    flags: options.Flags,
) -> None:
    """Run without a prompt: send one message, or a script of messages and commands.

    In a script, each line is a message. Three quotation marks begin and end a message of several lines, / begins a
    command and # a comment. The whole script is checked before anything is sent. The first error ends the run with its
    exit code.
    """
    from swarmchat.cli.app.command_runner import run_to_exit_code
    from swarmchat.cli.chat.batch import run_steps

    def prepare() -> Any:
        name, steps = _read_steps(prompt or [], script)
        about = {"strict": strict, "keep_going": keep_going}
        return run_steps(flags, steps, output, name=name, session=session, resume=resume, **about)

    raise typer.Exit(run_to_exit_code(prepare))


def _read_steps(words: list[str], script: Path | None) -> "tuple[str, list[Step]]":
    """Return what the script is called, and what is to be done. Raises UsageError."""
    from swarmchat.cli.chat.script import Step, read_script
    from swarmchat.cli.errors import UsageError

    if bool(words) == (script is not None):
        raise UsageError("what is to be said? Give a PROMPT, - for what is piped in, or --script FILE; one of them")
    if script is not None:
        name = "standard input" if str(script) == "-" else str(script)
        return name, read_script(_read(script), name)
    text = _read(Path("-")) if words == ["-"] else " ".join(words)
    if not text.strip():
        raise UsageError("nothing to say: the message is empty")
    return "", [Step(text.strip())]


def _read(path: Path) -> str:
    from swarmchat.cli.chat.stdin import read_piped
    from swarmchat.cli.errors import UsageError

    name = "standard input" if str(path) == "-" else str(path)
    try:
        return (read_piped("a message or a script") if str(path) == "-" else path.read_bytes()).decode("utf-8")
    except OSError as error:
        raise UsageError(f"{name} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise UsageError(f"{name}, line {line}: byte 0x{error.object[error.start]:02x} is not UTF-8") from error
