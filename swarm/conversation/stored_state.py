"""The first record of a log; the agent and states of an opened session, from the log if the store has lost them."""

from collections.abc import Mapping, Sequence
from typing import Any

from swarmchat.backends import Backend, Expect, Put, Write
from swarmchat.swarm.agents.agent import Swarm
from swarmchat.swarm.common.encoding import encode_json
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.records import Record
from swarmchat.swarm.persistence.session_index import SessionInfo
from swarmchat.swarm.primitives.navigation import Navigation, PersistSwarm
from swarmchat.swarm.primitives.session_state import logged_state
from swarmchat.swarm.version import VERSION


def session_fields(
    info: SessionInfo, swarm: Swarm, model: str, settings: Mapping[str, Any], memory: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the fields of the first record of a session's log."""
    fields: dict[str, Any] = {"id": info.id, "name": info.name, "client": info.client, "swarm": swarm.name}
    if swarm.namespace:
        fields["namespace"] = swarm.namespace
    fields |= {"model": model, "program": VERSION, **settings}
    return {**fields, "memory": memory} if memory else fields


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


async def restore_states(backend: Backend, info: SessionInfo, lifetime: float | None) -> list[str]:
    """Store the states again that the store has lost; return a line for the user for each."""
    stored_at = {name: keys.session_state(info.client, info.id, name) for name in info.states}
    stored = await backend.get_many([*stored_at.values()])
    lost = [name for name, value in zip(stored_at, stored, strict=True) if value is None]
    if not lost:
        return []
    values = (await logged_state(backend, info)).states
    restorable = [name for name in lost if name in values]
    writes: list[Write] = [Expect(stored_at[name], None) for name in restorable]
    writes += [Put(stored_at[name], encode_json(values[name]), lifetime) for name in restorable]
    await backend.commit(*writes)
    return [f"the store had lost the state {name}: it is stored again, as the log says" for name in restorable]
