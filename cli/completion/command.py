"""``swarmchat completion``: what a shell needs so that Tab completes."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated, Any

import typer

CANDIDATES = ["completion", "candidates"]
"""How the scripts of the shells ask for what could stand where the cursor is."""


def completion(shell: Annotated[str, typer.Argument(help="bash, zsh or fish.")]) -> None:
    """Print the script that has Tab complete.

    It completes commands, options and their values: sessions, agents, tools, models, swarms, profiles, settings.

    \b
    bash:  add to ~/.bashrc: eval "$(swarmchat completion bash)"
    zsh:   add to ~/.zshrc, below compinit: eval "$(swarmchat completion zsh)"
    fish:  swarmchat completion fish > ~/.config/fish/completions/swarmchat.fish
    """
    from swarmchat.cli.completion.shells import SCRIPTS

    if shell not in SCRIPTS:
        raise typer.BadParameter(f"{shell!r} is none of {', '.join(SCRIPTS)}", param_hint="SHELL")
    print(SCRIPTS[shell], end="")


def print_candidates(root: Any, words: Sequence[str]) -> None:
    """Print what could stand where the cursor is: ``words`` are the shell, ``--``, and what its script sends.

    ``root`` is the program's command. Whatever goes wrong, nothing is said: a shell would print it into the line.
    """
    with suppress(Exception):
        from swarmchat.cli.completion.shells import lines_for

        for line in lines_for(root, words[0], words[2:]):
            print(line)
