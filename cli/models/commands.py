"""``swarmchat models``: list the models of a server, and test what a model gets wrong."""

from typing import Annotated

import typer
from swarmchat.cli.app import options
from swarmchat.cli.app.command_runner import run_and_exit
from swarmchat.cli.app.typer_app import Commands

models_app = Commands(help="List models, or test one.", no_args_is_help=True)

Quick = Annotated[bool, typer.Option("--quick", help="Skip the long-context probe, which costs most of the tokens.")]


@models_app.command("list")
@options.settings("base_url", "profile")
def list_models(*, flags: options.Flags, as_json: options.Json = False) -> None:
    """List the models of the server; a star marks the current one.

    \b
    swarmchat models list
    swarmchat models list --base-url http://localhost:11434/v1
    """
    from swarmchat.cli.models.listing import show_models

    run_and_exit(lambda: show_models(flags, as_json))


@models_app.command("test")
@options.settings("model", "base_url", "profile", "timeout")
def probe_model(*, flags: options.Flags, quick: Quick = False, as_json: options.Json = False) -> None:
    """Test a model with small requests: report its mistakes and how swarmchat handles them.

    Takes about 20 requests and 10,000 tokens, and never more than 24 requests and 15,000 tokens. Exit code 0 if all
    probes ran, whatever they found; 4 if the model cannot even chat.

    \b
    swarmchat models test -m qwen3:8b --base-url http://localhost:11434/v1
    swarmchat models test --quick --json
    """
    from swarmchat.cli.models.probing import run_test

    run_and_exit(lambda: run_test(flags, quick=quick, as_json=as_json))
