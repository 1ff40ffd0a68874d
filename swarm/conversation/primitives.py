"""The primitives of a session, by name: the access that tools, commands and policies have to them."""

from typing import TYPE_CHECKING, Any

from swarmchat.backends import Backend
from swarmchat.swarm.agents.agent import Swarm
from swarmchat.swarm.common.names import nearest
from swarmchat.swarm.errors import DefinitionError
from swarmchat.swarm.persistence.store import ChangeSet, Lifetimes, Store
from swarmchat.swarm.primitives.memory import PersistMemory
from swarmchat.swarm.primitives.navigation import PersistSwarm
from swarmchat.swarm.primitives.policy import PersistPolicy

if TYPE_CHECKING:
    from swarmchat.swarm.primitives.state import PersistState
    from swarmchat.swarm.storage.storage import PersistStorage


class Primitives:
    """States, memory, navigation, storages and bans of ``client`` and ``session`` in ``swarm``.

    With ``changes``, changes are staged there; without, each is committed at once.
    """

    def __init__(
        self,
        swarm: Swarm,
        backend: Backend,
        lifetimes: Lifetimes,
        client: str,
        session: str,
        changes: ChangeSet | None = None,
    ) -> None:
        self._swarm = swarm
        self._client = client
        self._session = session
        self._store = Store(backend, lifetimes, changes)
        self._storages: dict[str, PersistStorage[Any]] = {}
        """Open storages, which cache committed items; shared with all primitives that stage changes."""

    def staging(self, changes: ChangeSet) -> "Primitives":
        """Return the same primitives with changes staged in ``changes``."""
        store = self._store
        primitives = Primitives(self._swarm, store.backend, store.lifetimes, self._client, self._session, changes)
        primitives._storages = self._storages
        return primitives

    @property
    def memory(self) -> PersistMemory:
        """The client's memory."""
        return PersistMemory(self._store, self._client)

    @property
    def navigation(self) -> PersistSwarm:
        """The active agent and the way back."""
        return PersistSwarm(self._store, self._client, self._session)

    def state(self, name: str) -> "PersistState[Any]":
        """Return the state ``name``. Raises DefinitionError for one that the swarm does not declare."""
        from swarmchat.swarm.primitives.state import PersistState

        for definition in self._swarm.states:
            if definition.name == name:
                return PersistState(definition, self._store, self._client, self._session)
        names = [definition.name for definition in self._swarm.states]
        raise DefinitionError(f"swarm {self._swarm.name!r} declares no state {name!r}; {nearest(name, names)}")

    def storage(self, name: str) -> "PersistStorage[Any]":
        """Return the storage ``name``. Raises DefinitionError for one that the swarm does not declare."""
        from swarmchat.swarm.storage.embeddings import PersistEmbedding
        from swarmchat.swarm.storage.ngram_embedder import NgramEmbedder
        from swarmchat.swarm.storage.storage import PersistStorage

        if name not in self._storages:
            definition = next((each for each in self._swarm.storages if each.name == name), None)
            if definition is None:
                names = [each.name for each in self._swarm.storages]
                raise DefinitionError(
                    f"swarm {self._swarm.name!r} declares no storage {name!r}; {nearest(name, names)}"
                )
            # Vectors are not a change of the tool: they are committed as soon as they are computed.
            committed = Store(self._store.backend, self._store.lifetimes)
            embedding = PersistEmbedding(committed, self._swarm.embedder or NgramEmbedder())
            self._storages[name] = PersistStorage(definition, committed, self._client, embedding)
        return self._storages[name].through(self._store)

    def policy(self, name: str) -> PersistPolicy:
        """Return the bans by the policy ``name``. Raises DefinitionError for one that the swarm does not have."""
        names = [policy.name for policy in self._swarm.policies]
        if name not in names:
            raise DefinitionError(f"swarm {self._swarm.name!r} has no policy {name!r}; {nearest(name, names)}")
        return PersistPolicy(self._store, self._swarm.name, name)

    def check_agent(self, name: str) -> None:
        """Raise DefinitionError when there is no agent ``name``."""
        self._swarm.agent(name)
