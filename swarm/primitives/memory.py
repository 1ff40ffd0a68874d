"""Memory of a client across sessions: locale, name, and the values that tools store."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from swarmchat.swarm.common.encoding import encode_json
from swarmchat.swarm.common.mistakes import shown
from swarmchat.swarm.errors import DefinitionError
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.store import Store


class PersistMemory:
    """The memory of one client: a JSON object."""

    def __init__(self, store: Store, client: str) -> None:
        self._store = store
        self._key = keys.memory(client)

    async def all(self) -> dict[str, Any]:
        """Return everything."""
        return _decode(await self._store.read(self._key))

    async def get(self, name: str, default: Any = None) -> Any:
        """Return the value of ``name``."""
        return (await self.all()).get(name, default)

    async def set(self, name: str, value: Any) -> None:
        """Set ``name`` to ``value``. Raises DefinitionError for a value that JSON cannot hold."""
        await self.update({name: value})

    async def update(self, values: Mapping[str, Any]) -> None:
        """Set several names at once. Raises DefinitionError for a value that JSON cannot hold."""
        for name, value in values.items():
            try:
                encode_json(value)
            except (TypeError, ValueError) as error:
                raise DefinitionError(f"memory: {name!r} is {shown(value)}, expected what JSON can hold") from error
        await self._change(lambda memory: memory.update(values))

    async def remove(self, name: str) -> None:
        """Forget ``name``."""
        await self._change(lambda memory: memory.pop(name, None))

    async def clear(self) -> None:
        """Forget everything."""
        await self._change(lambda memory: memory.clear())

    async def _change(self, change: Callable[[dict[str, Any]], object]) -> None:
        def edit(stored: bytes | None) -> bytes | None:
            memory = _decode(stored)
            change(memory)
            return encode_json(memory) if memory else None

        await self._store.update(self._key, edit, self._store.lifetimes.memory, ("memory", ""))


def _decode(stored: bytes | None) -> dict[str, Any]:
    memory = json.loads(stored) if stored is not None else {}
    assert isinstance(memory, dict), "what update() stores is an object"
    return memory
