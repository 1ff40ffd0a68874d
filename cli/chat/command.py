"""``swarmchat chat``, and what is meant by a command line that names no command."""

from typing import Annotated

import typer
from swarmchat.cli.app import options


def chat(
    prompt: Annotated[list[str] | None, typer.Argument(help="Ask this, print the answer, and leave.")] = None,
    backend: options.Backend = None,
    model: options.Model = None,
    session: options.OpenSession = None,
    resume: options.Resume = False,
    client: options.Client = None,
    swarm: options.SwarmName = None,
    approve: options.Approve = None,
    locale: options.Locale = None,
    system: options.System = None,
    max_context: options.MaxContext = None,
    base_url: options.BaseUrl = None,
    redis_url: options.RedisUrl = None,
    data_dir: options.DataDir = None,
    plain: options.Plain = None,
    profile: options.Profile = None,
    output: options.Output = "text",
    strict: Annotated[
        bool, typer.Option("--strict", help="With a PROMPT: leave with 4 if the model gave no usable answer.")
    ] = False,
) -> None:
    """Talk with a model. At a terminal a chat begins; with a PROMPT, or in a pipe, one answer is printed.

    Every option but -s, -c, --output and --strict can also be set as SWARMCHAT_NAME in the environment, or as name in
    ./swarmchat.toml or in the user's config file.
    """
    from swarmchat.cli.chat.chat import run_chat

    flags = options.flags(
        backend=backend,
        model=model,
        client=client,
        swarm=swarm,
        approve=approve,
        locale=locale,
        system=system,
        max_context=max_context,
        base_url=base_url,
        redis_url=redis_url,
        data_dir=data_dir,
        plain=plain,
        profile=profile,
    )
    raise typer.Exit(run_chat(flags, prompt or [], output, session=session, resume=resume, strict=strict))
