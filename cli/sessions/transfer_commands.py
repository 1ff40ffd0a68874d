"""``swarmchat sessions``: export, import, copy, fork and repair."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from swarmchat.cli.app import options
from swarmchat.cli.app.command_runner import run_and_exit, run_on_store
from swarmchat.cli.terminal.printing import as_line, print_json

if TYPE_CHECKING:
    from swarmchat.cli.settings.store import OpenStore
    from swarmchat.swarm.archive.repair import Repaired


@options.settings(*options.STORE)
def export(
    name: options.SessionName,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="File to write; default: the screen.")] = None,
    form: Annotated[str, typer.Option("--format", help="jsonl, openai, markdown or html.")] = "jsonl",
    redact: Annotated[
        list[str] | None, typer.Option(help="Replace what this regular expression matches; can be repeated.")
    ] = None,
    *,
    flags: options.Flags,
) -> None:
    """Write a session: its log as it is (jsonl), a message list of the chat API (openai), or a page."""

    async def work(store: "OpenStore") -> None:
        from swarmchat.cli.sessions.files import export_session, redaction

        patterns = redaction(redact or [])
        await export_session(store.backend, await store.session(name), form, patterns, output)

    run_on_store(flags, work)


@options.settings(*options.STORE)
def import_files(
    files: Annotated[list[Path], typer.Argument(help="Files to read; - is standard input.")],
    as_name: Annotated[str | None, typer.Option("--as", help="Session name; with several, -1, -2 … is added.")] = None,
    form: Annotated[
        str | None, typer.Option("--format", help="jsonl, openai, llm or codex; detected by default.")
    ] = None,
    *,
    flags: options.Flags,
    as_json: options.Json = False,
) -> None:
    """Import sessions from files: our own logs, message lists, the logs.db of llm, sessions of the Codex CLI.

    Nothing is stored unless all of it can be. After an interruption, the same command continues where it stopped; a
    session that is already there is not stored twice.
    """
    from swarmchat.cli.sessions.files import import_sessions

    run_and_exit(lambda: import_sessions(flags, files, as_name, form, as_json))


@options.settings(*options.STORE)
def copy(
    to: Annotated[str, typer.Option("--to", help="Target: disk, redis, or a URL.")],
    names: Annotated[list[str] | None, typer.Argument(help="Sessions: their names or ids.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All sessions of the client.")] = False,
    *,
    flags: options.Flags,
    as_json: options.Json = False,
) -> None:
    """Copy sessions to another store (log, agent, states; not memory, bans or storages).

    Run it again to add what is new.
    """

    async def work(store: "OpenStore") -> None:
        from swarmchat.cli.errors import UsageError
        from swarmchat.cli.sessions.files import copy_sessions
        from swarmchat.cli.settings.store import open_store

        if bool(names) == everything:
            raise UsageError("which sessions? Name them, or give --all")
        async with open_store(replace(store.settings, backend=to)) as target:
            if store.backend.url == target.backend.url:
                raise UsageError("source and target are the same store: name another one with --to")
            infos = await store.sessions() if everything else [await store.session(name) for name in names or ()]
            await copy_sessions(store, target, infos, as_json)

    run_on_store(flags, work)


@options.settings(*options.STORE)
def fork(
    name: options.SessionName,
    new: Annotated[str | None, typer.Argument(help="Name of the new session; default: NAME-2.")] = None,
    turn: Annotated[int | None, typer.Option(min=1, help="Last turn to take over; default: all.")] = None,
    *,
    flags: options.Flags,
    as_json: options.Json = False,
) -> None:
    """Start a new session with the conversation of another one, all of it or the first turns."""

    async def work(store: "OpenStore") -> None:
        from datetime import UTC, datetime

        from swarmchat.cli.errors import UsageError
        from swarmchat.swarm.archive.sessions import fork_session
        from swarmchat.swarm.archive.writer import SessionWriter
        from swarmchat.swarm.common.encoding import clean_text
        from swarmchat.swarm.persistence.session_index import numbered_name

        info = await store.session(name)
        if turn is not None and turn > info.turns:
            raise UsageError(f"session {info.name!r} has only {info.turns} turns: --turn {turn} does not exist")
        new_name = clean_text(new or "")
        if new is None:
            new_name = await numbered_name(store.backend, store.client, info.name)
        await store.must_be_free(new_name)
        forked = await fork_session(store.backend, info, new_name, datetime.now(UTC), turn)
        await SessionWriter(store.backend, store.client, store.ttl).store(forked, name=new_name)
        if as_json:
            print_json({"name": new_name, "from": info.name, "turns": forked.info.turns})
        else:
            print(as_line(new_name))

    run_on_store(flags, work)


@options.settings(*options.STORE)
def repair(
    name: Annotated[str, typer.Argument(help="Session, or a file with logs.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only list what is wrong; exit code 1 if anything is.")
    ] = False,
    *,
    flags: options.Flags,
    as_json: options.Json = False,
) -> None:
    """Repair a log: invalid lines, wrong numbers, calls without results, results without calls.

    The original log is kept, as the session NAME-before-repair, or as FILE.bak.
    """
    is_file = Path(name).is_file()

    async def work(store: "OpenStore") -> int:
        from swarmchat.swarm.archive.repair import repair_file, repair_session

        info = await store.find(name)
        if info is None and is_file:
            repaired = repair_file(Path(name), dry_run=dry_run)
        else:
            info = info or await store.session(name)
            repaired = await repair_session(store.backend, info, store.ttl, dry_run=dry_run)
        _print_repaired(repaired, as_json)
        return 1 if dry_run and repaired.findings else 0

    run_on_store(flags, work)


def _print_repaired(repaired: "Repaired", as_json: bool) -> None:
    if as_json:
        print_json({"findings": list(repaired.findings), "kept_as": repaired.kept_as})
        return
    for finding in repaired.findings:
        print(as_line(finding))
    if repaired.kept_as is not None:
        print(f"the original log is kept as {as_line(repaired.kept_as)}")
    elif not repaired.findings:
        print("nothing to repair")
