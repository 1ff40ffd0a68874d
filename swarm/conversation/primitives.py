"""Access by name to the primitives of a session, for tools, commands and policies."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar, overload

from swarmchat.backends import Backend
from swarmchat.swarm.agents.agent import Swarm
from swarmchat.swarm.common.names import name_of
from swarmchat.swarm.errors import ClientBanned
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.records import Record
from swarmchat.swarm.persistence.store import ChangeSet, Lifetimes, Store
from swarmchat.swarm.primitives.memory import PersistMemory
from swarmchat.swarm.primitives.navigation import PersistSwarm
from swarmchat.swarm.primitives.policy import Ban, PersistPolicy

if TYPE_CHECKING:
    from swarmchat.swarm.primitives.state import PersistState, State
    from swarmchat.swarm.storage.declaration import Storage
    from swarmchat.swarm.storage.storage import PersistStorage

_T = TypeVar("_T")


class Primitives:
    """States, memory, navigation, storages and bans of ``client`` and ``session`` in ``swarm``.

    Changes are committed at once; those of ``staging`` are committed later. ``report`` is given lines for the user.
    """

    def __init__(
        self,
        swarm: Swarm,
        backend: Backend,
        lifetimes: Lifetimes,
        client: str,
        session: str,
        report: Callable[[str], object] = lambda line: None,
    ) -> None:
        self._swarm = swarm
        self._client = client
        self._session = session
        self._store = Store(backend, lifetimes)
        self.session_scope = swarm.scope
        """The scope of the swarm that the session began with."""
        self._report = report
        self.embedding_progress: Callable[[str, int, int], object] = lambda storage, done, total: None
        """Is told while a search embeds the items of a storage: its name, the finished ones, and all of them."""
        self.tool_progress: Callable[[str, str], object] = lambda tool, progress: None
        """Is told how far a running tool is: its name, and its own words."""
        self._storages: dict[str, PersistStorage[Any]] = {}
        """Open storages, which cache committed items; shared with the primitives that stage changes."""

    async def begin_as(self, head: Sequence[Record]) -> list[str]:
        """Learn from ``head``, a session's first records, which swarm owns the plain names of states.

        Return the keys of what belongs to the session beside its log.
        """
        begin: Mapping[str, Any] = next((record.data for record in head if record.type == "session"), {})
        scope = begin.get("namespace") or begin.get("swarm")
        self.session_scope = scope if isinstance(scope, str) and scope else self._swarm.scope
        own_states = [self.stored_name(state.name) for state in self._swarm.states if not state.shared]
        keys_to_renew = [
            keys.session_swarm(self._client, self._session),
            keys.session_mailbox(self._client, self._session),
            *(keys.session_state(self._client, self._session, name) for name in own_states),
        ]
        if not self._began_session:
            # Those of the other swarm must not expire either.
            states = self._store.backend.scan(keys.session_states(self._client, self._session))
            keys_to_renew += [key async for key, _ in states]
        return keys_to_renew

    async def find_ban(self) -> Ban | None:
        """Return the ban of the client by the first policy that has banned it."""
        finds = (self.policy(policy.name).find(self._client) for policy in self._swarm.policies)
        return next((ban for ban in await asyncio.gather(*finds) if ban is not None), None)

    async def refuse_banned(self) -> None:
        """Raise ClientBanned for a banned client, which may act neither by messages nor by commands."""
        if ban := await self.find_ban():
            who = f"client {self._client!r} is banned by policy {ban.policy!r}"
            until = f" until {ban.until}" if ban.until else ""
            raise ClientBanned(f"{who}{until}: it can read, but change nothing")

    def staging(self, changes: ChangeSet) -> "Primitives":
        """Return the same primitives with changes staged in ``changes``."""
        primitives = copy(self)
        primitives._store = replace(self._store, changes=changes)
        return primitives

    @property
    def memory(self) -> PersistMemory:
        """The client's memory."""
        scope = self._swarm.scope
        return PersistMemory(self._store, self._client, scope, "" if self._began_session else scope)

    @property
    def lasting(self) -> list[str]:
        """What the swarm keeps that is in no log, as a user calls it."""
        kinds = {
            "changed items of storages": self._swarm.storages,
            "shared states": [state for state in self._swarm.states if state.shared],
            "bans": self._swarm.policies,
        }
        return [kind for kind, definitions in kinds.items() if definitions]

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

        definition, scope = self._swarm.find("state", name_of(state)), self._swarm.scope
        stored = self.stored_name(definition.name)
        return PersistState(definition, self._store, self._client, self._session, self.state, scope=scope, name=stored)

    def stored_name(self, state: str) -> str:
        """Return the name under which the session stores ``state``.

        The plain names belong to the swarm that the session began with, those of others contain their scope.
        """
        return state if self._began_session else f"{self._swarm.scope}/{state}"

    @property
    def _began_session(self) -> bool:
        return self.session_scope == self._swarm.scope

    @overload
    def storage(self, storage: "Storage[_T]") -> "PersistStorage[_T]": ...

    @overload
    def storage(self, storage: str) -> "PersistStorage[Any]": ...

    def storage(self, storage: "Storage[Any] | str") -> "PersistStorage[Any]":
        """Return the storage with this definition or name. Raises DefinitionError unless the swarm declares it."""
        from swarmchat.swarm.storage.embeddings import PersistEmbedding
        from swarmchat.swarm.storage.sentence_embedder import default_embedder, is_installed
        from swarmchat.swarm.storage.storage import PersistStorage, StorageWatch

        name = name_of(storage)
        if name not in self._storages:
            definition, scope = self._swarm.find("storage", name), self._swarm.scope
            # Vectors are no changes of the tool: they are committed as soon as they are computed.
            committed = replace(self._store, changes=None)
            embedder = self._swarm.embedder or default_embedder()
            embedding = PersistEmbedding(committed, embedder)
            substitute = "" if self._swarm.embedder or is_installed() else embedder.name
            watch = StorageWatch(self._report, lambda *state: self.embedding_progress(*state), substitute)
            self._storages[name] = PersistStorage(definition, committed, self._client, embedding, scope, watch)
        return self._storages[name].through(self._store)

    async def follow_definitions(self) -> None:
        """Have all storages that were used before follow their definitions now, not at the next use.

        Raises StorageError for a wrong definition or function of the swarm, and the backend's errors.
        """
        for definition in self._swarm.storages:
            storage = self.storage(definition.name)
            if await storage.is_stored():
                await storage.follow()

    def policy(self, name: str) -> PersistPolicy:
        """Return the bans by the policy ``name``. Raises DefinitionError for one that the swarm does not have."""
        policy = self._swarm.find("policy", name)
        return PersistPolicy(self._store, self._swarm.scope, policy.name, normalize=policy.normalize)

    def check_agent(self, name: str) -> None:
        """Raise DefinitionError when there is no agent ``name``."""
        self._swarm.agent(name)
