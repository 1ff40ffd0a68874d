"""The models of a conversation: that of the session, and those that agents name."""

from collections.abc import Callable

from swarmchat.swarm.models.base import Model


class Models:
    """The model ``default``, and those that ``make`` makes by name; without it, ``default`` answers for all names."""

    def __init__(self, default: Model, make: Callable[[str], Model] | None) -> None:
        self.default = default
        self._make = make
        self._made: dict[str, Model] = {}

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

    async def close(self) -> None:
        """Close the models that were made here."""
        for model in self._made.values():
            await model.close()
