"""``swarmchat sessions``: delete and prune."""

import re
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer
from swarmchat.cli.app import options
from swarmchat.cli.app.typer_app import Commands
from swarmchat.cli.terminal.printing import print_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from swarmchat.swarm.persistence.session_index import SessionInfo

Yes = Annotated[bool, typer.Option("-y", "--yes", help="Do not ask.")]


def add_to(group: Commands) -> None:
    """Add these commands to the others about sessions."""
    group.command("delete")(delete)
    group.command("prune")(prune)


@options.with_store_options
def delete(
    names: Annotated[list[str], typer.Argument(help="Which sessions: their names or ids.")],
    yes: Yes = False,
    flags: Mapping[str, Any] = options.NO_FLAGS,
    as_json: options.Json = False,
) -> None:
    """Delete sessions for good. Asks before; what is remembered of the client stays."""
    from swarmchat.cli.sessions.stores import leave_with, opened

    async def work() -> None:
        from swarmchat.cli.settings import wiring
        from swarmchat.swarm.archive.sessions import delete_session, find_unfinished

        async with opened(wiring.apply_settings(flags)) as place:
            infos = [
                # What an interrupted import has left is in no list, and can be deleted too.
                await find_unfinished(place.backend, place.client, name) or await place.session(name)
                for name in names
            ]
            await _ask(infos, yes)
            for info in infos:
                await delete_session(place.backend, info)
        if as_json:
            print_json([{"id": info.id, "name": info.name} for info in infos])

    leave_with(work())


@options.with_store_options
def prune(
    older_than: Annotated[str | None, typer.Option(help="Only what was last used so long ago: 12h, 30d, 8w.")] = None,
    keep: Annotated[int | None, typer.Option(min=0, help="But never the so many that were used last.")] = None,
    empty: Annotated[bool, typer.Option("--empty", help="Only those without a turn.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be deleted.")] = False,
    yes: Yes = False,
    flags: Mapping[str, Any] = options.NO_FLAGS,
    as_json: options.Json = False,
) -> None:
    """Delete many sessions: those for which all that is given holds. One that is in use stays."""
    from swarmchat.cli.sessions.stores import leave_with, opened, remark

    async def work() -> None:
        from datetime import UTC, datetime

        from swarmchat.cli.errors import UsageError
        from swarmchat.cli.settings import wiring
        from swarmchat.cli.terminal.printing import as_line
        from swarmchat.swarm.archive.sessions import delete_session
        from swarmchat.swarm.errors import SessionBusy
        from swarmchat.swarm.persistence.records import timestamp
        from swarmchat.swarm.persistence.session_index import list_sessions

        if older_than is None and keep is None and not empty:
            raise UsageError("which sessions? Give --older-than, --keep or --empty")
        before = None if older_than is None else timestamp(datetime.now(UTC) - _age(older_than))
        async with opened(wiring.apply_settings(flags)) as place:
            infos = (await list_sessions(place.backend, place.client))[keep or 0 :]
            infos = [info for info in infos if before is None or info.updated < before]
            infos = [info for info in infos if not empty or info.turns == 0]
            if infos and not dry_run:
                await _ask(infos, yes)
            gone = []
            for info in infos:
                try:
                    if not dry_run:
                        await delete_session(place.backend, info)
                    gone.append(info)
                except SessionBusy as error:
                    remark(f"{info.name!r} stays: {error}")
        if as_json:
            print_json([{"id": info.id, "name": info.name, "updated": info.updated} for info in gone])
            return
        for info in gone:
            print(f"{'would delete' if dry_run else 'deleted'} {as_line(info.name)}")

    leave_with(work())


async def _ask(infos: "Sequence[SessionInfo]", yes: bool) -> None:
    """Ask whether the sessions may go, and leave if not. Raises UsageError where nobody can be asked."""
    from swarmchat.cli.errors import UsageError
    from swarmchat.cli.terminal.printing import as_line

    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError("there is nobody to ask whether to delete: give --yes")
    names = ", ".join(as_line(info.name) for info in infos[:5]) + ("" if len(infos) <= 5 else ", …")
    what = "1 session" if len(infos) == 1 else f"{len(infos)} sessions"
    print(f"Delete {what} for good: {names}? [y/N] ", end="", file=sys.stderr, flush=True)
    if (await _typed_line()).strip().lower() not in ("y", "yes"):
        raise typer.Exit(1)


async def _typed_line() -> str:
    """Return a line from the terminal. Unlike ``input``, it can be cancelled: Ctrl-C ends it at any instant."""
    import asyncio

    loop = asyncio.get_running_loop()
    typed = asyncio.Event()
    try:
        loop.add_reader(sys.stdin.fileno(), typed.set)
    except NotImplementedError:
        # Windows, where Ctrl-C interrupts a read.
        return sys.stdin.readline()
    try:
        await typed.wait()
    finally:
        loop.remove_reader(sys.stdin.fileno())
    return sys.stdin.readline()


def _age(text: str) -> Any:
    from datetime import timedelta

    from swarmchat.cli.errors import UsageError

    units = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
    found = re.fullmatch(r"([0-9]{1,6})([mhdw])", text.strip().lower(), re.ASCII)
    if found is None:
        raise UsageError(f"--older-than is {text!r}, expected a number with m, h, d or w, such as 30d")
    return min(timedelta(**{units[found[2]]: int(found[1])}), timedelta(days=365 * 1000))
