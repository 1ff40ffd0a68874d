"""The command line. Nothing heavy is imported before it is known what is asked for."""

import os
import sys
from contextlib import suppress
from io import TextIOWrapper
from typing import Annotated, Any, NoReturn

import typer
from swarmchat.cli import (
    bans_commands,
    completion_command,
    config_commands,
    doctor_command,
    help_examples,
    inspect_commands,
    models_commands,
    online_command,
    options,
    removal_commands,
    replay_command,
    run_command,
    sessions_commands,
    swarm_commands,
    transfer_commands,
)
from typer.core import TyperGroup

_GROUP_OPTIONS = ("-h", "--help", "--version")


class _ChatByDefault(TyperGroup):
    """A group for which what names no command is a question for the chat."""

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
        """A single word that is nearly a command is more likely a typo than a question that should cost money."""
        import difflib

        if len(args) == 1 and (near := difflib.get_close_matches(args[0], self.commands, n=1, cutoff=0.75)):
            ctx.fail(
                f"there is no command {args[0]!r}; did you mean {near[0]!r}? (to ask it: swarmchat chat {args[0]})"
            )


app = typer.Typer(
    cls=_ChatByDefault,
    # There is a command for it, whose candidates know sessions and models.
    add_completion=False,
    # The rich help pages would cost as much time as everything else together.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    no_args_is_help=False,
    epilog=help_examples.PROGRAM,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"swarmchat {version('swarmchat')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and leave.")
    ] = False,
) -> None:
    """A terminal chat whose sessions survive: in memory, on disk or in Redis.

    What names no command is a question: swarmchat "why is the sky blue?". Without one, a chat begins.
    """


@app.command(epilog=help_examples.CHAT)
def chat(
    prompt: Annotated[list[str] | None, typer.Argument(help="Ask this, print the answer, and leave.")] = None,
    backend: options.Backend = None,
    model: options.Model = None,
    session: options.OpenSession = None,
    resume: options.Resume = False,
    client: options.Client = None,
    swarm: options.SwarmName = None,
    approve: options.Approve = None,
    locale: options.Locale = None,
    system: options.System = None,
    max_context: options.MaxContext = None,
    base_url: options.BaseUrl = None,
    redis_url: options.RedisUrl = None,
    data_dir: options.DataDir = None,
    plain: options.Plain = None,
    profile: options.Profile = None,
    output: options.Output = "text",
    strict: Annotated[
        bool, typer.Option("--strict", help="With a PROMPT: leave with 4 if the model gave no usable answer.")
    ] = False,
) -> None:
    """Talk with a model. At a terminal a chat begins; with a PROMPT, or in a pipe, one answer is printed.

    Every option but -s, -c, --output and --strict can also be set as SWARMCHAT_NAME in the environment, or as name in
    ./swarmchat.toml or in the user's config file.
    """
    from swarmchat.cli.chat import run_chat

    flags = options.flags(
        backend=backend,
        model=model,
        client=client,
        swarm=swarm,
        approve=approve,
        locale=locale,
        system=system,
        max_context=max_context,
        base_url=base_url,
        redis_url=redis_url,
        data_dir=data_dir,
        plain=plain,
        profile=profile,
    )
    raise typer.Exit(run_chat(flags, prompt or [], output, session=session, resume=resume, strict=strict))


app.command("run")(run_command.run)
app.add_typer(swarm_commands.agents_app, name="agents")
app.add_typer(swarm_commands.tools_app, name="tools")
app.add_typer(models_commands.models_app, name="models")
app.command("state")(inspect_commands.state)
app.command("storage")(inspect_commands.storage)
app.command("memory", epilog=help_examples.MEMORY)(inspect_commands.memory)
app.add_typer(bans_commands.bans_app, name="bans")
app.add_typer(sessions_commands.sessions_app, name="sessions")
removal_commands.add_to(sessions_commands.sessions_app)
transfer_commands.add_to(sessions_commands.sessions_app)
app.command("replay")(replay_command.replay)
app.command("online")(online_command.online)
app.command("init", epilog=help_examples.INIT)(swarm_commands.init)
app.add_typer(config_commands.config_app, name="config")
app.command("doctor")(doctor_command.doctor)
app.command("completion")(completion_command.completion)


def main() -> None:
    """Run the program; the entry point ``swarmchat``."""
    _prepare_streams()
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
