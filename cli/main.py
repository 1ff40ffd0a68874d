"""The command line. Nothing heavy is imported before it is known what is asked for."""

import gc
import os
import sys
from contextlib import suppress
from io import TextIOWrapper
from typing import Annotated, Any, NoReturn

import typer
from swarmchat.cli.app.command_table import CommandTable
from swarmchat.cli.app.typer_app import Commands, PlainGroup
from swarmchat.cli.completion import command as completion_command

_OBJECTS = 50_000
"""How many objects more there may be before Python looks for those that nobody needs: some 10 MB of them."""
_GROUP_OPTIONS = ("-h", "--help", "--version")


class _ChatByDefault(PlainGroup):
    """A group for which what names no command is a question for the chat."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{**settings, "commands": CommandTable()})

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args[:2] == completion_command.CANDIDATES:
            # Somebody waits for Tab: read as those of a command, these words would take as long as all the rest.
            completion_command.print_candidates(self, args[2:])
            ctx.exit()
        first = args[0] if args else ""
        if first not in self.commands and first not in _GROUP_OPTIONS:
            self._check_typo(ctx, args)
            args = ["chat", *args]
        return super().parse_args(ctx, args)

    def _check_typo(self, ctx: Any, args: list[str]) -> None:
        """Fail if the first word is nearly a command: more likely a typo than a question that should cost money."""
        import difflib

        # "what" is as near to "chat" as a typo: with more words behind it, it is a question. A quoted sentence is one
        # word with spaces, and no command is near it.
        cutoff = 0.75 if len(args) == 1 else 0.8
        if args and (near := difflib.get_close_matches(args[0], self.commands, n=1, cutoff=cutoff)):
            ctx.fail(
                f"unknown command {args[0]!r}; did you mean {near[0]!r}? To send it as a message, put -- before it"
            )


app = Commands(
    cls=_ChatByDefault,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    no_args_is_help=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from swarmchat.swarm.version import VERSION

        print(f"swarmchat {VERSION}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and leave.")
    ] = False,
) -> None:
    """A terminal chat whose sessions survive: in memory, on disk or in Redis.

    Anything that is not a command is sent as a question: swarmchat "why is the sky blue?". With no arguments, a chat
    starts.

    \b
    swarmchat                             start a chat
    swarmchat "why is the sky blue?"      print one answer
    git diff | swarmchat "what is this?"  append piped text to the question
    swarmchat -S helpdesk                 try a swarm of agents, without a key
    swarmchat -c                          continue the last session
    swarmchat doctor                      find out what is wrong
    swarmchat COMMAND --help              explain a command
    """


def main() -> None:
    """Run the program; the entry point ``swarmchat``."""
    _prepare_streams()
    # What is imported stays. By default the collector would go over it some twenty times before the first prompt.
    gc.set_threshold(_OBJECTS)
    try:
        app()
    except OSError as error:
        _leave_unwritten(error)
    except SystemExit as leaving:
        try:
            sys.stdout.flush()
        except OSError as error:
            _leave_unwritten(error, leaving.code)
        raise
    except Exception as error:
        from swarmchat.cli.app.crash_report import report_crash

        sys.exit(report_crash(error))


def _prepare_streams() -> None:
    """Give a process without a standard stream an empty one: else the next file that is opened would be it."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - it lives as long as we do
    # What a model says must not end the program because the locale cannot show it.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")


def _leave_unwritten(error: OSError, code: str | int | None = None) -> NoReturn:
    """End the program where standard output took no more; quietly, if its reader left, as ``head`` does.

    Only what typer prints (help, versions) comes here: what a chat cannot print is an error of ours.
    """
    # Python would try again when it ends, and complain.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    if isinstance(error, BrokenPipeError) or code:
        sys.exit(code)
    with suppress(OSError):
        print(f"error: standard output takes no more: {error.strerror}", file=sys.stderr)
    sys.exit(1)


if __name__ == "__main__":
    main()
