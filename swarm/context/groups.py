"""Groups of messages that are sent together or not at all.

A group is one user or system message, or one assistant message with ALL its tool calls and ALL their results. Records
are fed one by one in log order, so the cost of a turn does not grow with the length of the conversation. Whatever the
log contains, every group is valid:

- a result belongs to the latest earlier call with its id; results are sent in the order of the calls;
- a second result, and a result without a call, is dropped;
- a call without a result gets one that says so;
- a message with neither text nor calls is dropped.

The algorithm follows pydantic-ai's repair of message histories (pydantic/pydantic-ai#6319).
"""

import math
from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, NamedTuple, overload

from swarmchat.swarm.common.encoding import encode_json
from swarmchat.swarm.context.normalize import call_ids, no_result, renamed_id, sendable
from swarmchat.swarm.context.tokens import TokenCounter
from swarmchat.swarm.persistence.records import MESSAGE_TYPES, Record


class Part(NamedTuple):
    """One message to send, and its record: ``None`` for a message that is not in the log in this form."""

    message: Mapping[str, Any]
    record: Record | None

    def encoded(self) -> bytes:
        """Return the message as JSON; encoded once if nothing had to be repaired."""
        if self.record is not None and self.message is self.record.message:
            return self.record.message_json
        return encode_json(self.message)

    def tokens(self, counter: TokenCounter, *, parallel: bool) -> int:
        """Return the tokens of the message: the stored count, if nothing had to be repaired.

        What an image costs depends on the model, not on the encoding alone.
        """
        is_text = not isinstance(self.message.get("content"), list)
        if self.record is not None and self.message is self.record.message and is_text:
            stored = self.record.stored_tokens(counter.encoding)
            if stored is not None:
                return stored
        return counter.message(self.message, parallel=parallel)


class Group:
    """Messages that are sent together. ``seq`` is that of the first record, ``role`` that of the first message.

    ``is_user``: a turn starts here. ``is_system``: an instruction, not part of the conversation. ``stays``: a cut
    inside its turn keeps it.
    """

    __slots__ = (
        *("_encoded", "_results", "_tokens", "calls", "echo", "head"),
        *("is_system", "is_user", "role", "seq", "stays"),
    )

    def __init__(self, head: Part, seq: int) -> None:
        self.head = head
        self.seq = seq
        self.role: str = head.message["role"]
        self.is_user = self.role == "user" and (head.record is None or head.record.type != "steer")
        self.is_system = self.role in ("system", "developer")
        self.stays = self.is_system or self.role == "user"
        self.calls = call_ids(head.message) if self.role == "assistant" else ()
        self.echo = _echo(head.record) if self.role == "assistant" else None
        """What the provider attached to the answer (``Answer.echo``), with its reasoning; ``None`` if nothing."""
        self._results: list[Part | None] = [None] * len(self.calls)
        self._encoded: tuple[bytes, ...] | None = None
        self._tokens: tuple[TokenCounter, int] | None = None

    @property
    def parallel(self) -> bool:
        """Whether one message has several calls: their results cost more tokens."""
        return len(self.calls) > 1

    def parts(self) -> list[Part]:
        """Return the messages in the order in which they are sent."""
        results = zip(self.calls, self._results, strict=True)
        return [self.head, *(result or Part(no_result(call_id), None) for call_id, result in results)]

    def encoded(self) -> tuple[bytes, ...]:
        """Return the messages as JSON."""
        if self._encoded is None:
            self._encoded = tuple(part.encoded() for part in self.parts())
        return self._encoded

    def tokens(self, counter: TokenCounter) -> int:
        """Return the tokens of the group."""
        if self._tokens is None or self._tokens[0] is not counter:
            parts = self.parts()
            count = parts[0].tokens(counter, parallel=False)
            count += sum(part.tokens(counter, parallel=self.parallel) for part in parts[1:])
            self._tokens = (counter, count)
        return self._tokens[1]

    def answer(self, index: int, result: Part) -> None:
        """Set the result of the call ``index``."""
        self._results[index] = result
        self._encoded = self._tokens = None

    def with_ids(self, used_ids: set[str]) -> "Group":
        """Return a copy whose call ids are unique and not in ``used_ids``; the group itself if they already are."""
        renamed: list[str] = []
        for index, call_id in enumerate(self.calls):
            clash = call_id in used_ids or call_id in renamed
            # Position and seq make it unique, and the same whenever the same log is sent.
            renamed.append(renamed_id(call_id, self.seq * 1000 + index) if clash else call_id)
        if tuple(renamed) == self.calls:
            return self
        calls = self.head.message["tool_calls"]
        new_calls = [{**call, "id": new} for call, new in zip(calls, renamed, strict=True)]
        group = Group(Part({**self.head.message, "tool_calls": new_calls}, None), self.seq)
        for index, part in enumerate(self.parts()[1:]):
            group.answer(index, Part({**part.message, "tool_call_id": renamed[index]}, None))
        return group


def _echo(record: Record | None) -> Mapping[str, Any] | None:
    if record is None or not (echo := record.data.get("echo")):
        return None
    return {**echo, "reasoning": record.data.get("reasoning")} if isinstance(echo, dict) else None


def cost_of(groups: Iterable[Group], counter: TokenCounter, limit: float = math.inf) -> int:
    """Return the tokens of ``groups``; counting stops at the first sum above ``limit``."""
    total = 0
    for group in groups:
        known = group._tokens
        # Most are known, and a call for each would take longer than all the rest of a request after 1,000 messages.
        total += known[1] if known and known[0] is counter else group.tokens(counter)
        if total > limit:
            break
    return total


def encoded(groups: Iterable[Group]) -> Iterator[bytes]:
    """Yield the messages of ``groups`` as JSON."""
    # As in ``cost_of``: a call only for the few that are not known yet.
    return chain.from_iterable([group._encoded or group.encoded() for group in groups])


class Groups(Sequence[Group]):
    """Groups in order of seq, with an index of user and system messages."""

    def __init__(self, groups: Iterable[Group] = ()) -> None:
        self._groups = [*groups]
        self._seqs = [group.seq for group in self._groups]
        self._staying = [place for place, group in enumerate(self._groups) if group.stays]

    def append(self, group: Group) -> None:
        """Add the newest group."""
        if group.stays:
            self._staying.append(len(self._groups))
        self._seqs.append(group.seq)
        self._groups.append(group)

    def __len__(self) -> int:
        return len(self._groups)

    @overload
    def __getitem__(self, place: int) -> Group: ...

    @overload
    def __getitem__(self, place: slice) -> list[Group]: ...

    def __getitem__(self, place: int | slice) -> Group | list[Group]:
        return self._groups[place]

    def __iter__(self) -> Iterator[Group]:
        return iter(self._groups)

    def __reversed__(self) -> Iterator[Group]:
        return reversed(self._groups)

    def place(self, seq: int) -> int:
        """Return the index of the first group whose seq is at least ``seq``; the length if there is none."""
        return bisect_left(self._seqs, seq)

    def staying(self, first: int, end: int) -> list[int]:
        """Return the indexes in ``range(first, end)`` of user and system messages."""
        return self._staying[bisect_left(self._staying, first) : bisect_left(self._staying, end)]

    def question(self, first: int, end: int) -> int | None:
        """Return the index in ``range(first, end)`` of the last user message."""
        index = bisect_left(self._staying, end)
        while index > 0 and (place := self._staying[index - 1]) >= first:
            if self[place].is_user:
                return place
            index -= 1
        return None

    def within(self, spans: Iterable[tuple[int, int]]) -> list[Group]:
        """Return the conversation groups in ``spans`` (first and last seq, inclusive), oldest first."""
        leading = len(leading_system(self))
        ranges = [range(max(leading, self.place(first)), self.place(last + 1)) for first, last in spans]
        return [self[place] for place in sorted({place for places in ranges for place in places})]

    def turn_start(self, first: int, end: int) -> int:
        """Return the index at which the last turn in ``range(first, end)`` starts; see ``turn_start``."""
        question = self.question(first, end)
        start = first if question is None else question
        while start > first and self[start - 1].is_system:
            start -= 1
        return start


class GroupBuilder:
    """Builds the groups that one agent sees. ``agent`` is ``None`` for a log with a single agent.

    ``groups`` is extended in place, and replaced by a new object when groups are dropped: indexes stay valid.
    """

    def __init__(self, agent: str | None = None, records: Iterable[Record] = ()) -> None:
        self._agent = agent
        self.groups = Groups()
        self.was_reset = False
        """Whether a reset was read: of the earlier groups, only those that it keeps matter."""
        self.reset_to: int | None = None
        """The seq of the first record that the last reset keeps."""
        self._open: dict[str, list[tuple[Group, int]]] = {}
        for record in records:
            self.feed(record)

    def feed(self, record: Record) -> None:
        """Read the next record of the log. Records other than messages and resets are ignored."""
        own = self._agent is None or record.agent is None or record.agent == self._agent
        if record.type == "reset" and own:
            self._clear(_numbers(record.data.get("keep")))
        if record.type not in MESSAGE_TYPES or (record.type == "mail" and not own and not record.is_for_all):
            return
        message = sendable(record.message, record.seq, own=own)
        if message is None:
            return
        part = Part(message, record)
        if message["role"] == "tool":
            self._feed_result(part)
        else:
            self._feed_group(Group(part, record.seq))

    def forget_before(self, seq: int, but: Iterable[tuple[int, int]] = ()) -> None:
        """Drop the conversation before ``seq``, except for the spans in ``but``: it is never sent again."""
        leading = leading_system(self.groups)
        apart = [group for group in self.groups.within(but) if group.seq < seq]
        start = max(len(leading), self.groups.place(seq))
        self.groups = Groups([*leading, *apart, *self.groups[start:]])

    def _clear(self, keep: Sequence[int]) -> None:
        leading = leading_system(self.groups)
        self.groups = Groups(leading + [group for group in self.groups[len(leading) :] if group.seq in keep])
        self._open.clear()
        self.reset_to = min(keep, default=None)
        self.was_reset = True

    def _feed_group(self, group: Group) -> None:
        self.groups.append(group)
        fresh: dict[str, list[tuple[Group, int]]] = {}
        for index, call_id in enumerate(group.calls):
            fresh.setdefault(call_id, []).append((group, index))
        # A later call of the same id hides the earlier one: llama.cpp gives each call of a chat the same id.
        self._open.update(fresh)

    def _feed_result(self, part: Part) -> None:
        call_id = part.message["tool_call_id"]
        if waiting := self._open.get(call_id):
            group, index = waiting.pop(0)
            group.answer(index, part)
            if not waiting:
                del self._open[call_id]


def _numbers(value: object) -> list[int]:
    return [number for number in value if isinstance(number, int)] if isinstance(value, list) else []


def leading_system(groups: Sequence[Group]) -> list[Group]:
    """Return the system groups at the start."""
    leading = []
    for group in groups:
        if not group.is_system:
            break
        leading.append(group)
    return leading


def turn_start(groups: Sequence[Group], end: int) -> int:
    """Return the index at which the turn starts whose last group is at ``end - 1``.

    A turn starts with a user message, or with the system messages right before it. Groups before the first user
    message form a turn of their own.
    """
    start = end - 1
    while start > 0 and not groups[start].is_user:
        start -= 1
    while start > 0 and groups[start - 1].is_system:
        start -= 1
    return max(start, 0)


@dataclass(frozen=True, slots=True)
class Selection:
    """The groups to send: a few earlier ones, ``apart``, plus all of ``groups`` from the index ``start`` on."""

    groups: Groups
    apart: tuple[Group, ...]
    start: int

    def __len__(self) -> int:
        return len(self.apart) + len(self.groups) - self.start

    def __iter__(self) -> Iterator[Group]:
        return chain(self.apart, self.groups[self.start :])

    def __reversed__(self) -> Iterator[Group]:
        return chain(islice(reversed(self.groups), len(self.groups) - self.start), reversed(self.apart))

    @property
    def first(self) -> Group:
        """The oldest group; the selection must not be empty."""
        return self.apart[0] if self.apart else self.groups[self.start]

    def newest(self) -> list[Group]:
        """Return the last group in a list, which is empty if the selection is."""
        return self.groups[-1:] if self.start < len(self.groups) else [*self.apart[-1:]]

    def before(self, seq: int) -> Iterator[Group]:
        """Yield the groups before ``seq``, oldest first."""
        yield from (group for group in self.apart if group.seq < seq)
        for place in range(self.start, self.groups.place(seq)):
            yield self.groups[place]

    def staying(self) -> list[Group]:
        """Return the user and system messages, oldest first."""
        apart = [group for group in self.apart if group.stays]
        return apart + [self.groups[place] for place in self.groups.staying(self.start, len(self.groups))]

    def newest_turn(self) -> "Selection":
        """Return the newest turn; see ``turn_start``."""
        end = len(self.groups)
        start = self.groups.turn_start(self.start, end)
        if start > self.start or not self.apart:
            return Selection(self.groups, (), start)
        index = len(self.apart)
        if self.groups.question(start, end) is None:
            index = turn_start(self.apart, index)
        else:
            while index > 0 and self.apart[index - 1].is_system:
                index -= 1
        return Selection(self.groups, self.apart[index:], start)

    def since(self, seq: int, but: Iterable[Group]) -> "Selection":
        """Return a selection without the groups before ``seq``, except for those in ``but``."""
        stay = [group for group in but if group.seq < seq]
        stay += [group for group in self.apart if group.seq >= seq]
        stay.sort(key=lambda group: group.seq)
        return Selection(self.groups, tuple(stay), max(self.start, self.groups.place(seq)))


def after_cut(groups: Groups, first_kept: int) -> Selection:
    """Return the conversation from ``first_kept`` on. A cut inside a turn keeps its user and system messages."""
    leading = len(leading_system(groups))
    start = max(leading, groups.place(first_kept))
    after = start
    while after < len(groups) and groups[after].is_system:
        after += 1
    if start == leading or after == len(groups) or groups[after].is_user:
        return Selection(groups, (), start)
    places = groups.staying(groups.turn_start(leading, start), start)
    return Selection(groups, tuple(groups[place] for place in places), start)


def with_pins(selection: Selection, pinned: Collection[Group]) -> Selection:
    """Return ``selection`` with the ``pinned`` groups of the same conversation added, in order."""
    start = selection.groups[selection.start].seq if selection.start < len(selection.groups) else None
    apart = {group.seq: group for group in (*selection.apart, *pinned) if start is None or group.seq < start}
    return Selection(selection.groups, tuple(apart[seq] for seq in sorted(apart)), selection.start)
