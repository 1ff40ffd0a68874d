"""``swarmchat completion``: print the completion script of a shell, and the candidates it asks for."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated, Any

import typer

CANDIDATES = ["completion", "candidates"]
"""The words with which the scripts ask for candidates."""


def completion(shell: Annotated[str, typer.Argument(help="bash, zsh or fish.")]) -> None:
    """Print the completion script for your shell.

    It completes commands, options and their values: sessions, agents, tools, models, swarms, profiles, settings.

    \b
    bash:  add to ~/.bashrc: eval "$(swarmchat completion bash)"
    zsh:   add to ~/.zshrc, below compinit: eval "$(swarmchat completion zsh)"
    fish:  swarmchat completion fish > ~/.config/fish/completions/swarmchat.fish
    """
    from swarmchat.cli.completion.shells import SHELLS, script

    if shell not in SHELLS:
        raise typer.BadParameter(f"unknown shell {shell!r}; available: {', '.join(SHELLS)}", param_hint="SHELL")
    print(script(shell), end="")


def print_candidates(root: Any, words: Sequence[str]) -> None:
    """Print the candidates at the cursor. ``words`` are the shell, ``--``, and the words from its script.

    ``root`` is the program's command. Errors print nothing: a shell would put the message into the line.
    """
    with suppress(Exception):
        from swarmchat.cli.completion.shells import lines_for

        for line in lines_for(root, words[0], words[2:]):
            print(line)
