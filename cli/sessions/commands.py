"""``swarmchat sessions``: the commands and their options. What they do is in `manage` and `files`."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from swarmchat.cli.app import options
from swarmchat.cli.app.command_runner import run_and_exit, run_interruptible, run_on_store
from swarmchat.cli.app.options import Flags, Json, SessionName
from swarmchat.cli.app.typer_app import Commands

sessions_app = Commands(help="List, search, export, import, copy and delete sessions.", no_args_is_help=True)

AllSessions = Annotated[bool, typer.Option("--all", help="All sessions of the client, with its other data.")]
AsTest = Annotated[bool, typer.Option("--as-test", help="Write a test for swarmchat replay; YAML if -o ends in .yaml.")]
AllStores = Annotated[bool, typer.Option("--all", help="Include both disk and Redis, if they can be reached.")]
Empty = Annotated[bool, typer.Option("--empty", help="Only sessions without a turn.")]
ExportFormat = Annotated[str, typer.Option("--format", help="jsonl, openai, markdown or html.")]
Files = Annotated[list[Path], typer.Argument(help="Files to read; - is standard input.")]
ForkName = Annotated[str | None, typer.Argument(help="Name of the new session; default: NAME-2.")]
ImportFormat = Annotated[str | None, typer.Option("--format", help="jsonl, openai, llm or codex; detected by default.")]
ImportName = Annotated[str | None, typer.Option("--as", help="Session name; with several, -1, -2 … is added.")]
JsonRecords = Annotated[bool, typer.Option("--json", help="Print the records of the log.")]
Keep = Annotated[int | None, typer.Option(min=0, help="Always keep the N most recent ones.")]
LastTurn = Annotated[int | None, typer.Option(min=1, help="Last turn to copy; default: all.")]
Limit = Annotated[int | None, typer.Option(min=1, help="Maximum number of sessions.")]
ForAgent = Annotated[str | None, typer.Option("--agent", help="Agent that sees it; default: the active one.")]
Message = Annotated[str, typer.Argument(help="The message; - reads it from standard input.")]
Sender = Annotated[str, typer.Option("--from", help="Sender's name, shown with the message.")]
Wake = Annotated[bool, typer.Option("--wake", help="Let the agent react in a new turn.")]
NewName = Annotated[str, typer.Argument(help="New name.")]
OlderThan = Annotated[str | None, typer.Option(help="Only sessions unused for at least this long: 12h, 30d, 8w.")]
OnlySession = Annotated[str | None, typer.Option("-s", "--session", help="Search only this session.")]
OptionalSessions = Annotated[list[str] | None, typer.Argument(help="Sessions: their names or ids.")]
Output = Annotated[Path | None, typer.Option("-o", "--output", help="File to write; default: the screen.")]
PruneDryRun = Annotated[bool, typer.Option("--dry-run", help="Only list what would be deleted.")]
Redact = Annotated[list[str] | None, typer.Option(help="Redact all matches of this regular expression; repeatable.")]
Regex = Annotated[bool, typer.Option("--regex", help="Read TEXT as a regular expression.")]
RepairDryRun = Annotated[bool, typer.Option("--dry-run", help="Only list the problems; exit code 1 for damage.")]
SessionOrFile = Annotated[str, typer.Argument(help="Session, or a file with logs.")]
Sessions = Annotated[list[str], typer.Argument(help="Sessions: their names or ids.")]
Target = Annotated[str, typer.Option("--to", help="Target: disk, redis, or a URL.")]
Text = Annotated[str, typer.Argument(help="Text to find, ignoring case.")]
Tasks = Annotated[bool, typer.Option("--tasks", help="Also show the work of agents that were used as tools.")]
Yes = Annotated[bool, typer.Option("-y", "--yes", help="Do not ask.")]


def _command(name: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a function a command of the group, with the options of a store."""
    return lambda function: sessions_app.command(name)(options.settings(*options.STORE)(function))


@_command("list")
def list_sessions(limit: Limit = None, everywhere: AllStores = False, *, flags: Flags, as_json: Json = False) -> None:
    """List the sessions, most recently used first."""
    from swarmchat.cli.sessions import manage

    run_interruptible(lambda: manage.list_sessions(flags, limit, everywhere, as_json))


@_command("show")
def show(name: SessionName, tasks: Tasks = False, *, flags: Flags, as_json: JsonRecords = False) -> None:
    """Show the conversation of a session, which may be in use."""
    from swarmchat.cli.sessions import manage

    run_on_store(flags, lambda store: manage.show(store, name, tasks, as_json))


@_command("search")
def search(
    text: Text,
    regex: Regex = False,
    session: OnlySession = None,
    everywhere: AllStores = False,
    *,
    flags: Flags,
    as_json: Json = False,
) -> None:
    """Search questions, answers, and names, arguments and results of tools. Exit code 1 if nothing matches."""
    from swarmchat.cli.sessions import manage

    run_interruptible(lambda: manage.search(flags, text, regex, session, everywhere, as_json))


@_command("rename")
def rename(name: SessionName, new: NewName, *, flags: Flags, as_json: Json = False) -> None:
    """Rename a session. Its first name still works unless another session has it."""
    from swarmchat.cli.sessions import manage

    run_on_store(flags, lambda store: manage.rename(store, name, new, as_json))


@_command("delete")
def delete(names: Sessions, yes: Yes = False, *, flags: Flags, as_json: Json = False) -> None:
    """Delete sessions for good, after asking. The client's memory stays."""
    from swarmchat.cli.sessions import manage

    run_on_store(flags, lambda store: manage.delete(store, names, yes, as_json))


@_command("prune")
def prune(
    older_than: OlderThan = None,
    keep: Keep = None,
    empty: Empty = False,
    dry_run: PruneDryRun = False,
    yes: Yes = False,
    *,
    flags: Flags,
    as_json: Json = False,
) -> None:
    """Delete the sessions that meet all given conditions. Sessions in use are kept."""
    from swarmchat.cli.sessions import manage

    run_on_store(flags, lambda store: manage.prune(store, older_than, keep, empty, dry_run, yes, as_json))


@_command("export")
def export(
    name: SessionName,
    output: Output = None,
    form: ExportFormat = "jsonl",
    redact: Redact = None,
    as_test: AsTest = False,
    *,
    flags: Flags,
) -> None:
    """Write a session to a file: its log (jsonl), a message list of the chat API (openai), or a page.

    With --as-test, write a test: the questions, answers and results, with expectations for each turn.
    """
    from swarmchat.cli.sessions import files

    if as_test:
        run_on_store(flags, lambda store: files.export_test(store, name, form, redact or (), output))
    run_on_store(flags, lambda store: files.export(store, name, form, redact or (), output))


@_command("import")
def import_files(
    files: Files, as_name: ImportName = None, form: ImportFormat = None, *, flags: Flags, as_json: Json = False
) -> None:
    """Import sessions from files: swarmchat logs, message lists, llm's logs.db, Codex CLI sessions.

    Everything is checked before anything is stored. After an interruption, the same command continues where it stopped;
    a session that already exists is not stored twice.
    """
    from swarmchat.cli.sessions.files import import_sessions

    run_and_exit(lambda: import_sessions(flags, files, as_name, form, as_json))


@_command("copy")
def copy(
    to: Target, names: OptionalSessions = None, everything: AllSessions = False, *, flags: Flags, as_json: Json = False
) -> None:
    """Copy sessions to another store: log, agent, states; with --all also memory, bans and own storages.

    Run it again to add what is new.
    """
    from swarmchat.cli.sessions import files

    run_on_store(flags, lambda store: files.copy(store, to, names or (), everything, as_json))


@_command("fork")
def fork(
    name: SessionName, new: ForkName = None, turn: LastTurn = None, *, flags: Flags, as_json: Json = False
) -> None:
    """Copy a session, or its first turns, to a new session."""
    from swarmchat.cli.sessions import manage

    run_on_store(flags, lambda store: manage.fork(store, name, new, turn, as_json))


@_command("tell")
def tell_session(
    name: SessionName,
    text: Message,
    agent: ForAgent = None,
    wake: Wake = False,
    sender: Sender = "",
    *,
    flags: Flags,
    as_json: Json = False,
) -> None:
    """Send a message to a session. An open chat shows it at once, a closed one when it is next opened."""
    from swarmchat.cli.sessions import manage

    run_on_store(flags, lambda store: manage.tell_session(store, name, text, agent, wake, sender, as_json))


@_command("repair")
def repair(name: SessionOrFile, dry_run: RepairDryRun = False, *, flags: Flags, as_json: Json = False) -> None:
    """Repair a log: invalid lines, wrong numbers, calls without results, results without calls.

    The original log is kept, as the session NAME-before-repair, or as FILE.bak.
    """
    from swarmchat.cli.sessions import manage

    file = Path(name) if Path(name).is_file() else None
    run_on_store(flags, lambda store: manage.repair(store, name, file, dry_run, as_json))
