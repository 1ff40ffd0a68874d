"""``swarmchat config``: show the settings and where they come from, and change them."""

from pathlib import Path
from typing import Annotated

import typer
from swarmchat.cli.app import options
from swarmchat.cli.app.command_runner import run_and_exit
from swarmchat.cli.app.typer_app import Commands

config_app = Commands(help="Show and change settings.", no_args_is_help=True)


@config_app.command("show")
@options.settings("profile")
def show(
    origin: Annotated[bool, typer.Option("--origin", help="Also show where each value comes from.")] = False,
    *,
    flags: options.Flags,
    as_json: options.Json = False,
) -> None:
    """Show the settings in effect. Keys and passwords are hidden.

    \b
    swarmchat config show --origin
    swarmchat config show --profile local
    """
    from swarmchat.cli.config.edit import show_settings

    run_and_exit(lambda: show_settings(flags, origin=origin, as_json=as_json))


@config_app.command("path")
def path(as_json: options.Json = False) -> None:
    """Print the paths of the settings files, your own first, even if they do not exist."""
    from swarmchat.cli.config.edit import show_paths

    run_and_exit(lambda: show_paths(as_json))


@config_app.command("init")
def init() -> None:
    """Write your own config file: every setting as a comment with its default. Never overwrites a file."""
    from swarmchat.cli.config.edit import write_template

    run_and_exit(write_template)


@config_app.command("set")
def set_value(
    name: Annotated[str, typer.Argument(help="Name of the setting.")],
    value: Annotated[str | None, typer.Argument(help="New value, as TOML or plain text; - reads stdin.")] = None,
    profile: Annotated[str | None, typer.Option(help="Change this profile; created if it does not exist.")] = None,
    unset: Annotated[bool, typer.Option("--unset", help="Remove the setting.")] = False,
) -> None:
    """Change one setting in your own config file; everything else, including comments, stays.

    \b
    swarmchat config set model qwen3:8b
    swarmchat config set base_url http://localhost:11434/v1 --profile local
    swarmchat config set --unset model
    swarmchat config set api_key -       reads the value from standard input
    """
    from swarmchat.cli.config.edit import change_value

    run_and_exit(lambda: change_value(name, value, profile=profile, unset=unset))


def trust(
    folder: Annotated[Path, typer.Argument(help="The folder; default: the current one.")] = Path(),
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    listed: Annotated[bool, typer.Option("--list", help="List the files that you trust.")] = False,
    remove: Annotated[bool, typer.Option("--remove", help="No longer trust the folder's file.")] = False,
) -> None:
    """Allow a folder's swarmchat.toml to set a server, a swarm or a store, which needs your consent.

    Consent is for the file and the swarm that it names as they are now: if they change, you are asked again.

    \b
    swarmchat trust            show what ./swarmchat.toml wants, and ask
    swarmchat trust --list
    """
    from swarmchat.cli.app.consent import change_trust

    run_and_exit(lambda: change_trust(folder, yes=yes, listed=listed, remove=remove))
