"""``swarmchat chat``, and what is meant by a command line that names no command."""

from typing import Annotated

import typer
from swarmchat.cli.app import options


@options.settings(*options.CHAT, "plain", "profile")
def chat(
    prompt: Annotated[list[str] | None, typer.Argument(help="Send this, print the answer, and exit.")] = None,
    session: options.OpenSession = None,
    resume: options.Resume = False,
    *,
    flags: options.Flags,
    output: options.Output = "text",
    strict: Annotated[
        bool, typer.Option("--strict", help="With a PROMPT: exit with 4 if the model gave no usable answer.")
    ] = False,
) -> None:
    """Talk with a model. At a terminal a chat begins; with a PROMPT, or in a pipe, one answer is printed.

    Every option but -s, -c, --output and --strict can also be set as SWARMCHAT_NAME in the environment, or as name in
    ./swarmchat.toml or in the user's config file.
    """
    from swarmchat.cli.chat.chat import run_chat

    raise typer.Exit(run_chat(flags, prompt or [], output, session=session, resume=resume, strict=strict))
