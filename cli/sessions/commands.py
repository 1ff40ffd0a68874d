"""``swarmchat sessions``: list, show, search and rename."""

import re
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Annotated, Any

import typer
from swarmchat.cli.app import options
from swarmchat.cli.app.options import Name
from swarmchat.cli.app.typer_app import Commands
from swarmchat.cli.terminal.printing import print_json

if TYPE_CHECKING:
    from swarmchat.cli.sessions.stores import SessionStore
    from swarmchat.swarm.persistence.session_index import SessionInfo
    from swarmchat.swarm.primitives.navigation import Navigation


sessions_app = Commands(help="See, search, keep and move sessions.", no_args_is_help=True)

Everywhere = Annotated[bool, typer.Option("--all", help="On disk and in Redis, whichever can be reached.")]


@sessions_app.command("list")
@options.with_store_options
def list_all(
    limit: Annotated[int | None, typer.Option(min=1, help="How many at most.")] = None,
    everywhere: Everywhere = False,
    flags: Mapping[str, Any] = options.NO_FLAGS,
    as_json: options.Json = False,
) -> None:
    """List the sessions, the last used first."""
    from swarmchat.cli.sessions.stores import leave_with, session_stores

    async def work() -> None:
        from swarmchat.cli.sessions.pages import print_sessions
        from swarmchat.swarm.persistence.session_index import list_sessions

        rows = []
        async with aclosing(session_stores(flags, everywhere)) as found:
            async for place in found:
                infos = (await list_sessions(place.backend, place.client))[:limit]
                rows += await _rows(place, infos)
        rows = sorted(rows, key=lambda row: str(row["updated"]), reverse=True)[:limit] if everywhere else rows
        if as_json:
            print_json(rows)
        else:
            print_sessions(rows, everywhere)

    leave_with(work())


@sessions_app.command("show")
@options.with_store_options
def show(
    name: Name,
    flags: Mapping[str, Any] = options.NO_FLAGS,
    as_json: Annotated[bool, typer.Option("--json", help="Print the records of the log.")] = False,
) -> None:
    """Show what was said and done in a session, which may be in use."""
    from swarmchat.cli.sessions.stores import leave_with, opened

    async def work() -> None:
        import json

        from swarmchat.cli.sessions.pages import print_said
        from swarmchat.cli.settings import wiring
        from swarmchat.swarm.archive.dialogue import dialogue
        from swarmchat.swarm.persistence.log_reader import read_records

        async with opened(wiring.apply_settings(flags)) as place:
            info = await place.session(name)
            records = [record async for record in read_records(place.backend, info)]
        if as_json:
            print_json([json.loads(record.line) for record in records])
        else:
            print_said(dialogue(records, undone=True))

    leave_with(work())


@sessions_app.command("search")
@options.with_store_options
def search(
    text: Annotated[str, typer.Argument(help="What to find, in upper or lower case.")],
    regex: Annotated[bool, typer.Option("--regex", help="It is a regular expression.")] = False,
    session: Annotated[str | None, typer.Option("-s", "--session", help="Only in this session.")] = None,
    everywhere: Everywhere = False,
    flags: Mapping[str, Any] = options.NO_FLAGS,
    as_json: options.Json = False,
) -> None:
    """Find a text in questions, answers, and names, arguments and results of tools. Exit code 1 if there is none."""
    from swarmchat.cli.sessions.stores import leave_with, remark, session_stores

    async def work() -> int:
        from dataclasses import asdict

        from swarmchat.cli.errors import UsageError
        from swarmchat.cli.sessions.pages import print_hits
        from swarmchat.swarm.archive.search import search_sessions
        from swarmchat.swarm.errors import BadRecord

        try:
            pattern = re.compile(text if regex else re.escape(text), re.IGNORECASE)
        except re.error as error:
            raise UsageError(f"{text!r} is no regular expression: {error}") from error
        if not text:
            raise UsageError("there is nothing to find in an empty text")
        found: list[dict[str, Any]] = []
        count = 0
        async with aclosing(session_stores(flags, everywhere)) as reached:
            async for place in reached:
                infos = await _to_search(place, session, everywhere)
                async for info, hits in search_sessions(place.backend, infos, pattern):
                    if isinstance(hits, BadRecord):
                        remark(f"{info.name!r} was left out: {hits}")
                        continue
                    count += len(hits)
                    if as_json:
                        found += [{**asdict(hit), "backend": place.name} for hit in hits]
                    else:
                        print_hits(hits, f"{place.name:<6}  " if everywhere else "")
        if as_json:
            print_json(found)
        return 0 if count else 1

    leave_with(work())


@sessions_app.command("rename")
@options.with_store_options
def rename(
    name: Name,
    new: Annotated[str, typer.Argument(help="Its new name.")],
    flags: Mapping[str, Any] = options.NO_FLAGS,
    as_json: options.Json = False,
) -> None:
    """Give a session another name. Its first one leads to it too, while no other session has that."""
    from swarmchat.cli.sessions.stores import leave_with, opened

    async def work() -> None:
        from datetime import UTC, datetime

        from swarmchat.cli.settings import wiring
        from swarmchat.swarm.archive.sessions import rename_session
        from swarmchat.swarm.common.encoding import clean_text

        async with opened(wiring.apply_settings(flags)) as place:
            info = await place.session(name)
            if new not in (info.id, info.name):
                await place.must_be_free(new)
            renamed = await rename_session(place.backend, info, clean_text(new), datetime.now(UTC), place.ttl)
        if as_json:
            print_json({"id": renamed.id, "name": renamed.name})

    leave_with(work())


async def _to_search(place: "SessionStore", name: str | None, everywhere: bool) -> "Sequence[SessionInfo]":
    """Return the sessions that are meant; of several stores, each need not have the one that was named."""
    from swarmchat.swarm.persistence.session_index import find_session, list_sessions

    if name is None:
        return await list_sessions(place.backend, place.client)
    if not everywhere:
        return [await place.session(name)]
    found = await find_session(place.backend, place.client, name)
    return [] if found is None else [found]


async def _rows(place: "SessionStore", infos: "Sequence[SessionInfo]") -> list[dict[str, Any]]:
    from swarmchat.swarm.persistence import keys
    from swarmchat.swarm.primitives.navigation import Navigation

    stored = await place.backend.get_many([keys.session_swarm(info.client, info.id) for info in infos])
    navigations = [Navigation.from_bytes(value, info.swarm) for info, value in zip(infos, stored, strict=True)]
    return [_row(place, info, navigation) for info, navigation in zip(infos, navigations, strict=True)]


def _row(place: "SessionStore", info: "SessionInfo", navigation: "Navigation") -> dict[str, Any]:
    return {
        "name": info.name,
        "id": info.id,
        "title": info.title,
        "turns": info.turns,
        "created": info.created,
        "updated": info.updated,
        "swarm": info.swarm,
        "agent": navigation.active,
        "model": info.model,
        "backend": place.name,
    }
