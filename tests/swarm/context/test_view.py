"""A cut looks at what it keeps, and at nothing behind it; what comes out is what the rules say of the whole."""

from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from naive_context import naive_cut
from notation import WordCounter, message_of, records_of
from swarmchat.swarm.context.builder import Budget, build_context
from swarmchat.swarm.context.groups import Group, GroupBuilder, Groups, Part
from swarmchat.swarm.errors import OverBudget

WORDS = "S U U U[5] A A A[20] A{a} T:a T:a[9] A{a,b} T:b S[3]".split()
LOGS = st.lists(st.sampled_from(WORDS), min_size=8, max_size=40).map(" ".join)
SPANS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 6)).map(lambda span: (span[0], sum(span))), max_size=3)
SUMMARY = [
    Group(Part({"role": "user", "content": "what was said"}, None), 10**6),
    Group(Part({"role": "assistant", "content": "yes"}, None), 10**6),
]


@given(
    LOGS,
    st.integers(15, 90),
    st.sampled_from([(1.0, 1.0), (0.9, 0.7), (0.6, 0.2)]),
    st.integers(0, 20),
    SPANS,
    st.booleans(),
)
def test_what_is_sent_is_what_the_rules_say_of_the_whole_log(log, window, marks, first_kept, pinned, summed_up):
    groups = GroupBuilder(records=records_of(log)).groups
    budget = Budget(window, high=marks[0], low=marks[1])
    summary = SUMMARY if summed_up else []
    naive = naive_cut([*groups], WordCounter(), budget, first_kept, pinned, summary)
    try:
        context = build_context(
            groups, counter=WordCounter(), budget=budget, first_kept=first_kept, pinned=pinned, summary=summary
        )
    except OverBudget:
        assert naive["tokens"] > window
        return
    cut = context.rotation
    assert [group.seq for group in context.groups] == naive["sent"]
    assert context.shortened or context.tokens == naive["tokens"]
    assert set(context.crowded_out) == naive["crowded_out"]
    recorded = cut and (cut.first_kept, cut.tokens_before, cut.tokens_after, [*cut.dropped])
    assert recorded == naive["rotation"]


class Watched(Groups):
    """Groups that count how often one of them is handed out."""

    seen = 0

    def __getitem__(self, place):
        item = super().__getitem__(place)
        self.seen += len(item) if isinstance(place, slice) else 1
        return item

    def __iter__(self) -> Iterator[Group]:
        return self._counted(super().__iter__())

    def __reversed__(self) -> Iterator[Group]:
        return self._counted(super().__reversed__())

    def _counted(self, groups: Iterator[Group]) -> Iterator[Group]:
        for group in groups:
            self.seen += 1
            yield group


class Counting(WordCounter):
    """Counts the messages that it counts."""

    messages = 0

    def message(self, message, *, parallel=False):
        self.messages += 1
        return super().message(message, parallel=parallel)


LONG = {
    "questions and answers": ("S", "U A A{a} T:a", {}),
    "one turn with many calls": ("S U A U", "A{a} T:a", {}),
    "after a cut": ("S", "U A", {"first_kept": 50}),
    "a cut inside a turn": ("S", "U A A A A", {"first_kept": 54}),
    "pins": ("S", "U A", {"pinned": [(3, 6), (11, 12)]}),
    "no question": ("S", "A", {}),
}


def looks(groups: Iterable[Group], **options: object) -> tuple[int, int]:
    """Return how many groups a cut to 100 words looks at, and how many messages it counts."""
    watched, counter = Watched(groups), Counting()
    context = build_context(watched, counter=counter, budget=Budget(100), **options)
    assert context.rotation
    assert 50 < context.tokens <= 100
    # What is sent, 70 words, is looked at a few times; what fits into the window, 100 words, is counted.
    assert watched.seen < 600
    assert counter.messages < 150
    return watched.seen, counter.messages


@pytest.mark.parametrize(("first", "again", "options"), LONG.values(), ids=LONG.keys())
def test_a_cut_looks_at_no_more_of_a_long_log_than_of_a_short_one(first, again, options):
    def groups(times: int) -> Groups:
        return GroupBuilder(records=records_of(f"{first} {f'{again} ' * times}")).groups

    assert looks(groups(2_000), **options) == looks(groups(200), **options)


def test_a_cut_of_100_000_messages():
    question, answer = (Part(message_of(word), None) for word in "UA")
    looks(Group(answer if seq % 2 else question, seq) for seq in range(100_000))
