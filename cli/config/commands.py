"""``swarmchat config``: show the settings and where they come from, and change them."""

from typing import Annotated

import typer
from swarmchat.cli.app import options
from swarmchat.cli.app.typer_app import Commands

config_app = Commands(help="Show and change settings.", no_args_is_help=True)


@config_app.command("show")
def show(
    origin: Annotated[bool, typer.Option("--origin", help="Show where each value comes from, too.")] = False,
    profile: options.Profile = None,
    as_json: options.Json = False,
) -> None:
    """Show the settings in effect. Keys and passwords are hidden.

    \b
    swarmchat config show --origin
    swarmchat config show --profile local
    """
    from swarmchat.cli.app.runner import run_to_exit_code
    from swarmchat.cli.config.edit import show_settings

    raise typer.Exit(run_to_exit_code(lambda: show_settings({"profile": profile}, origin=origin, as_json=as_json)))


@config_app.command("path")
def path(as_json: options.Json = False) -> None:
    """Print the paths of the settings files, your own first, whether they exist or not."""
    from swarmchat.cli.app.runner import run_to_exit_code
    from swarmchat.cli.config.edit import show_paths

    raise typer.Exit(run_to_exit_code(lambda: show_paths(as_json)))


@config_app.command("init")
def init() -> None:
    """Write your own config file: every setting as a comment with its default. Never overwrites a file."""
    from swarmchat.cli.app.runner import run_to_exit_code
    from swarmchat.cli.config.edit import write_template

    raise typer.Exit(run_to_exit_code(write_template))


@config_app.command("set")
def set_value(
    name: Annotated[str, typer.Argument(help="Name of the setting.")],
    value: Annotated[str | None, typer.Argument(help="New value, as TOML or plain text; - reads stdin.")] = None,
    profile: Annotated[str | None, typer.Option(help="Change this profile; created if it does not exist.")] = None,
    unset: Annotated[bool, typer.Option("--unset", help="Remove the setting.")] = False,
) -> None:
    """Change one setting in your own config file; comments and everything else stay as they are.

    \b
    swarmchat config set model qwen3:8b
    swarmchat config set base_url http://localhost:11434/v1 --profile local
    swarmchat config set --unset model
    swarmchat config set api_key -       reads the value from standard input
    """
    from swarmchat.cli.app.runner import run_to_exit_code
    from swarmchat.cli.config.edit import change_value

    raise typer.Exit(run_to_exit_code(lambda: change_value(name, value, profile=profile, unset=unset)))
