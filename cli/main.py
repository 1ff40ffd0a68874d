"""The entry point: reads the command line and runs the command, importing only what that command needs."""

import errno
import gc
import os
import re
import shlex
import stat
import sys
from collections.abc import Collection
from contextlib import suppress
from io import TextIOWrapper
from typing import Annotated, Any, NoReturn

import typer
from swarmchat.cli.app.command_table import CommandTable
from swarmchat.cli.app.typer_app import Commands, PlainGroup
from swarmchat.cli.completion import command as completion_command
from swarmchat.cli.environment import hide_keys

_START_OBJECTS = 250_000
"""New objects until Python's garbage collector first runs. A start with all that an answer imports makes 190,000."""
_OBJECTS = 50_000
"""New objects between its later runs; about 10 MB."""
_GROUP_OPTIONS = ("-h", "--help", "--version")
_SESSION = ("-s", "--session")
_WORD = re.compile(r"[^\W\d_](?:[\w./:~-]*\w)?")
_TESTS = ("test", "tests", "eval")
"""What other programs call ``replay``."""
_SENDS = " To send it as a message, put -- before it"


class _ChatByDefault(PlainGroup):
    """The group of all commands. Words that are not a command are a question for the chat."""

    default_command = "chat"

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{**settings, "commands": CommandTable()})

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args[:2] == completion_command.CANDIDATES:
            # Somebody waits for Tab, and parsing these words as a command would double the time.
            completion_command.print_candidates(self, args[2:])
            ctx.exit()
        first = args[0] if args else ""
        if args and args[-1] in _SESSION and (first == self.default_command or first not in self.commands):
            # Without a name, the user chooses one.
            args = [*args, ""]
        if first not in self.commands and first not in _GROUP_OPTIONS:
            if first.startswith("-"):
                self._check_order(ctx, args)
            else:
                self._check_typo(ctx, args)
            args = [self.default_command, *args]
        return super().parse_args(ctx, args)

    def _check_typo(self, ctx: Any, args: list[str]) -> None:
        """Fail if the first word is nearly a command, or the only word: probably not a question worth paying for."""
        word = args[0] if args else ""
        # A quoted sentence is one word with spaces; one in Chinese or Thai has none, but no capital letters either.
        is_word = _WORD.fullmatch(word) and word.upper() != word.lower()
        alone = is_word and (len(args) == 1 or args[1].startswith("-"))
        near = self._near(word, 0.6 if alone else 0.8)
        if word in _TESTS and (alone or any(os.path.exists(each.partition("::")[0]) for each in args[1:])):
            near = ["replay"]
        if word == "help" and args[1:2] and args[1] in self.commands:
            ctx.fail(f"unknown command 'help'; did you mean swarmchat {args[1]} --help?{_SENDS}")
        if near or alone:
            inner = [f"{name} {word}" for name, command in self.commands.items() if word in _names_in(command)]
            options = [name for name in _GROUP_OPTIONS if name == f"--{word}"]
            names = " or ".join(map(repr, options or near or inner))
            hint = f"did you mean {names}?" if names else "swarmchat --help lists the commands."
            ctx.fail(f"unknown command {word!r}; {hint}{_SENDS}")

    def _check_order(self, ctx: Any, args: list[str]) -> None:
        """Fail if the first word after options of the chat is a command, or nearly one."""
        parser = self.commands[self.default_command].make_parser(ctx)
        parser.ignore_unknown_options = True
        words = parser.parse_args(args=list(args))[0].get("prompt")
        if words and "--" not in args and (near := self._near(words[0], 0.8)):
            start = args.index(words[0])
            command = shlex.join(["swarmchat", *near, *args[start + 1 :], *args[:start]])
            ctx.fail(f"options come after the command: {command}.{_SENDS}")

    def _near(self, word: str, cutoff: float) -> list[str]:
        """Return the command that is most like ``word``, if one is."""
        import difflib

        return difflib.get_close_matches(word.lower(), self.commands, n=1, cutoff=cutoff)


def _names_in(command: Any) -> Collection[str]:
    """Return the names of the commands in a group."""
    return getattr(command, "commands", ())


app = Commands(
    cls=_ChatByDefault,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    no_args_is_help=False,
)


def _show_version(is_set: bool) -> None:
    if is_set:
        from swarmchat.swarm.version import VERSION

        print(f"swarmchat {VERSION}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """A terminal chat whose sessions survive: in memory, on disk or in Redis.

    Anything that is not a command is sent as a question: swarmchat "why is the sky blue?". A single word is not: put --
    before it to send it. With no arguments, a chat starts.

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
    # An editable install adds the name of no folder: one of that name in the current folder would be imported from.
    sys.path[:] = filter(os.path.isabs, sys.path)
    # Tools run programs of which some are not the user's own; settings still read the keys.
    hide_keys()
    gc.set_threshold(_START_OBJECTS)
    gc.callbacks.append(_exempt_start)
    try:
        app()
    except SystemExit as leaving:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        except OSError as error:
            _leave_unwritten(error, leaving.code)
        raise
    except Exception as error:
        # termios has its own error, which is not an OSError.
        if isinstance(error, OSError) or _is_closed_terminal(error):
            _leave_unwritten(error)
        from swarmchat.cli.app.crash_report import report_crash

        sys.exit(report_crash(error))
    finally:
        # Python collects several times at exit, to free what the system is about to take back anyway.
        gc.freeze()


def _exempt_start(phase: str, info: dict[str, int]) -> None:
    """Exempt what there is from garbage collection, at its first run: nearly all of it are modules, which stay."""
    gc.callbacks.remove(_exempt_start)
    gc.freeze()
    gc.set_threshold(_OBJECTS)


def _prepare_streams() -> None:
    """Replace missing standard streams by the null device: the next opened file would take their place.

    Standard output is one that cannot be written, so that an answer is not lost without an error.
    """
    for name, flag, mode in (("stdin", os.O_RDONLY, "r"), ("stdout", os.O_RDONLY, "w"), ("stderr", os.O_WRONLY, "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.open(os.devnull, flag), mode, encoding="utf-8"))  # noqa: SIM115 - stays open
    # Text that the locale cannot show must not end the program.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")


def _leave_unwritten(error: Exception, code: str | int | None = None) -> NoReturn:
    """End the program after a failed write to standard output; quietly if its reader has left, as ``head`` does.

    A closed terminal ends it like the SIGHUP that comes with it, which a shell may keep. This is for what typer prints
    (help, version) and for the terminal of a chat. Other output raises OutputLost.
    """
    if _is_closed_terminal(error):
        code = 129
    # Python would flush again at exit, complain, and exit with 120.
    for stream in (1, 2) if code else (1,):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
    if isinstance(error, BrokenPipeError) or code:
        sys.exit(code)
    with suppress(OSError):
        print(f"error: standard output cannot be written: {getattr(error, 'strerror', error)}", file=sys.stderr)
    sys.exit(1)


def _is_closed_terminal(error: Exception) -> bool:
    """Whether ``error`` came from a terminal that is gone: it reads and writes no more, and is no ``isatty`` either."""
    streams = [os.fstat(stream).st_mode for stream in (0, 1, 2)]
    return error.args[:1] == (errno.EIO,) and any(map(stat.S_ISCHR, streams))


if __name__ == "__main__":
    main()
