"""Access by name to the primitives of a session, for tools, commands and policies."""

from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar, overload

from swarmchat.backends import Backend
from swarmchat.swarm.agents.agent import Swarm
from swarmchat.swarm.common.names import name_of
from swarmchat.swarm.persistence.store import ChangeSet, Lifetimes, Store
from swarmchat.swarm.primitives.memory import PersistMemory
from swarmchat.swarm.primitives.navigation import PersistSwarm
from swarmchat.swarm.primitives.policy import PersistPolicy

if TYPE_CHECKING:
    from swarmchat.swarm.primitives.state import PersistState, State
    from swarmchat.swarm.storage.storage import PersistStorage, Storage

_T = TypeVar("_T")


class Primitives:
    """States, memory, navigation, storages and bans of ``client`` and ``session`` in ``swarm``.

    Changes are committed at once; those of ``staging`` are committed later.
    """

    def __init__(self, swarm: Swarm, backend: Backend, lifetimes: Lifetimes, client: str, session: str) -> None:
        self._swarm = swarm
        self._client = client
        self._session = session
        self._store = Store(backend, lifetimes)
        self._storages: dict[str, PersistStorage[Any]] = {}
        """Open storages, which cache committed items; shared with the primitives that stage changes."""

    def staging(self, changes: ChangeSet) -> "Primitives":
        """Return the same primitives with changes staged in ``changes``."""
        primitives = copy(self)
        primitives._store = replace(self._store, changes=changes)
        return primitives

    @property
    def memory(self) -> PersistMemory:
        """The client's memory."""
        return PersistMemory(self._store, self._client)

    @property
    def navigation(self) -> PersistSwarm:
        """The active agent and the way back."""
        return PersistSwarm(self._store, self._client, self._session)

    @overload
    def state(self, state: "State[_T]") -> "PersistState[_T]": ...

    @overload
    def state(self, state: str) -> "PersistState[Any]": ...

    def state(self, state: "State[Any] | str") -> "PersistState[Any]":
        """Return the state with this definition or name. Raises DefinitionError unless the swarm declares it."""
        from swarmchat.swarm.primitives.state import PersistState

        definition = self._swarm.find("state", name_of(state))
        return PersistState(definition, self._store, self._client, self._session, self.state)

    @overload
    def storage(self, storage: "Storage[_T]") -> "PersistStorage[_T]": ...

    @overload
    def storage(self, storage: str) -> "PersistStorage[Any]": ...

    def storage(self, storage: "Storage[Any] | str") -> "PersistStorage[Any]":
        """Return the storage with this definition or name. Raises DefinitionError unless the swarm declares it."""
        from swarmchat.swarm.storage.embeddings import PersistEmbedding
        from swarmchat.swarm.storage.ngram_embedder import NgramEmbedder
        from swarmchat.swarm.storage.storage import PersistStorage

        name = name_of(storage)
        if name not in self._storages:
            definition = self._swarm.find("storage", name)
            # Vectors are no changes of the tool: they are committed as soon as they are computed.
            committed = replace(self._store, changes=None)
            embedding = PersistEmbedding(committed, self._swarm.embedder or NgramEmbedder())
            self._storages[name] = PersistStorage(definition, committed, self._client, embedding)
        return self._storages[name].through(self._store)

    def policy(self, name: str) -> PersistPolicy:
        """Return the bans by the policy ``name``. Raises DefinitionError for one that the swarm does not have."""
        policy = self._swarm.find("policy", name)
        return PersistPolicy(self._store, self._swarm.name, policy.name, normalize=policy.normalize)

    def check_agent(self, name: str) -> None:
        """Raise DefinitionError when there is no agent ``name``."""
        self._swarm.agent(name)
