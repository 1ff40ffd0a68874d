"""The commands `swarmchat chat`, which is also what a command line without a command means, and `swarmchat run`."""

from pathlib import Path
from typing import Annotated

import typer
from swarmchat.cli.app import options


@options.settings(*options.CHAT, "plain", "debug", "profile")
def chat(
    prompt: Annotated[list[str] | None, typer.Argument(help="Send this, print the answer, and exit.")] = None,
    session: options.OpenSession = None,
    resume: options.Resume = False,
    *,
    flags: options.Flags,
    file: options.Files = None,
    output: options.Output = "text",
    strict: Annotated[
        bool,
        typer.Option(
            "--strict", help="With a PROMPT: exit with 4 if the model gave no usable answer, or showed a call."
        ),
    ] = False,
) -> None:
    """Talk with a model. At a terminal a chat begins; with a PROMPT, or in a pipe, one answer is printed.

    Every option but -s, -c, --output and --strict can also be set as SWARMCHAT_NAME in the environment, or as name in
    ./swarmchat.toml or in the user's config file.

    \b
    swarmchat -s trip                     open session trip; created if it does not exist
    swarmchat -m gpt-4o-mini              a model of OpenAI: needs OPENAI_API_KEY
    swarmchat -m qwen3:8b --base-url http://localhost:11434/v1
    swarmchat -b redis -c                 continue the last session in Redis
    swarmchat --profile work              use the settings of [profiles.work]
    swarmchat "count to 5" --output json  print one JSON object, for programs
    swarmchat -f notes.md "what is new?"  ask about a file
    """
    from swarmchat.cli.app.command_runner import Work, run_to_exit_code
    from swarmchat.cli.chat.chat import prepare_chat

    def prepare() -> Work:
        return prepare_chat(flags, prompt or [], file or [], output, session=session, resume=resume, strict=strict)

    raise typer.Exit(run_to_exit_code(prepare))


@options.settings(*options.CHAT, "debug", "profile")
def run(
    prompt: Annotated[list[str] | None, typer.Argument(help="Message to send; - reads it from standard input.")] = None,
    script: Annotated[
        Path | None, typer.Option(help="Read messages and commands from this file, or - for stdin.")
    ] = None,
    file: options.Files = None,
    output: options.Output = "text",
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 4 if a turn gets no usable answer, or shows a call.")
    ] = False,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Continue after an error; the exit code is that of the first.")
    ] = False,
    schema: Annotated[
        Path | None, typer.Option(help="Get JSON that fits the JSON schema in this file, and print nothing else.")
    ] = None,
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
    from swarmchat.cli.app.command_runner import Work, run_to_exit_code
    from swarmchat.cli.chat.batch import run_script
    from swarmchat.cli.chat.script import find_script, read_schema
    from swarmchat.cli.settings import wiring

    def prepare() -> Work:
        settings = wiring.apply_settings(flags)
        steps = find_script(prompt or [], script, file or [], settings.max_input)
        kind = None if schema is None else read_schema(schema, settings.max_input)
        return run_script(
            settings, steps, output, session=session, resume=resume, strict=strict, keep_going=keep_going, kind=kind
        )

    raise typer.Exit(run_to_exit_code(prepare))
