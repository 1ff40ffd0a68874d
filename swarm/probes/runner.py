"""Run all probes: hold one exchange after another with a model server, and check the transcripts."""

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Collection, Iterable
from contextlib import aclosing
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Any

from swarmchat.backends import Backend, open_backend
from swarmchat.swarm.conversation.events import HandedOver, Retrying, ToolFinished
from swarmchat.swarm.conversation.settings import SessionSettings
from swarmchat.swarm.errors import ContextTooLong, LimitReached, ModelRefused, ModelUnavailable, OverBudget, SwarmError
from swarmchat.swarm.models.base import Model
from swarmchat.swarm.probes.budget import MOST_REQUESTS, MOST_TOKENS, BudgetSpent, ProbeBudget
from swarmchat.swarm.probes.checks import PROBES, ProbeFinding
from swarmchat.swarm.probes.exchanges import ProbeExchange, exchanges
from swarmchat.swarm.probes.results import ProbeResult, general_quirks, make_result
from swarmchat.swarm.probes.transcript import ExchangeOutcome, ProbeTranscript, RecordingModel
from swarmchat.swarm.providers.structured import TOOLS_OFF, WITHOUT_TOOLS
from swarmchat.swarm.session.session import Session

_MAX_TOKENS, _MAX_TOKENS_THINKING = 400, 2_000
_MAX_REQUESTS = 5
"""In one turn; the rescue may add some."""
_LONG_TOKENS = 6_000
"""Tokens of the long exchange."""
_ENOUGH = 2
"""Exchanges without an answer from a call, after which the others with tools are skipped."""
_WITHOUT_REQUESTS = ("repair", "placeholder")
"""The rescue steps that ask nothing."""
_QUIRKS_OF_ADAPTATIONS = {
    "without-temperature": "refuses_temperature",
    "max-completion-tokens": "refuses_max_tokens",
    "without-max_tokens": "refuses_max_tokens",
    "no-tools": "refuses_tools",
    TOOLS_OFF: "tools_off",
    "no-stream": "no_streaming",
    "no-stream-options": "no_usage",
}
_OTHER = "needs_another_form"
"""The quirk for all other adaptations."""
_CLEAN = ("clean", "leaks nothing into answers")


@dataclass
class ProbeRun:
    """One run of all probes on ``model``, which the caller closes."""

    model: Model
    _: KW_ONLY
    quick: bool = False
    """Whether to skip the long exchange."""
    only: Collection[str] | None = None
    """Names of the exchanges to run; ``None``: all of them, and ``clean``, which needs all."""
    on_retry: Callable[[Retrying], None] = lambda event: None
    """Called before each wait."""

    results: list[ProbeResult] = field(default_factory=list, init=False)
    """The results so far."""
    seconds: float = field(default=0.0, init=False)

    _budget: ProbeBudget = field(default_factory=ProbeBudget, init=False)
    _parameters: dict[str, Any] = field(
        default_factory=lambda: {"temperature": 0, "max_tokens": _MAX_TOKENS}, init=False
    )
    """The parameters of all requests; those that the server refuses are removed or replaced."""
    _tools_work: bool | None = field(default=None, init=False)
    """Whether the server accepts tools; ``None``: not known yet."""
    _unusable: bool = field(default=False, init=False)
    _without_call: int = field(default=0, init=False)
    """The number of exchanges about the weather without an answer from a successful call."""
    _lost: int = field(default=0, init=False)
    """The number of exchanges in which all rescue steps were of no use."""
    _whole: ProbeTranscript = field(default_factory=lambda: ProbeTranscript([], [], []), init=False)
    """All exchanges together."""

    @property
    def requests(self) -> int:
        """The number of requests that were sent, also of repeated ones."""
        return self._budget.requests

    @property
    def tokens(self) -> int:
        """Tokens of requests and answers, by the server's count where it reports one."""
        return self._budget.tokens

    async def run(self) -> AsyncGenerator[ProbeResult, None]:
        """Yield the result of each probe as soon as it is known.

        Raises ModelAuthError, ModelNotFound, ModelBusy and ModelUnavailable. A refusal or failure that concerns one
        exchange only is a result.
        """
        backend = open_backend("memory:")
        clock = asyncio.get_running_loop().time
        started = clock()
        try:
            for exchange in exchanges():
                if self.only is None or exchange.name in self.only:
                    for result in await self._results_of(exchange, backend):
                        self.results.append(result)
                        yield result
            if self.only is None:
                self.results.append(self._clean())
                yield self.results[-1]
        finally:
            self.seconds = clock() - started
            await backend.close()

    async def _results_of(self, exchange: ProbeExchange, backend: Backend) -> list[ProbeResult]:
        probes = [probe for probe in PROBES if probe.exchange == exchange.name]
        if reason := self._skip_reason(exchange):
            return [ProbeResult(probe.name, probe.about, "skipped", reason) for probe in probes]
        transcript, adaptations = await self._run_adapted(exchange, backend)
        results = []
        refused = exchange.needs_tools and not WITHOUT_TOOLS.isdisjoint(transcript.adaptations)
        for probe in probes:
            # What concerns the whole exchange is reported once, in the result of its first probe.
            first = probe is probes[0]
            if refused:
                seen = "the server refuses tools" if first else "the server does not accept tools"
                finding = ProbeFinding("failed" if first else "skipped", seen)
            elif transcript.error is None or (transcript.calls() and not first):
                finding = probe.check(transcript)
            else:
                finding = (
                    self._error_finding(exchange, transcript.error) if first else ProbeFinding("skipped", "no call")
                )
            if first:
                finding = replace(finding, quirks=(*finding.quirks, *adaptations))
            results.append(make_result(probe.name, probe.about, finding, transcript, owner=first and not refused))
        self._learn(exchange, transcript, results[0])
        return results

    def _skip_reason(self, exchange: ProbeExchange) -> str:
        """Return the reason to skip ``exchange``; empty if it should run."""
        if self._unusable:
            return "no good answer to a plain question"
        if exchange.long and self.quick:
            return "--quick"
        if self.requests >= MOST_REQUESTS or self.tokens + _LONG_TOKENS * exchange.long >= MOST_TOKENS:
            return self._budget.spent
        if exchange.needs_tools and self._without_call >= _ENOUGH:
            return f"no call led to an answer in {_ENOUGH} conversations"
        return "the server does not accept tools" if exchange.needs_tools and self._tools_work is False else ""

    def _error_finding(self, exchange: ProbeExchange, error: SwarmError) -> ProbeFinding:
        match error:
            case OverBudget() | BudgetSpent():
                return ProbeFinding("skipped", str(error))
            case ContextTooLong():
                # A server that reports it is fine: turns are then left out in time.
                return ProbeFinding("quirk" if exchange.long else "failed", str(error), ("small_window",))
            case LimitReached():
                return ProbeFinding("failed", str(error))
            case ModelUnavailable():
                return ProbeFinding("failed", str(error), ("server_errors",))
        first_tools = exchange.needs_tools and self._tools_work is None
        reason = re.sub(r"^\S+ says ", "the server says ", str(error))
        return ProbeFinding("failed", reason, ("refuses_tools" if first_tools else "refuses_request",))

    def _learn(self, exchange: ProbeExchange, transcript: ProbeTranscript, first: ProbeResult) -> None:
        """Draw conclusions for the exchanges that follow."""
        self._whole.replies += transcript.replies
        self._whole.outcomes += transcript.outcomes
        if exchange.needs_tools and self._tools_work is None:
            self._tools_work = first.quirks.keys().isdisjoint(("refuses_tools", "tools_off"))
        if exchange.name in ("weather", "two") and not isinstance(transcript.error, BudgetSpent):
            self._without_call += not (transcript.calls(successful=True) and transcript.text)
        self._unusable = self._unusable or (first.name == "answer" and first.status == "failed")
        if any(reply.reasoned or "<think" in reply.text for reply in transcript.replies):
            self._raise_limit()

    def _raise_limit(self) -> None:
        for name in ("max_tokens", "max_completion_tokens"):
            if name in self._parameters:
                self._parameters[name] = _MAX_TOKENS_THINKING

    async def _run_adapted(self, exchange: ProbeExchange, backend: Backend) -> tuple[ProbeTranscript, Iterable[str]]:
        """Run ``exchange``, again with a higher token limit if reasoning used it up.

        Returns the transcript, and the quirks that were found on the way.
        """
        quirks: dict[str, None] = {}
        while True:
            transcript = await self._run_once(exchange, backend)
            quirks |= dict.fromkeys(_QUIRKS_OF_ADAPTATIONS.get(name, _OTHER) for name in transcript.adaptations)
            if not _thinks_long(transcript) or _MAX_TOKENS not in self._parameters.values():
                return transcript, quirks
            self._raise_limit()
            quirks["thinks_long"] = None

    async def _run_once(self, exchange: ProbeExchange, backend: Backend) -> ProbeTranscript:
        """Run ``exchange`` in a session of its own. Raises the errors that end the whole run."""
        model = RecordingModel(self.model, self._budget, exchange.history)
        transcript = ProbeTranscript(model.replies, [], model.adaptations)
        # A model that was asked again in vain is not asked again each time.
        rescue, limit = (None, _MAX_REQUESTS) if self._lost < 2 else (_WITHOUT_REQUESTS, 2)
        settings = SessionSettings(
            max_requests=limit + len(exchange.history),
            parameters={**self._parameters, **exchange.parameters},
            rescue=rescue,
        )
        session = await Session.open(backend, model, client="probe", swarm=exchange.swarm, settings=settings)
        async with session:
            try:
                for turn, text in enumerate(exchange.messages):
                    async with aclosing(session.run_turn(text)) as events:
                        async for event in events:
                            if isinstance(event, Retrying):
                                self.on_retry(event)
                            # Calls that run together finish one by one, all before the next request.
                            transcript.outcomes.append(ExchangeOutcome(turn, len(model.replies) - 1, event))
            except (ModelRefused, ContextTooLong, LimitReached, OverBudget, BudgetSpent, ModelUnavailable) as error:
                # A server that worked before may fail at this answer only, as Ollama does with calls it cannot parse
                # (ollama/ollama#17638).
                failed_once = self.results and re.search(r" says \(5\d\d\)", str(error))
                if isinstance(error, ModelUnavailable) and not failed_once:
                    raise
                transcript.error = error
            finally:
                unanswered = any(not end.recovered for end in transcript.ends)
                self._lost += unanswered or isinstance(transcript.error, LimitReached)
        return transcript

    def _clean(self) -> ProbeResult:
        """Check all exchanges together for leaks and other quirks."""
        if not self._whole.replies:
            return ProbeResult(*_CLEAN, "skipped", "no answer")
        quirks = general_quirks(self._whole)
        calls = sum(isinstance(each.event, ToolFinished | HandedOver) for each in self._whole.outcomes)
        line = f"{len(self._whole.replies)} answers, {calls} calls, {len(self._whole.rescued)} rescue steps"
        return ProbeResult(*_CLEAN, "quirk" if quirks else "ok", line, quirks)


def _thinks_long(transcript: ProbeTranscript) -> bool:
    """Whether reasoning used up all tokens: an answer was cut before any text or call."""
    answers = [reply.answer for reply in transcript.replies if reply.answer is not None]
    return any(each.finish == "length" and not each.text.strip() and not each.tool_calls for each in answers)
