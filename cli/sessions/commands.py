"""``swarmchat sessions``: list, show, search and rename; with the commands of the other modules as one group."""

import re
from collections.abc import Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Annotated, Any

import typer
from swarmchat.cli.app import options
from swarmchat.cli.app.command_runner import run_interruptible, run_on_store
from swarmchat.cli.app.typer_app import Commands
from swarmchat.cli.sessions import removal_commands, transfer_commands
from swarmchat.cli.terminal.printing import print_json

if TYPE_CHECKING:
    from swarmchat.cli.settings.store import OpenStore
    from swarmchat.swarm.persistence.session_index import SessionInfo

sessions_app = Commands(help="See, search, keep and move sessions.", no_args_is_help=True)

Everywhere = Annotated[bool, typer.Option("--all", help="On disk and in Redis, whichever can be reached.")]


@sessions_app.command("list")
@options.settings(*options.STORE)
def list_all(
    limit: Annotated[int | None, typer.Option(min=1, help="Maximum number of sessions.")] = None,
    everywhere: Everywhere = False,
    *,
    flags: options.Flags,
    as_json: options.Json = False,
) -> None:
    """List the sessions, the last used first."""

    async def work() -> None:
        from swarmchat.cli.sessions.pages import print_sessions
        from swarmchat.cli.sessions.stores import session_stores

        rows = []
        async with aclosing(session_stores(flags, everywhere)) as stores:
            async for store in stores:
                rows += await _rows(store, (await store.sessions())[:limit])
        rows = sorted(rows, key=lambda row: str(row["updated"]), reverse=True)[:limit] if everywhere else rows
        if as_json:
            print_json(rows)
        else:
            print_sessions(rows, everywhere)

    run_interruptible(work)


@sessions_app.command("show")
@options.settings(*options.STORE)
def show(
    name: options.SessionName,
    *,
    flags: options.Flags,
    as_json: Annotated[bool, typer.Option("--json", help="Print the records of the log.")] = False,
) -> None:
    """Show the conversation of a session, which may be in use."""

    async def work(store: "OpenStore") -> None:
        import json

        from swarmchat.cli.sessions.pages import print_dialogue
        from swarmchat.swarm.archive.dialogue import dialogue
        from swarmchat.swarm.persistence.log import read_records

        info = await store.session(name)
        records = [record async for record in read_records(store.backend, info)]
        if as_json:
            print_json([json.loads(record.line) for record in records])
        else:
            print_dialogue(dialogue(records, undone=True))

    run_on_store(flags, work)


@sessions_app.command("search")
@options.settings(*options.STORE)
def search(
    text: Annotated[str, typer.Argument(help="Text to find, in upper or lower case.")],
    regex: Annotated[bool, typer.Option("--regex", help="Read TEXT as a regular expression.")] = False,
    session: Annotated[str | None, typer.Option("-s", "--session", help="Search only this session.")] = None,
    everywhere: Everywhere = False,
    *,
    flags: options.Flags,
    as_json: options.Json = False,
) -> None:
    """Search questions, answers, and names, arguments and results of tools. Exit code 1 if nothing matches."""

    async def work() -> int:
        from dataclasses import asdict

        from swarmchat.cli.sessions.pages import print_hits
        from swarmchat.cli.sessions.stores import remark, session_stores
        from swarmchat.swarm.archive.search import search_sessions
        from swarmchat.swarm.errors import BadRecord

        pattern = _pattern(text, regex)
        rows: list[dict[str, Any]] = []
        count = 0
        async with aclosing(session_stores(flags, everywhere)) as stores:
            async for store in stores:
                infos = await _to_search(store, session, everywhere)
                async for info, hits in search_sessions(store.backend, infos, pattern):
                    if isinstance(hits, BadRecord):
                        remark(f"{info.name!r} was left out: {hits}")
                        continue
                    count += len(hits)
                    if as_json:
                        rows += [{**asdict(hit), "backend": store.name} for hit in hits]
                    else:
                        print_hits(hits, f"{store.name:<6}  " if everywhere else "")
        if as_json:
            print_json(rows)
        return 0 if count else 1

    run_interruptible(work)


@sessions_app.command("rename")
@options.settings(*options.STORE)
def rename(
    name: options.SessionName,
    new: Annotated[str, typer.Argument(help="New name.")],
    *,
    flags: options.Flags,
    as_json: options.Json = False,
) -> None:
    """Rename a session. Its first name still works as long as no other session has it."""

    async def work(store: "OpenStore") -> None:
        from datetime import UTC, datetime

        from swarmchat.swarm.archive.sessions import rename_session
        from swarmchat.swarm.common.encoding import clean_text

        info = await store.session(name)
        if new not in (info.id, info.name):
            await store.must_be_free(new)
        renamed = await rename_session(store.backend, info, clean_text(new), datetime.now(UTC), store.ttl)
        if as_json:
            print_json({"id": renamed.id, "name": renamed.name})

    run_on_store(flags, work)


for _name, _command in (
    ("delete", removal_commands.delete),
    ("prune", removal_commands.prune),
    ("export", transfer_commands.export),
    ("import", transfer_commands.import_files),
    ("copy", transfer_commands.copy),
    ("fork", transfer_commands.fork),
    ("repair", transfer_commands.repair),
):
    sessions_app.command(_name)(_command)


def _pattern(text: str, regex: bool) -> re.Pattern[str]:
    from swarmchat.cli.errors import UsageError

    if not text:
        raise UsageError("the text to find is empty")
    try:
        return re.compile(text if regex else re.escape(text), re.IGNORECASE)
    except re.error as error:
        raise UsageError(f"{text!r} is not a regular expression: {error}") from error


async def _to_search(store: "OpenStore", name: str | None, everywhere: bool) -> "Sequence[SessionInfo]":
    """Return the sessions to search. With several stores, a named session may be missing from some of them."""
    if name is None:
        return await store.sessions()
    if not everywhere:
        return [await store.session(name)]
    info = await store.find(name)
    return [] if info is None else [info]


async def _rows(store: "OpenStore", infos: "Sequence[SessionInfo]") -> list[dict[str, Any]]:
    from swarmchat.swarm.persistence import keys
    from swarmchat.swarm.primitives.navigation import Navigation

    stored = await store.backend.get_many([keys.session_swarm(info.client, info.id) for info in infos])
    return [
        {
            "name": info.name,
            "id": info.id,
            "title": info.title,
            "turns": info.turns,
            "created": info.created,
            "updated": info.updated,
            "swarm": info.swarm,
            "agent": Navigation.from_bytes(value, info.swarm).active,
            "model": info.model,
            "backend": store.name,
        }
        for info, value in zip(infos, stored, strict=True)
    ]
