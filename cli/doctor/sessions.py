"""Checks of the sessions: unreadable lines, calls without results, locks of dead processes."""

from swarmchat.backends import Backend, BackendError
from swarmchat.cli.doctor.check import Check, Checks
from swarmchat.cli.terminal.sanitize import one_line
from swarmchat.swarm.archive.repair import repair_log
from swarmchat.swarm.errors import SwarmError
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.lease import parse_holder
from swarmchat.swarm.persistence.log import read_lines
from swarmchat.swarm.persistence.session_index import SessionInfo, list_sessions

_MOST = 50
"""How many sessions are read without ``--all``."""


async def check_sessions(backend: Backend, client: str, *, everything: bool) -> list[Check]:
    """Look at the sessions of ``client``, those used last first."""
    checks = Checks("sessions")
    try:
        infos = await list_sessions(backend, client)
        entries = 0
        async for _ in backend.scan(keys.sessions(client)):
            entries += 1
        chosen = infos if everything else infos[:_MOST]
        open_ones = await _check_leases(checks, backend, infos)
        await _check_logs(checks, backend, [info for info in chosen if info.id not in open_ones], len(infos))
    except BackendError as error:
        checks.failed("sessions", str(error))
        return checks.made
    if entries > len(infos):
        found = f"{entries - len(infos)} entries of the list of sessions cannot be read"
        checks.warning("list", found, "they are of a newer swarmchat, or damaged: they are left alone")
    return checks.made


async def _check_logs(checks: Checks, backend: Backend, infos: list[SessionInfo], known: int) -> None:
    damaged: list[tuple[SessionInfo, str]] = []
    empty: list[SessionInfo] = []
    for info in infos:
        try:
            lines = [line async for line in read_lines(backend, info)]
            findings = repair_log(lines).findings
        except (SwarmError, BackendError) as error:
            findings, lines = [str(error)], [b""]
        if not lines:
            empty.append(info)
        elif findings:
            damaged.append((info, f"{len(findings)} findings, the first: {findings[0]}"))
    for info, what in damaged[:10]:
        name = one_line(info.name, 60)
        checks.warning("log", f"{name}: {one_line(what, 200)}", f"swarmchat sessions repair {name!r} keeps a copy")
    if len(damaged) > 10:
        checks.warning(
            "log", f"{len(damaged) - 10} more sessions like these", "swarmchat doctor --all --json lists them"
        )
    for info in empty[:10]:
        name = one_line(info.name, 60)
        checks.warning("log", f"{name} is listed and has no log", f"swarmchat sessions delete {name!r}")
    if not damaged and not empty:
        rest = f" of {known}; --all reads all" if len(infos) < known else ""
        checks.ok("logs", f"{len(infos)} sessions are whole{rest}" if known else "no sessions yet")


async def _check_leases(checks: Checks, backend: Backend, infos: list[SessionInfo]) -> set[str]:
    """Check the locks. Returns the ids of sessions that are open: their logs are being written."""
    held: set[str] = set()
    for info in infos:
        stored = await backend.get(keys.session_lease(info.client, info.id))
        holder = parse_holder(stored) if stored is not None else None
        if holder is None:
            continue
        name = one_line(info.name, 60)
        if holder.unfinished is not None and holder.has_stopped:
            found = f"{name} is not complete: process {holder.pid}, which wrote it, is gone"
            checks.warning("lock", found, "do what wrote it again, or delete the session")
        elif holder.is_dead:
            found = f"{name} is locked by process {holder.pid}, which is gone"
            checks.warning("lock", found, "nothing to do: opening it takes the lock over")
        else:
            held.add(info.id)
            checks.ok("lock", f"{name} is open in process {holder.pid} on {one_line(holder.host, 60)}")
    if not any(check.name == "lock" for check in checks.made):
        checks.ok("locks", "no session is open")
    return held
