"""A model that leaves a request to another one while its own server is down or too busy."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace

from swarmchat.swarm.errors import ModelBusy, ModelError, ModelUnavailable
from swarmchat.swarm.models.base import (
    Answer,
    DiscoverableModel,
    FellBack,
    Model,
    ModelEvent,
    ModelRequest,
    PreloadableModel,
    ReasoningChunk,
    TextChunk,
)
from swarmchat.swarm.models.server_facts import ServerFacts


class FallbackModel:
    """Answers with ``first``; in an outage with the first of ``others`` that can. Each request tries ``first`` again.

    An outage is ModelUnavailable or ModelBusy after all retries, before any text. Name, window and facts are those of
    ``first``.
    """

    def __init__(self, first: Model, others: Sequence[Model]) -> None:
        self._first = first
        self.others = tuple(others)
        """The models that answer in an outage, in their order."""
        self.facts = ServerFacts()
        """What the server of ``first`` reported."""

    @property
    def name(self) -> str:
        """The name of ``first``."""
        return self._first.name

    @property
    def context_window(self) -> int:
        """The window of ``first``."""
        return self._first.context_window

    async def discover(self) -> None:
        """Ask the server of ``first``, once."""
        if isinstance(self._first, DiscoverableModel):
            await self._first.discover()
            self.facts = self._first.facts

    def warm_up(self) -> None:
        """Import the packages that the first request needs."""
        if isinstance(self._first, PreloadableModel):
            self._first.warm_up()

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Answer ``request``; see ``Model.stream``. Raises the error of ``first`` if no model can answer."""
        outage: ModelError | None = None
        for model in (self._first, *self.others):
            started = False
            try:
                async with aclosing(model.stream(request)) as events:
                    async for event in events:
                        if isinstance(event, TextChunk | ReasoningChunk | Answer):
                            if outage is not None and not started:
                                yield FellBack(model.name, str(outage))
                            started = True
                        if outage is not None and isinstance(event, Answer):
                            event = replace(event, fallback=model.name)
                        yield event
                return
            except ModelError as error:
                is_outage = isinstance(error, ModelUnavailable | ModelBusy)
                if started or (outage is None and not is_outage):
                    raise
                outage = outage or error
        if outage is not None:
            raise outage

    async def close(self) -> None:
        """Close the connections of all models."""
        for model in (self._first, *self.others):
            await model.close()
