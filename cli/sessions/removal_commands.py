"""``swarmchat sessions``: delete and prune."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from swarmchat.cli.app import options
from swarmchat.cli.app.command_runner import run_on_store
from swarmchat.cli.terminal.printing import print_json

if TYPE_CHECKING:
    from swarmchat.cli.settings.store import OpenStore
    from swarmchat.swarm.persistence.session_index import SessionInfo

Yes = Annotated[bool, typer.Option("-y", "--yes", help="Do not ask.")]


@options.settings(*options.STORE)
def delete(
    names: Annotated[list[str], typer.Argument(help="Sessions: their names or ids.")],
    yes: Yes = False,
    *,
    flags: options.Flags,
    as_json: options.Json = False,
) -> None:
    """Delete sessions for good, after asking. The client's memory stays."""

    async def work(store: "OpenStore") -> None:
        from swarmchat.swarm.archive.sessions import delete_session, find_unfinished

        infos = [
            # The rest of an interrupted import is in no list, and can be deleted too.
            await find_unfinished(store.backend, store.client, name) or await store.session(name)
            for name in names
        ]
        await _confirm(infos, yes)
        for info in infos:
            await delete_session(store.backend, info)
        if as_json:
            print_json([{"id": info.id, "name": info.name} for info in infos])

    run_on_store(flags, work)


@options.settings(*options.STORE)
def prune(
    older_than: Annotated[
        str | None, typer.Option(help="Only sessions unused for at least this long: 12h, 30d, 8w.")
    ] = None,
    keep: Annotated[int | None, typer.Option(min=0, help="Always keep the N most recent ones.")] = None,
    empty: Annotated[bool, typer.Option("--empty", help="Only sessions without a turn.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be deleted.")] = False,
    yes: Yes = False,
    *,
    flags: options.Flags,
    as_json: options.Json = False,
) -> None:
    """Delete the sessions that meet all of the conditions given. A session in use stays."""

    async def work(store: "OpenStore") -> None:
        from swarmchat.cli.errors import UsageError
        from swarmchat.cli.sessions.stores import remark
        from swarmchat.cli.terminal.printing import as_line
        from swarmchat.swarm.archive.sessions import delete_session
        from swarmchat.swarm.errors import SessionBusy

        if older_than is None and keep is None and not empty:
            raise UsageError("which sessions? Give --older-than, --keep or --empty")
        before = None if older_than is None else _time_ago(older_than)
        infos = (await store.sessions())[keep or 0 :]
        infos = [info for info in infos if before is None or info.updated < before]
        infos = [info for info in infos if not empty or info.turns == 0]
        if infos and not dry_run:
            await _confirm(infos, yes)
        deleted = []
        for info in infos:
            try:
                if not dry_run:
                    await delete_session(store.backend, info)
                deleted.append(info)
            except SessionBusy as error:
                remark(f"{info.name!r} stays: {error}")
        if as_json:
            print_json([{"id": info.id, "name": info.name, "updated": info.updated} for info in deleted])
            return
        for info in deleted:
            print(f"{'would delete' if dry_run else 'deleted'} {as_line(info.name)}")

    run_on_store(flags, work)


async def _confirm(infos: "Sequence[SessionInfo]", yes: bool) -> None:
    """Ask before deleting ``infos``, and exit unless the answer is yes. Raises UsageError without a terminal."""
    from swarmchat.cli.errors import UsageError
    from swarmchat.cli.terminal.printing import as_line

    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError("cannot ask for confirmation without a terminal: pass --yes")
    names = ", ".join(as_line(info.name) for info in infos[:5]) + ("" if len(infos) <= 5 else ", …")
    count = "1 session" if len(infos) == 1 else f"{len(infos)} sessions"
    print(f"Delete {count} for good: {names}? [y/N] ", end="", file=sys.stderr, flush=True)
    if (await _read_line()).strip().lower() not in ("y", "yes"):
        raise typer.Exit(1)


async def _read_line() -> str:
    """Return a line from the terminal. Unlike ``input``, it can be cancelled, by Ctrl-C for example."""
    import asyncio

    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    try:
        loop.add_reader(sys.stdin.fileno(), ready.set)
    except NotImplementedError:
        # On Windows, Ctrl-C interrupts a read.
        return sys.stdin.readline()
    try:
        await ready.wait()
    finally:
        loop.remove_reader(sys.stdin.fileno())
    return sys.stdin.readline()


def _time_ago(age: str) -> str:
    """Return the time ``age`` before now, as records write it. Raises UsageError."""
    from datetime import UTC, datetime, timedelta

    from swarmchat.cli.errors import UsageError
    from swarmchat.cli.settings.readers import read_age
    from swarmchat.swarm.persistence.records import timestamp

    try:
        return timestamp(datetime.now(UTC) - timedelta(seconds=read_age(age)))
    except ValueError as error:
        raise UsageError(f"--older-than is {age!r}: {error}") from error
