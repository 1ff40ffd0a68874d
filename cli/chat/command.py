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

    \b
    swarmchat -s trip                     open session trip; created if it does not exist
    swarmchat -m gpt-4o-mini              a model of OpenAI: needs OPENAI_API_KEY
    swarmchat -m qwen3:8b --base-url http://localhost:11434/v1
    swarmchat -b redis -c                 continue the last session in Redis
    swarmchat --profile work              use the settings of [profiles.work]
    swarmchat "count to 5" --output json  print one JSON object, for programs
    """
    from swarmchat.cli.chat.chat import run_chat

    raise typer.Exit(run_chat(flags, prompt or [], output, session=session, resume=resume, strict=strict))
