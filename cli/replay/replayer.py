"""Replay single conversations, as the options of ``swarmchat replay`` ask for."""

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from swarmchat.backends import Backend
from swarmchat.cli.errors import UsageError
from swarmchat.cli.replay.request import ReplayRequest
from swarmchat.cli.replay.result import ModelUse, ReplayResult
from swarmchat.cli.settings import wiring
from swarmchat.cli.settings.models import make_model
from swarmchat.cli.settings.prices import dollars
from swarmchat.cli.settings.settings import Settings
from swarmchat.cli.settings.store import open_store
from swarmchat.swarm.agents.agent import Swarm
from swarmchat.swarm.errors import TranscriptError
from swarmchat.swarm.replay.cassette import Cassette, MeteredModel
from swarmchat.swarm.replay.expectations import reported_cost
from swarmchat.swarm.replay.files import RecordedConversation
from swarmchat.swarm.replay.runner import replay
from swarmchat.swarm.replay.stand_in import lacks_swarm, named_swarm


@dataclass(frozen=True)
class ReplayTask:
    """One replay of one conversation; in ``live`` with the model ``model_name``, ``None`` for that of the settings."""

    path: Path
    conversation: RecordedConversation
    model_name: str | None = None
    run: int = 1
    """The number of the replay among several of the same conversation and model."""


@dataclass(frozen=True)
class Replayer:
    """Replays conversations on one backend, one after the other."""

    request: ReplayRequest
    settings: Settings
    backend: Backend
    swarm: Swarm | None
    """The swarm that the user named, if any."""
    _cassettes: dict[str, Cassette] = field(default_factory=dict)

    async def replay(self, task: ReplayTask) -> ReplayResult:
        """Replay one conversation. Raises UsageError if its swarm is unknown, SwarmError and BackendError."""
        conversation, request = task.conversation, self.request
        live = request.mode == "live"
        swarm = self.swarm or named_swarm(conversation, self._plain)
        remarks = []
        if swarm is None:
            if reason := lacks_swarm(conversation, request.mode):
                raise UsageError(f"{task.path}, {conversation.name}: {reason}")
            if conversation.about.get("swarm"):
                remarks.append(f"{conversation.name}: a stand-in agent with the same tools replaces its swarm")
        if not any(record.turn for record in conversation.records):
            raise TranscriptError(f"{task.path}, {conversation.name}: it has no turn, so nothing would be tested")
        model = self._model(task, swarm or self._plain) if live else None
        started = time.monotonic()
        try:
            replayed = await replay(
                conversation,
                self.backend,
                swarm=swarm,
                mode=request.mode,
                model=model,
                # Otherwise the transcript has the limits and the rescue settings.
                settings=wiring.session_settings(self.settings) if live else None,
                start=request.start,
                until=request.until,
                rules=request.rules,
                cost_of=reported_cost if model is None else partial(self._cost, model.name),
            )
        except TranscriptError as error:
            raise TranscriptError(f"{task.path}, {conversation.name}: {error}") from error
        finally:
            if model is not None:
                await model.close()
        seconds = time.monotonic() - started
        return ReplayResult(task.path, replayed, seconds, remarks, None if model is None else self._use(model))

    @cached_property
    def _plain(self) -> Swarm:
        """The swarm of a session that names none."""
        return wiring.make_swarm(replace(self.settings, swarm=None))

    def _model(self, task: ReplayTask, swarm: Swarm) -> MeteredModel:
        model = make_model(self.settings, interactive=False, swarm=swarm, name=task.model_name)
        folder = self.request.cassette
        if folder is not None and model.name not in self._cassettes:
            self._cassettes[model.name] = Cassette(folder, model.name, refresh=self.request.refresh)
        return MeteredModel(model, self._cassettes.get(model.name), task.run)

    def _cost(self, model: str, usage: Mapping[str, Any]) -> float | None:
        """Return the cost of an answer: as reported by the server, or by the setting ``prices``."""
        cost = reported_cost(usage)
        return dollars(dict(usage), self.settings.all_prices.get(model)) if cost is None else cost

    def _use(self, model: MeteredModel) -> ModelUse:
        usages = [answer.usage or {} for answer in model.answers]
        tokens = sum(int(usage.get(name) or 0) for usage in usages for name in ("prompt_tokens", "completion_tokens"))
        prices = self.settings.all_prices.get(model.name)
        costs = [dollars(usage, prices) for usage in usages]
        known = [cost for cost in costs if cost is not None]
        cost = sum(known) if known and len(known) == len(costs) else None
        return ModelUse(model.name, model.asked, len(usages), model.seconds, tokens, cost)


@asynccontextmanager
async def open_replayer(request: ReplayRequest, settings: Settings) -> AsyncIterator[Replayer]:
    """Open the backend and load the swarm; close both at the end. Raises their errors."""
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_store(settings))
        swarm = None
        if request.flags.get("swarm") is not None:
            swarm = wiring.make_swarm(settings)
            stack.push_async_callback(wiring.close_swarm, swarm)
        yield Replayer(request, settings, store.backend, swarm)
