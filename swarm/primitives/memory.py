"""Memory of a client across the sessions with a swarm: locale, name, and the values that tools store."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from swarmchat.swarm.common.encoding import encode_json
from swarmchat.swarm.common.mistakes import TEXT, check_value, shown
from swarmchat.swarm.errors import DefinitionError
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.store import Store


class PersistMemory:
    """The memory of one client in the swarms with ``scope``: a JSON object.

    Until it is changed, it is the memory from before each swarm had its own. ``recorded_as``: the name in records of
    its changes.
    """

    def __init__(self, store: Store, client: str, scope: str, recorded_as: str = "") -> None:
        self._store = store
        self.recorded_as = recorded_as
        self.key = keys.memory(client, scope)
        self._common = keys.common_memory(client)

    async def all(self) -> dict[str, Any]:
        """Return everything."""
        if self._store.changes is None:
            stored, common = await self._store.backend.get_many([self.key, self._common])
        else:
            stored, common = await self._store.read(self.key), await self._store.backend.get(self._common)
        return _decode(common if stored is None else stored)

    async def get(self, name: str, default: Any = None) -> Any:
        """Return the value of ``name``."""
        return (await self.all()).get(name, default)

    async def set(self, name: str, value: Any) -> None:
        """Set ``name`` to ``value``. Raises DefinitionError for a value that JSON cannot hold."""
        await self.update({name: value})

    async def update(self, values: Mapping[str, Any]) -> None:
        """Set several names at once. Raises DefinitionError for a value that JSON cannot hold."""
        for name, value in values.items():
            check_value("memory", "name", name, TEXT)
            try:
                encode_json(value)
            except (TypeError, ValueError) as error:
                raise DefinitionError(f"memory: {name!r} is {shown(value)}, expected a JSON value") from error
        await self._change(lambda memory: memory.update(values))

    async def remove(self, name: str) -> None:
        """Forget ``name``."""
        await self._change(lambda memory: memory.pop(name, None))

    async def clear(self) -> None:
        """Forget everything."""
        await self._change(lambda memory: memory.clear())

    async def _change(self, change: Callable[[dict[str, Any]], object]) -> None:
        # Nothing writes it any more, so it need not be read in the same transaction.
        common = await self._store.backend.get(self._common)

        def edit(stored: bytes | None) -> bytes | None:
            memory = _decode(common if stored is None else stored)
            change(memory)
            # An empty memory must not be taken for one that was never changed.
            return encode_json(memory) if memory or common is not None else None

        await self._store.update(self.key, edit, self._store.lifetimes.memory, ("memory", self.recorded_as))


def _decode(stored: bytes | None) -> dict[str, Any]:
    memory = json.loads(stored) if stored is not None else {}
    assert isinstance(memory, dict), "what update() stores is an object"
    return memory
