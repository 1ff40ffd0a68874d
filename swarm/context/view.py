"""The log as one agent sees it: the groups in memory, the last cut, and how the server counts.

All of this is derived from the records and the settings, so a reopened session sends what the previous process would
have sent.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swarmchat.swarm.context.groups import Group, GroupBuilder, after_cut, leading_system
from swarmchat.swarm.context.retained import Retained, first_kept_of, summary_groups, within
from swarmchat.swarm.context.tokens import TokenCounter, counter_for
from swarmchat.swarm.errors import OverBudget
from swarmchat.swarm.persistence.log import CHUNK, Log, hidden_turns
from swarmchat.swarm.persistence.records import Record

if TYPE_CHECKING:
    from swarmchat.swarm.context.builder import Budget, RequestContext

_MEASURABLE = 500
"""Tokens below which the server's count says little: a chat template's own share is too large."""

_LARGEST_OVERHEAD = 500
"""Tokens that a chat template may add for tools, however long the conversation: 250 to 430 were measured on llama.cpp,
llama-cpp-python and LiteLLM."""

_LARGEST_COUNT = 10**9
"""Tokens above which a count is not believed: a log may hold any number, also one that is no float."""
_CORRECTIONS = (0.75, 2.0)


class View:
    """One agent's view of ``log``. ``tables``: see ``counter_for``."""

    def __init__(self, log: Log, agent: str, tables: Path | None = None) -> None:
        self._tables = tables
        self._log = log
        self._agent = agent
        self._builder = GroupBuilder(agent)
        self._next_seq = 0
        self._compacted: Record | None = None
        self._counter: tuple[str, TokenCounter] | None = None
        self._cut: Record | None = None
        self.retained = Retained()
        """Pinned turns and summaries, which every cut keeps."""
        self.window: int | None = None
        """A smaller context window than the model claims, once its server has said so."""
        self.correction = 1.0
        """Tokens that the server counts for each token counted here."""
        self.overhead = 0
        """Tokens that the server adds once for tools."""
        self._measures_overhead = False
        self._has_images = False
        """Whether the last request had images, which each provider counts in its own way."""
        self.last_tokens = 0
        """Tokens of the last request, as counted here."""

    async def load_counter(self, model: str) -> TokenCounter:
        """Return the counter for ``model``. The first time takes some 0.3 s, in a thread."""
        if self._counter is None or self._counter[0] != model:
            self._counter = (model, await asyncio.to_thread(counter_for, model, self._tables))
        return self._counter[1]

    def counter(self, model: str) -> TokenCounter:
        """Return the counter for ``model``, which was loaded before or is loaded now."""
        if self._counter is None or self._counter[0] != model:
            self._counter = (model, counter_for(model, self._tables))
        return self._counter[1]

    def take(self, records: Iterable[Record]) -> None:
        """Apply records that were appended to the log."""
        rebuild = False
        for record in records:
            if record.seq < self._next_seq:
                continue
            self._next_seq = record.seq + 1
            self._follow(record)
            rebuild = rebuild or record.type in ("undo", "redo", "pin", "unpin")
        if rebuild:
            self.rebuild()

    def rebuild(self) -> None:
        """Rebuild the view from the records in memory."""
        self._builder = GroupBuilder(self._agent)
        self._cut = None
        self.retained = Retained()
        self.correction, self.overhead, self.last_tokens = 1.0, 0, 0
        self._next_seq = self._log.start
        hidden = hidden_turns(self._log.records)
        # System messages at the start of an imported conversation are sent however long it is.
        earlier = {record.seq: record for record in self._log.head if record.seq < self._log.start}
        earlier |= {record.seq: record for record in self._pinned_earlier(hidden)}
        for seq in sorted(earlier):
            self._builder.feed(earlier[seq])
        for record in self._log.records:
            self._next_seq = record.seq + 1
            if record.turn not in hidden:
                self._follow(record)

    async def context(
        self,
        budget: "Budget",
        model: str,
        *,
        system: Sequence[bytes] = (),
        tools: Sequence[Mapping[str, Any]] = (),
        pending: Sequence[Record] = (),
        tail: Sequence[Mapping[str, Any]] = (),
    ) -> "RequestContext":
        """Return the context for the next request, as if ``pending`` were in the log; ``tail`` ends it."""
        # Loaded with the first request: the prompt of a chat does not wait for it.
        from swarmchat.swarm.context.builder import build_context

        counter = await self.load_counter(model)
        if self._next_seq < self._log.next_seq:
            self.rebuild()
        if not tools:
            budget = replace(budget, overhead=0)
        fixed = counter.fixed(system, tools)
        while self._log.has_earlier:
            if lacking := self._log.lacks(self.retained.spans):
                await self._log.load_apart(*lacking[0])
            elif missing := self._missing(counter, budget, fixed):
                await self._log.load_earlier(missing)
            else:
                break
            self.rebuild()
        self.take(pending)
        first_kept, summary = self.first_kept(budget), () if self.summary is None else summary_groups(self.summary)

        def built(limits: "Budget") -> "RequestContext":
            return build_context(
                self._builder.groups,
                counter=counter,
                budget=limits,
                system=system,
                tools=tools,
                first_kept=first_kept,
                tail=tail,
                summary=summary,
                pinned=self.retained.pinned,
            )

        try:
            context = built(budget)
        except OverBudget:
            if budget.least_reserve is None:
                raise
            # A short answer is better than none.
            context = built(replace(budget, reserve=budget.least_reserve))
        if context.rotation and self._log.has_earlier and not first_kept and not self._builder.was_reset:
            context = replace(context, rotation=replace(context.rotation, is_counted=False))
        return context

    def forget(self, context: "RequestContext") -> None:
        """Drop the groups and records that ``context`` and all later contexts leave out."""
        if conversation := context.conversation:
            self._builder.forget_before(conversation[0].seq, self.retained.pinned)
            self._log.forget_before(conversation[0].seq, self.retained.spans)

    def uncut(self, budget: "Budget") -> list[Group]:
        """Return the conversation after the last cut, without pinned groups."""
        conversation = after_cut(self._builder.groups, self.first_kept(budget))
        return [group for group in conversation if not self.retained.pins(group.seq)]

    @property
    def summary(self) -> Record | None:
        """The ``compact`` record whose summary is sent, if there is one."""
        seq = self.retained.summaries.get(self._agent)
        if seq is None:
            return None
        if self._compacted is not None and self._compacted.seq == seq:
            return self._compacted
        record = self._log.apart.get(seq) if seq < self._log.start else None
        if record is None:
            record = next((each for each in self._log.records if each.seq == seq), None)
        return record if record is not None and record.type == "compact" else None

    def first_kept(self, budget: "Budget") -> int:
        """Return where the last cut was, as a seq: 0 if there was none, or if the window has grown since.

        What is summed up is cut whatever the window.
        """
        summed_up = 0 if self.summary is None else first_kept_of(self.summary)
        if self._cut is None or int(self._cut.data.get("window", 0)) < budget.window:
            return summed_up
        return max(summed_up, int(self._cut.data.get("first_kept", 0)))

    def _pinned_earlier(self, hidden: Set[int]) -> Iterator[Record]:
        """Yield the records of pinned turns from before those that are in memory."""
        retained = Retained()
        for record in self._log.records:
            if record.turn not in hidden:
                retained = retained.after(record)
        for seq in sorted(self._log.apart):
            record = self._log.apart[seq]
            if seq < self._log.start and within(seq, retained.pinned) and record.turn not in hidden:
                yield record

    def _follow(self, record: Record) -> None:
        self.retained = self.retained.after(record)
        self._builder.feed(record)
        if record.agent not in (None, self._agent):
            return
        if record.type == "rotate":
            self._cut = record
        elif record.type == "compact":
            self._compacted = record
        elif record.type == "request":
            self.last_tokens = int(record.data.get("tokens", 0))
            self._measures_overhead = "overhead" in record.data
            self._has_images = "images" in record.data
        elif record.type == "assistant" and self.last_tokens > 0 and not self._has_images:
            self._compare((record.data.get("usage") or {}).get("prompt_tokens"))

    def _compare(self, counted: object) -> None:
        """Learn from the server's own count of the last request.

        What it counts more in a request with tools is a constant at first, the rest is a factor. Requests of logs
        from before this was told apart have a factor only, so their replay makes the same cuts.
        """
        sent = self.last_tokens
        if not isinstance(counted, int) or not 0 < counted <= _LARGEST_COUNT or reads_less(counted, sent):
            return
        overhead = min(_LARGEST_OVERHEAD, max(0, counted - sent)) if self._measures_overhead else 0
        if sent >= _MEASURABLE:
            low, high = _CORRECTIONS
            self.correction = round(min(high, max(low, (counted - overhead) / sent)), 3)
        elif not overhead:
            return
        self.overhead = overhead

    def _missing(self, counter: TokenCounter, budget: "Budget", fixed: int) -> int:
        """Return how many earlier records to read, because they may change the context; 0 if none can."""
        groups = self._builder.groups
        leading = leading_system(groups)
        start = max(len(leading), groups.place(self._log.start))
        read = self._log.next_seq - self._log.start
        if self._builder.was_reset:
            if not self.retained.known:
                # What else is retained, for other agents, is in the record of the cut before the reset.
                return max(CHUNK, read)
            kept_from = self._builder.reset_to
            return 0 if kept_from is None else max(0, self._log.start - kept_from)
        if first_kept := self.first_kept(budget):
            # The turn that contains the cut must be complete from its question on.
            oldest = groups[start] if start < len(groups) else None
            reaches = oldest is not None and oldest.seq <= first_kept and (oldest.is_user or oldest.is_system)
            return 0 if reaches else max(CHUNK, self._log.start - first_kept)
        if groups.question(start, len(groups)) is None:
            return max(CHUNK, read)
        tokens_to_fill = budget.high * (budget.available - fixed - sum(group.tokens(counter) for group in leading))
        tokens = 0
        for group in islice(reversed(groups), len(groups) - start):
            tokens += group.tokens(counter)
            if tokens > tokens_to_fill:
                return 0
        # Estimated from the tokens of the records so far: too low a guess costs one more read.
        return CHUNK + int((tokens_to_fill - tokens) * read / max(1, tokens))


def reads_less(counted: object, sent: int) -> bool:
    """Whether a server that ``counted`` so many tokens has not read all of the ``sent`` ones.

    Encodings differ by a third at most on ordinary text; Ollama, for one, silently drops what exceeds ``num_ctx``.
    """
    return isinstance(counted, int) and sent >= _MEASURABLE and 0 < counted < 0.6 * sent


class CutWarning:
    """Warns, once, that a server does not read all that it is sent."""

    def __init__(self) -> None:
        self._given = False

    def after(self, usage: Mapping[str, Any] | None, sent: int, *, images: bool) -> str | None:
        """Return the warning if the ``usage`` of an answer counts far fewer than the ``sent`` tokens.

        Each provider counts ``images`` in its own way: requests with some tell nothing.
        """
        counted = (usage or {}).get("prompt_tokens")
        if self._given or images or not reads_less(counted, sent):
            return None
        self._given = True
        return (
            f"the server counted {counted:,} of some {sent:,} tokens: it may be cutting the context off. Give it a "
            "larger window (Ollama: num_ctx), or set --max-context to the window that it has"
        )
