"""What the user does between two turns: go to another agent, or begin anew. It belongs to the turn before it."""

from typing import TYPE_CHECKING

from swarmchat.swarm.edits import Edits
from swarmchat.swarm.navigation import Navigation

if TYPE_CHECKING:
    from swarmchat.swarm.session import Session


async def navigate(session: "Session", navigation: Navigation) -> Navigation:
    """Let the active agent of ``navigation`` go on, and store that; see ``Session.go_to``."""
    await session.ready()
    if navigation.active != session.navigation.active:
        edits = Edits()
        await session.primitives.collecting(edits).navigation.set(navigation)
        first = session.session_record()
        pending = [] if first is None else [first]
        handoff = {"from": session.agent.name, "to": navigation.active, "stack": list(navigation.stack)}
        pending.append(session.record("handoff", offset=len(pending), turn=session.last_turn, **handoff))
        await session.commit_and_switch(pending, edits, navigation)
    return navigation


async def reset(session: "Session") -> None:
    """Store that nothing of what was said so far is sent any more; see ``Session.reset``."""
    await session.ready()
    if not session.journal.is_new:
        await session.commit([session.journal.record("reset", None, offset=0, turn=session.last_turn)])
