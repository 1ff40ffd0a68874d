"""The models of a conversation: the session's, and those that agents name."""

from collections.abc import Callable

from swarmchat.swarm.agents.agent import Swarm
from swarmchat.swarm.models.base import Model


class Models:
    """The model ``default``, and those that ``make`` makes by name; without it, ``default`` answers for all names."""

    def __init__(self, default: Model, make: Callable[[str], Model] | None) -> None:
        self.default = default
        self._make = make
        self._made: dict[str, Model] = {}
        self._warned_about: list[Model] = []

    @property
    def is_one(self) -> bool:
        """Whether one model answers for all agents, also for those that name another one."""
        return self._make is None

    def named(self, name: str | None) -> Model:
        """Return the model ``name``; ``None`` for the default."""
        if name is None or self._make is None:
            return self.default
        if name not in self._made:
            self._made[name] = self._make(name)
        return self._made[name]

    async def discover(self, model: Model, swarm: Swarm) -> list[str]:
        """Have ``model`` find out its window, once; return a warning if it cannot call the tools of ``swarm``."""
        # A DiscoverableModel; to ask isinstance takes longer than the rest, and this runs twice a turn.
        if not (hasattr(model, "discover") and hasattr(model, "facts")):
            return []
        await model.discover()
        # Compared by identity: a model of a program may have any equality.
        if model.facts.tools is not False or any(model is each for each in self._warned_about):
            return []
        self._warned_about.append(model)
        if not any(agent.tools or agent.targets for agent in swarm.agents):
            return []
        return [f"the chat template of {model.name} does not support tools: only calls written as text are found"]

    async def close(self) -> None:
        """Close the models that were made here."""
        for model in self._made.values():
            await model.close()
