"""``swarmchat doctor``: the command line of the health check."""

from typing import Annotated

import typer
from swarmchat.cli.app import options
from swarmchat.cli.app.command_runner import run_and_exit


@options.settings("backend", "model", "base_url", "profile", "client", "redis_url", "data_dir")
def doctor(
    *,
    flags: options.Flags,
    offline: Annotated[bool, typer.Option("--offline", help="Use no network.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Read all sessions, not just the 50 used last.")] = False,
    as_json: options.Json = False,
) -> None:
    """Check everything a chat needs, and say how to fix what is wrong.

    Checks the program, the terminal, the settings, the model, the store and the sessions. Sends the model four small
    requests. Writes two temporary keys to the store. Exit code 1 if a check failed.

    \b
    swarmchat doctor                     check the current setup
    swarmchat doctor --offline           check without the network
    swarmchat doctor -b redis            check another store
    swarmchat doctor --json | jq '.checks[] | select(.status == "failed")'
    """
    from swarmchat.cli.doctor.run import run_doctor

    run_and_exit(lambda: run_doctor(flags, offline=offline, everything=everything, as_json=as_json))
