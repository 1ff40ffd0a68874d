"""``swarmchat config``: see the settings and where they come from, and write them."""

from typing import Annotated

import typer
from swarmchat.cli.app import options
from swarmchat.cli.app.typer_app import Commands

config_app = Commands(help="See and write the settings.", no_args_is_help=True)


@config_app.command("show")
def show(
    origin: Annotated[bool, typer.Option("--origin", help="Also where each value comes from.")] = False,
    profile: options.Profile = None,
    as_json: options.Json = False,
) -> None:
    """Show the settings that count now. Keys and passwords are left out.

    \b
    swarmchat config show --origin
    swarmchat config show --profile local
    """
    from swarmchat.cli.app.runner import run_to_exit_code
    from swarmchat.cli.config.edit import show_settings

    raise typer.Exit(run_to_exit_code(lambda: show_settings({"profile": profile}, origin=origin, as_json=as_json)))


@config_app.command("path")
def path(as_json: options.Json = False) -> None:
    """Print where settings files are, the user's own first, whether they are there or not."""
    from swarmchat.cli.app.runner import run_to_exit_code
    from swarmchat.cli.config.edit import show_paths

    raise typer.Exit(run_to_exit_code(lambda: show_paths(as_json)))


@config_app.command("init")
def init() -> None:
    """Write your own config file with all settings, as comments with their defaults. Never overwrites one."""
    from swarmchat.cli.app.runner import run_to_exit_code
    from swarmchat.cli.config.edit import write_template

    raise typer.Exit(run_to_exit_code(write_template))


@config_app.command("set")
def set_value(
    name: Annotated[str, typer.Argument(help="Which setting.")],
    value: Annotated[str | None, typer.Argument(help="Its value, as in a file or without quotes.")] = None,
    profile: Annotated[str | None, typer.Option(help="In this profile, made if there is none.")] = None,
    unset: Annotated[bool, typer.Option("--unset", help="Take it out, in place of a VALUE.")] = False,
) -> None:
    """Set a value in your own config file; comments and all else stay as they are.

    \b
    swarmchat config set model qwen3:8b
    swarmchat config set base_url http://localhost:11434/v1 --profile local
    swarmchat config set --unset model
    swarmchat config set api_key -       reads the value from standard input
    """
    from swarmchat.cli.app.runner import run_to_exit_code
    from swarmchat.cli.config.edit import change_value

    raise typer.Exit(run_to_exit_code(lambda: change_value(name, value, profile=profile, unset=unset)))
