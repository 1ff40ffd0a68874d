"""``swarmchat models``: which models a server has, and what a model gets wrong."""

from typing import Annotated

import typer
from swarmchat.cli.app import help_examples, options
from swarmchat.cli.app.typer_app import Commands

models_app = Commands(help="See which models there are, and test one.", no_args_is_help=True)

BaseUrl = Annotated[str | None, typer.Option(help="An OpenAI-compatible server, with its /v1.")]


@models_app.command("list", epilog=help_examples.MODELS_LIST)
def list_models(base_url: BaseUrl = None, profile: options.Profile = None, as_json: options.Json = False) -> None:
    """List the models that the server has; the one that would answer now has a star."""
    from swarmchat.cli.app.runner import run_to_exit_code
    from swarmchat.cli.models.listing import show_models

    raise typer.Exit(run_to_exit_code(lambda: show_models(options.flags(base_url=base_url, profile=profile), as_json)))


@models_app.command("test", epilog=help_examples.MODELS_TEST)
def probe_model(
    model: Annotated[str | None, typer.Option("-m", "--model", help="Which model; that of the settings.")] = None,
    base_url: BaseUrl = None,
    profile: options.Profile = None,
    timeout: Annotated[
        str | None, typer.Option("--timeout", metavar="S", help="Seconds that the server may be silent.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Without the long context, most of all tokens.")] = False,
    as_json: options.Json = False,
) -> None:
    """Ask a model small things, and tell what it gets wrong and what is done about it.

    Some 20 requests with 10,000 tokens in all. Exit code 0 when all was tried, whatever was found; 4 when the model
    cannot even chat.
    """
    from swarmchat.cli.app.runner import run_to_exit_code
    from swarmchat.cli.models.probing import run_test

    given = options.flags(model=model, base_url=base_url, profile=profile, timeout=timeout)
    raise typer.Exit(run_to_exit_code(lambda: run_test(given, quick=quick, as_json=as_json)))
