"""What is stored between two turns: the session's beginning, another agent, a new start, other settings.

It belongs to the turn before it.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from swarmchat.swarm.agents.rescue_steps import check_steps
from swarmchat.swarm.persistence.records import Record
from swarmchat.swarm.persistence.store import ChangeSet
from swarmchat.swarm.primitives.navigation import Navigation
from swarmchat.swarm.version import VERSION

TOLD = ("placeholder", "parameters", "rescue")
"""The settings that can be changed in the middle of a session, and that no other record tells."""

if TYPE_CHECKING:
    from swarmchat.swarm.conversation.settings import SessionSettings
    from swarmchat.swarm.session.session import Session


def session_record(session: "Session", remembered: Mapping[str, Any]) -> Record:
    """Return the record that the log of ``session`` begins with; ``remembered`` is what is kept of the client."""
    info, swarm = session.info, session.swarm
    about: dict[str, Any] = {"id": info.id, "name": info.name, "client": info.client, "swarm": swarm.name}
    about |= {"model": session.model.name, "program": VERSION, **session.settings_for_record()}
    if remembered:
        about["memory"] = remembered
    return session.journal.record("session", None, offset=0, turn=0, **about)


async def rename(session: "Session", name: str) -> None:
    """Give ``session`` another name, and put it on record; see ``Session.rename``."""
    await session.ready()
    if session.journal.is_new:
        session.journal.info = replace(session.info, name=name)
        return
    await session.commit([session.journal.record("rename", None, offset=0, turn=session.turns, name=name)])


async def change_settings(session: "Session", settings: "SessionSettings") -> None:
    """Have ``settings`` from now on, and put on record what of them a replay has to know."""
    await session.ready()
    steps = check_steps(session.swarm.rescue if settings.rescue is None else settings.rescue)
    before = session.settings, session.rescue_steps, session.settings_for_record()
    session.settings, session.rescue_steps = settings, steps
    told = session.settings_for_record()
    if session.journal.is_new or told == before[2]:
        return
    try:
        await session.commit([session.journal.record("set", None, offset=0, turn=session.last_turn, **told)])
    except BaseException:
        session.settings, session.rescue_steps, _ = before
        raise


def settings_of(told: object, settings: "SessionSettings") -> "SessionSettings":
    """Return ``settings`` with those that a record tells, and the rest of what it could tell as by default."""
    fields = {name: told[name] for name in TOLD if isinstance(told, dict) and name in told}
    default = type(settings)()
    return replace(settings, **{name: fields.get(name, getattr(default, name)) for name in TOLD})


async def navigate(session: "Session", navigation: Navigation) -> Navigation:
    """Let the active agent of ``navigation`` go on, and store that; see ``Session.go_to``."""
    await session.ready()
    if navigation.active != session.navigation.active:
        changes = ChangeSet()
        await session.primitives.staging(changes).navigation.set(navigation)
        first = session.session_record()
        pending = [] if first is None else [first]
        handoff = {"from": session.agent.name, "to": navigation.active, "stack": list(navigation.stack)}
        pending.append(session.record("handoff", offset=len(pending), turn=session.last_turn, **handoff))
        await session.commit_and_switch(pending, changes, navigation)
    return navigation


async def reset(session: "Session") -> None:
    """Store that nothing of what was said so far is sent any more; see ``Session.reset``."""
    await session.ready()
    if not session.journal.is_new:
        await session.commit([session.journal.record("reset", None, offset=0, turn=session.last_turn)])
