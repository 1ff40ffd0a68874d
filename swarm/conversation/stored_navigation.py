"""Find the active agent of a session that is opened: in the store, or in the log if the store has lost it."""

from collections.abc import Sequence

from swarmchat.backends import Backend
from swarmchat.swarm.agents.agent import Swarm
from swarmchat.swarm.persistence.records import Record
from swarmchat.swarm.persistence.session_index import SessionInfo
from swarmchat.swarm.primitives.navigation import Navigation, PersistSwarm
from swarmchat.swarm.primitives.session_state import logged_state


async def stored_navigation(
    store: PersistSwarm, swarm: Swarm, records: Sequence[Record], backend: Backend, info: SessionInfo
) -> tuple[Navigation, list[str]]:
    """Return the navigation of the session ``info``, and a line for the user if only the log still had it.

    ``records`` is the end of the log: without a trace of another agent in it, the default agent is active.
    """
    stored, default = await store.get(""), swarm.initial
    if stored.active:
        return stored, []
    others = swarm.names - {default}
    if all(record.type != "handoff" and record.agent not in others for record in records):
        return Navigation(default), []
    navigation = (await logged_state(backend, info)).navigation or Navigation(default)
    if navigation == Navigation(default):
        return navigation, []
    return navigation, [f"the store had lost the active agent: it is {navigation.active}, as the log says"]
