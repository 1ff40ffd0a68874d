"""Run the probes: hold one exchange after the other with a model server, and check its transcript."""

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
    """One run of all probes on ``model``, which the caller closes. ``on_retry`` is called before each wait.

    ``only`` names the exchanges to hold; by default all. The ``clean`` probe needs all of them.
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
        """The results so far."""
        self.requests = 0
        self.tokens = 0
        """Tokens of requests and answers, by the server's count where it reports one."""
        self.seconds = 0.0

    async def run(self) -> AsyncGenerator[Result, None]:
        """Yield the result of each probe as soon as it is known.

        Raises ModelAuthError, ModelNotFound, ModelBusy and ModelUnavailable, which end the run. A refusal or failure in
        one exchange only is a result.
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
        transcript = await self._hold_adapted(exchange, backend)
        results = [self._judge(exchange, probe, transcript, owner=probe is probes[0]) for probe in probes]
        self._learn(exchange, transcript, results[0])
        return results

    def _skipped(self, exchange: Exchange) -> str:
        """Return the reason to skip ``exchange``; empty if it is to be held."""
        if self._unusable:
            return "no answer to a plain question"
        if exchange.long and self._quick:
            return "--quick"
        return "the server takes no tools" if exchange.needs_tools and self._tools_work is False else ""

    def _judge(self, exchange: Exchange, probe: Probe, transcript: ProbeTranscript, *, owner: bool) -> Result:
        if transcript.error is not None and (owner or not transcript.calls()):
            finding = self._of_error(exchange, transcript.error) if owner else Finding("skipped", "no call")
        else:
            finding = probe.check(transcript)
        if owner and self._adapted:
            finding = Finding(finding.status, finding.seen, (*finding.quirks, *dict.fromkeys(self._adapted)))
        return make_result(probe.name, probe.about, finding, transcript, owner=owner)

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

    def _learn(self, exchange: Exchange, transcript: ProbeTranscript, first: Result) -> None:
        """Draw conclusions for the exchanges that follow."""
        self._all.replies += transcript.replies
        self._all.outcomes += transcript.outcomes
        if exchange.needs_tools and self._tools_work is None:
            self._tools_work = "refuses_tools" not in first.quirks
        self._unusable = self._unusable or (first.name == "answer" and first.status == "failed")
        if any(reply.reasoned or "<think" in reply.text for reply in transcript.replies):
            self._raise_limit()

    def _raise_limit(self) -> None:
        for name in ("max_tokens", "max_completion_tokens"):
            if name in self._parameters:
                self._parameters[name] = _MAX_TOKENS_THINKING

    async def _hold_adapted(self, exchange: Exchange, backend: Backend) -> ProbeTranscript:
        """Hold ``exchange``; once more without a parameter that the server refuses, or with room for thinking."""
        while True:
            transcript = await self._hold(exchange, backend)
            refused = str(transcript.error) if isinstance(transcript.error, ModelRefused) else ""
            if "max_tokens" in self._parameters and re.search(r"\bmax_tokens\b", refused):
                # OpenAI's reasoning models.
                self._parameters["max_completion_tokens"] = self._parameters.pop("max_tokens")
                self._adapted.append("refuses_max_tokens")
            elif "temperature" in self._parameters and re.search(r"\btemperature\b", refused):
                del self._parameters["temperature"]
                self._adapted.append("refuses_temperature")
            elif _thinks_long(transcript) and _MAX_TOKENS in self._parameters.values():
                self._raise_limit()
                self._adapted.append("thinks_long")
            else:
                return transcript

    async def _hold(self, exchange: Exchange, backend: Backend) -> ProbeTranscript:
        """Hold ``exchange`` in a session of its own. Raises what ends the whole run."""
        model = RecordingModel(self._model)
        transcript = ProbeTranscript(model.replies, [])
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
                            transcript.outcomes.append(ExchangeOutcome(turn, len(model.replies) - 1, event))
            except (ModelRefused, ContextTooLong, LimitReached, OverBudget) as error:
                transcript.error = error
            except ModelUnavailable as error:
                # The server is there, and failed as Ollama does at calls that it cannot read (ollama/ollama#17638).
                if not (self.results and re.search(r" says \(5\d\d\)", str(error))):
                    raise
                transcript.error = error
            finally:
                self._count(transcript)
        return transcript

    def _count(self, transcript: ProbeTranscript) -> None:
        self.requests += len(transcript.replies)
        for reply in transcript.replies:
            usage = (reply.answer.usage if reply.answer is not None else None) or {}
            figures = [usage.get(name) for name in ("prompt_tokens", "completion_tokens")]
            # Four characters to a token, where nobody counts.
            guess = len(reply.request.body()) // 4
            self.tokens += sum(each for each in figures if isinstance(each, int)) or guess

    def _clean(self) -> Result:
        """Check all exchanges together for leaks and other quirks."""
        if not self._all.replies:
            return Result(*_CLEAN, "skipped", "no answer")
        quirks = noticed(self._all)
        calls = sum(isinstance(each.event, ToolFinished) for each in self._all.outcomes)
        line = f"{len(self._all.replies)} answers, {calls} calls, {len(self._all.rescued)} steps of the rescue"
        return Result(*_CLEAN, "quirk" if quirks else "ok", line, quirks)


def _thinks_long(transcript: ProbeTranscript) -> bool:
    """Whether an answer reached the limit of tokens before it said anything."""
    answers = [reply.answer for reply in transcript.replies if reply.answer is not None]
    return any(each.finish == "length" and not each.text.strip() and not each.tool_calls for each in answers)
