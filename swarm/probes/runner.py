"""Probe a model server: hold the exchanges with it, one after the other, and look at what came of each."""

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Collection
from contextlib import aclosing
from typing import Any

from swarmchat.backends import Backend, open_backend
from swarmchat.swarm.conversation.events import Retrying, ToolFinished
from swarmchat.swarm.conversation.settings import SessionSettings
from swarmchat.swarm.errors import ContextTooLong, LimitReached, ModelRefused, ModelUnavailable, OverBudget, SwarmError
from swarmchat.swarm.models.base import Model
from swarmchat.swarm.probes.checks import PROBES, Finding, Probe
from swarmchat.swarm.probes.exchanges import Exchange, ExchangeOutcome, ProbeTranscript, exchanges
from swarmchat.swarm.probes.recording_model import RecordingModel
from swarmchat.swarm.probes.results import Result, make_result, noticed
from swarmchat.swarm.session.session import Session

_MAX_TOKENS, _MAX_TOKENS_THINKING = 400, 2_000
_MAX_REQUESTS = 6
"""In one turn. The rescue adds to it."""
_CLEAN = ("clean", "nothing leaks into answers")


class ProbeRun:
    """One run of all probes on ``model``, which stays the caller's to close. ``on_retry`` is told of waits.

    ``only`` names the exchanges that are held, in place of all: what needs an answer of another one is not looked for.
    """

    def __init__(
        self,
        model: Model,
        *,
        quick: bool = False,
        only: Collection[str] | None = None,
        on_retry: Callable[[Retrying], None] | None = None,
    ) -> None:
        self._model = model
        self._quick = quick
        self._only = only
        self._on_retry = on_retry
        self._parameters: dict[str, Any] = {"temperature": 0, "max_tokens": _MAX_TOKENS}
        self._adapted: list[str] = []
        self._tools_work: bool | None = None
        self._unusable = False
        self._all = ProbeTranscript([], [])
        self.results: list[Result] = []
        """What was found so far."""
        self.requests = 0
        self.tokens = 0
        """What the requests and answers cost, as the server counts where it does."""
        self.seconds = 0.0

    async def run(self) -> AsyncGenerator[Result, None]:
        """Yield the result of each probe when it is there.

        Raises ModelAuthError, ModelNotFound, ModelBusy and ModelUnavailable: nothing more can be found out then. What a
        server refuses or fails at in one exchange only is a result.
        """
        backend = open_backend("memory:")
        clock = asyncio.get_running_loop().time
        started = clock()
        try:
            for exchange in exchanges():
                if self._only is not None and exchange.name not in self._only:
                    continue
                try:
                    results = await self._results_of(exchange, backend)
                finally:
                    self.seconds = clock() - started
                for result in results:
                    self.results.append(result)
                    yield result
            if self._only is not None:
                return
            clean = self._clean()
            self.results.append(clean)
            yield clean
        finally:
            await backend.close()

    async def _results_of(self, exchange: Exchange, backend: Backend) -> list[Result]:
        probes = [probe for probe in PROBES if probe.exchange == exchange.name]
        if why := self._skipped(exchange):
            return [Result(probe.name, probe.about, "skipped", why) for probe in probes]
        self._adapted = []
        seen = await self._hold_adapted(exchange, backend)
        results = [self._judge(exchange, probe, seen, owner=probe is probes[0]) for probe in probes]
        self._learn(exchange, seen, results[0])
        return results

    def _skipped(self, exchange: Exchange) -> str:
        """Return why ``exchange`` is not held; empty if it is."""
        if self._unusable:
            return "no answer to a plain question"
        if exchange.long and self._quick:
            return "--quick"
        return "the server takes no tools" if exchange.needs_tools and self._tools_work is False else ""

    def _judge(self, exchange: Exchange, probe: Probe, seen: ProbeTranscript, *, owner: bool) -> Result:
        if seen.error is not None and (owner or not seen.calls()):
            finding = self._of_error(exchange, seen.error) if owner else Finding("skipped", "no call")
        else:
            finding = probe.check(seen)
        if owner and self._adapted:
            finding = Finding(finding.status, finding.seen, (*finding.quirks, *dict.fromkeys(self._adapted)))
        return make_result(probe.name, probe.about, finding, seen, owner=owner)

    def _of_error(self, exchange: Exchange, error: SwarmError) -> Finding:
        if isinstance(error, OverBudget):
            return Finding("skipped", str(error))
        if isinstance(error, ContextTooLong):
            # A server that says so is a good one: rotation knows what to do then.
            return Finding("quirk" if exchange.long else "failed", str(error), ("small_window",))
        if isinstance(error, LimitReached):
            return Finding("failed", str(error))
        if isinstance(error, ModelUnavailable):
            return Finding("failed", str(error), ("server_errors",))
        untried = exchange.needs_tools and self._tools_work is None
        words = re.sub(r"^\S+ says ", "the server says ", str(error))
        return Finding("failed", words, ("refuses_tools" if untried else "refuses_request",))

    def _learn(self, exchange: Exchange, seen: ProbeTranscript, first: Result) -> None:
        """Draw conclusions for the exchanges that follow."""
        self._all.heard += seen.heard
        self._all.happened += seen.happened
        if exchange.needs_tools and self._tools_work is None:
            self._tools_work = "refuses_tools" not in first.quirks
        self._unusable = self._unusable or (first.name == "answer" and first.status == "failed")
        if any(heard.reasoned or "<think" in heard.text for heard in seen.heard):
            self._raise_limit()

    def _raise_limit(self) -> None:
        for name in ("max_tokens", "max_completion_tokens"):
            if name in self._parameters:
                self._parameters[name] = _MAX_TOKENS_THINKING

    async def _hold_adapted(self, exchange: Exchange, backend: Backend) -> ProbeTranscript:
        """Hold ``exchange``; once more without a parameter that the server refuses, or with room for thinking."""
        while True:
            seen = await self._hold(exchange, backend)
            refused = str(seen.error) if isinstance(seen.error, ModelRefused) else ""
            if "max_tokens" in self._parameters and re.search(r"\bmax_tokens\b", refused):
                # OpenAI's reasoning models.
                self._parameters["max_completion_tokens"] = self._parameters.pop("max_tokens")
                self._adapted.append("refuses_max_tokens")
            elif "temperature" in self._parameters and re.search(r"\btemperature\b", refused):
                del self._parameters["temperature"]
                self._adapted.append("refuses_temperature")
            elif _thinks_long(seen) and _MAX_TOKENS in self._parameters.values():
                self._raise_limit()
                self._adapted.append("thinks_long")
            else:
                return seen

    async def _hold(self, exchange: Exchange, backend: Backend) -> ProbeTranscript:
        """Hold ``exchange`` in a session of its own. Raises what ends the whole run."""
        model = RecordingModel(self._model)
        seen = ProbeTranscript(model.heard, [])
        settings = SessionSettings(
            max_requests=_MAX_REQUESTS, parameters={**self._parameters, **exchange.parameters}, rescue=None
        )
        session = await Session.open(backend, model, client="probe", swarm=exchange.swarm, settings=settings)
        async with session:
            try:
                for turn, text in enumerate(exchange.says):
                    async with aclosing(session.run_turn(text)) as events:
                        async for event in events:
                            if isinstance(event, Retrying) and self._on_retry is not None:
                                self._on_retry(event)
                            # Of calls that run at once, each tells its end when it has come: the request is the last.
                            seen.happened.append(ExchangeOutcome(turn, len(model.heard) - 1, event))
            except (ModelRefused, ContextTooLong, LimitReached, OverBudget) as error:
                seen.error = error
            except ModelUnavailable as error:
                # The server is there, and failed as Ollama does at calls that it cannot read (ollama/ollama#17638).
                if not (self.results and re.search(r" says \(5\d\d\)", str(error))):
                    raise
                seen.error = error
            finally:
                self._count(seen)
        return seen

    def _count(self, seen: ProbeTranscript) -> None:
        self.requests += len(seen.heard)
        for heard in seen.heard:
            usage = (heard.answer.usage if heard.answer is not None else None) or {}
            figures = [usage.get(name) for name in ("prompt_tokens", "completion_tokens")]
            # Four characters to a token, where nobody counts.
            guess = len(heard.request.body()) // 4
            self.tokens += sum(each for each in figures if isinstance(each, int)) or guess

    def _clean(self) -> Result:
        """Return what leaked into any answer, in all exchanges together."""
        if not self._all.heard:
            return Result(*_CLEAN, "skipped", "no answer")
        found = noticed(self._all)
        calls = sum(isinstance(each.event, ToolFinished) for each in self._all.happened)
        line = f"{len(self._all.heard)} answers, {calls} calls, {len(self._all.rescued)} steps of the rescue"
        return Result(*_CLEAN, "quirk" if found else "ok", line, found)


def _thinks_long(seen: ProbeTranscript) -> bool:
    """Whether an answer reached the limit of tokens before it said anything."""
    answers = [heard.answer for heard in seen.heard if heard.answer is not None]
    return any(each.finish == "length" and not each.text.strip() and not each.tool_calls for each in answers)
