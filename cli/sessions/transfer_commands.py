"""``swarmchat sessions``: export, import, copy, fork and repair."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from swarmchat.cli.app import options
from swarmchat.cli.app.options import Name
from swarmchat.cli.app.typer_app import Commands
from swarmchat.cli.terminal.printing import as_line, print_json

if TYPE_CHECKING:
    from swarmchat.swarm.archive.repair import Repaired


@options.with_store_options
def export(
    name: Name,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write it there, not to the screen.")] = None,
    form: Annotated[str, typer.Option("--format", help="jsonl, openai, markdown or html.")] = "jsonl",
    redact: Annotated[
        list[str] | None, typer.Option(help="Replace what this regular expression matches; can be repeated.")
    ] = None,
    flags: Mapping[str, Any] = options.NO_FLAGS,
) -> None:
    """Write a session: its log as it is (jsonl), a message list of the chat API (openai), or a page."""
    from swarmchat.cli.sessions.stores import leave_with, opened

    async def work() -> None:
        from swarmchat.cli.sessions.files import export_session, redaction
        from swarmchat.cli.settings import wiring

        patterns = redaction(redact or [])
        async with opened(wiring.apply_settings(flags)) as place:
            await export_session(place.backend, await place.session(name), form, patterns, output)

    leave_with(work())


@options.with_store_options
def import_files(
    files: Annotated[list[Path], typer.Argument(help="Which files; - is standard input.")],
    as_name: Annotated[
        str | None, typer.Option("--as", help="What to call it; several get a number behind it.")
    ] = None,
    form: Annotated[
        str | None, typer.Option("--format", help="jsonl, openai, llm or codex; found out by default.")
    ] = None,
    flags: Mapping[str, Any] = options.NO_FLAGS,
    as_json: options.Json = False,
) -> None:
    """Store the sessions in files: our own logs, message lists, the logs.db of llm, sessions of the Codex CLI.

    Nothing is stored unless all of it can be. After an interruption the same command goes on where it stopped, and what
    is there already is not stored twice.
    """
    from swarmchat.cli.app.runner import run_to_exit_code
    from swarmchat.cli.sessions.files import import_sessions

    raise typer.Exit(run_to_exit_code(lambda: import_sessions(flags, files, as_name, form, as_json)))


@options.with_store_options
def copy(
    to: Annotated[str, typer.Option("--to", help="Where to: disk, redis, or a URL.")],
    names: Annotated[list[str] | None, typer.Argument(help="Which sessions: their names or ids.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All sessions of the client.")] = False,
    flags: Mapping[str, Any] = options.NO_FLAGS,
    as_json: options.Json = False,
) -> None:
    """Copy sessions to another store, with all that is kept beside them. Again: what was added since."""
    from swarmchat.cli.sessions.stores import leave_with, opened

    async def work() -> None:
        from swarmchat.cli.errors import UsageError
        from swarmchat.cli.sessions.files import copy_sessions
        from swarmchat.cli.settings import wiring
        from swarmchat.swarm.persistence.session_index import list_sessions

        if bool(names) == everything:
            raise UsageError("which sessions? Name them, or give --all")
        settings = wiring.apply_settings(flags)
        async with opened(settings) as place, opened(settings, to) as target:
            if place.backend.url == target.backend.url:
                raise UsageError(f"{place.name} is where they are: name another store with --to")
            infos = await list_sessions(place.backend, place.client) if everything else []
            infos += [await place.session(name) for name in names or ()]
            await copy_sessions(place, target, infos, as_json)

    leave_with(work())


@options.with_store_options
def fork(
    name: Name,
    new: Annotated[str | None, typer.Argument(help="What to call the new one; NAME-2 by default.")] = None,
    turn: Annotated[int | None, typer.Option(min=1, help="As it was at the end of this turn.")] = None,
    flags: Mapping[str, Any] = options.NO_FLAGS,
    as_json: options.Json = False,
) -> None:
    """Begin a new session with what was said in another one, all of it or the first turns."""
    from swarmchat.cli.sessions.stores import leave_with, opened

    async def work() -> None:
        from datetime import UTC, datetime

        from swarmchat.cli.errors import UsageError
        from swarmchat.cli.settings import wiring
        from swarmchat.swarm.archive.sessions import fork_session
        from swarmchat.swarm.archive.writer import SessionWriter
        from swarmchat.swarm.common.encoding import clean_text
        from swarmchat.swarm.persistence.session_index import numbered_name

        async with opened(wiring.apply_settings(flags)) as place:
            info = await place.session(name)
            if turn is not None and turn > info.turns:
                raise UsageError(f"session {info.name!r} has {info.turns} turns, there is none {turn}")
            chosen = clean_text(new or "")
            if new is None:
                chosen = await numbered_name(place.backend, place.client, info.name)
            await place.must_be_free(chosen)
            forked = await fork_session(place.backend, info, chosen, datetime.now(UTC), turn)
            await SessionWriter(place.backend, place.client, place.ttl).store(forked, name=chosen)
        if as_json:
            print_json({"name": chosen, "from": info.name, "turns": forked.info.turns})
        else:
            print(as_line(chosen))

    leave_with(work())


@options.with_store_options
def repair(
    name: Annotated[str, typer.Argument(help="Which session, or which file with logs.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what is wrong; exit code 1 if anything is.")] = False,
    flags: Mapping[str, Any] = options.NO_FLAGS,
    as_json: options.Json = False,
) -> None:
    """Repair a log: what is no record, wrong numbers, calls without results and the other way round.

    The log as it was is kept, as the session NAME-before-repair, or as FILE.bak.
    """
    from swarmchat.cli.sessions.stores import leave_with, opened

    is_file = Path(name).is_file()

    async def work() -> int:
        from swarmchat.cli.settings import wiring
        from swarmchat.swarm.archive.repair import repair_file, repair_session
        from swarmchat.swarm.persistence.session_index import find_session

        async with opened(wiring.apply_settings(flags)) as place:
            info = await find_session(place.backend, place.client, name)
            if info is None and is_file:
                done = repair_file(Path(name), dry_run=dry_run)
            else:
                info = info or await place.session(name)
                done = await repair_session(place.backend, info, place.ttl, dry_run=dry_run)
        _print_repaired(done, as_json)
        return 1 if dry_run and done.findings else 0

    leave_with(work())


def add_to(group: Commands) -> None:
    """Add these commands to the others about sessions."""
    group.command("export")(export)
    group.command("import")(import_files)
    group.command("copy")(copy)
    group.command("fork")(fork)
    group.command("repair")(repair)


def _print_repaired(done: "Repaired", as_json: bool) -> None:
    if as_json:
        print_json({"findings": list(done.findings), "kept_as": done.kept_as})
        return
    for finding in done.findings:
        print(as_line(finding))
    if done.kept_as is not None:
        print(f"the log as it was is kept as {as_line(done.kept_as)}")
    elif not done.findings:
        print("nothing is wrong with it")
