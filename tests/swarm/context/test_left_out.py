"""Why messages are not sent."""

from dataclasses import replace

import pytest
from notation import TIME, context_of, records_of
from swarmchat.swarm.context.left_out import Reason, left_out
from swarmchat.swarm.context.retained import Retained
from swarmchat.swarm.persistence.records import Record


def reasons(records, sent, budget=99, *, first_kept=0, summaries=None, **options):
    """Return reason, cause, number of messages and turns of what is not sent when ``sent`` are in memory."""
    context = context_of(sent, budget, first_kept=first_kept, **options)
    retained = Retained(summaries=summaries or {})
    groups = left_out(records, context, agent="desk", retained=retained, first_kept=first_kept)
    return [(each.reason, each.cause, each.messages, list(each.turns)) for each in groups]


def test_nothing_is_left_out_of_what_fits():
    records = records_of("S U1 A{a} T:a A1 U2")
    assert reasons(records, records) == []


def test_rotation_names_the_first_record_that_it_keeps():
    records = records_of("S U1 A1 U2 A2 U3")
    assert reasons(records, records, 4) == [(Reason.ROTATED, 3, 2, [1])]


def test_an_earlier_cut_counts_too():
    records = records_of("U1 A1 U2 A2")
    assert reasons(records, records, first_kept=2) == [(Reason.ROTATED, 2, 2, [1])]


def test_undone_turns():
    records = records_of("U1 A1 U2 A2")
    undo = Record("undo", 4, 2, TIME, None, {"from": 2, "to": 2})
    assert reasons([*records, undo], records[:2]) == [(Reason.UNDONE, None, 2, [2])]


@pytest.mark.parametrize(
    ("agent", "expected"),
    [
        (None, [(Reason.RESET, 2, 2, [1])]),
        ("desk", [(Reason.RESET, 2, 2, [1])]),
        ("other", [(Reason.EMPTY, None, 2, [1])]),
    ],
)
def test_a_reset_holds_for_all_agents_or_one(agent, expected):
    before, after = records_of("U1 A1"), [replace(records_of("U2", 3)[0], turn=2)]
    assert reasons([*before, Record("reset", 2, 1, TIME, agent), *after], after) == expected


def test_a_summary_replaces_everything_before_its_first_record():
    before, after = records_of("U1 A1"), [replace(records_of("U2", 2)[0], turn=2)]
    compact = Record("compact", 3, 2, TIME, "desk", {"first_kept": 2})
    assert reasons([*before, *after, compact], after, summaries={"desk": 3}) == [(Reason.COMPACTED, 3, 2, [1])]


def test_calls_of_another_agent_with_their_results():
    records = [replace(each, turn=1, agent="boss") for each in records_of("A{a} T:a", 1)]
    records[0].message["content"] = None
    question = records_of("U1")
    assert reasons([*question, *records], question) == [(Reason.FOREIGN_CALL, None, 2, [1])]


def test_pins_that_take_too_much_room():
    records = records_of("U1[6] A1 U2 A2")
    left_out = reasons(records, records, 8, first_kept=2, pinned=[(0, 1)])
    assert left_out == [(Reason.CROWDED_OUT, None, 2, [1])]


def test_refused_messages_unless_their_turn_is_undone():
    refused = Record("policy", 0, 1, TIME, None, {"text": "no"})
    unsent = Record("unsent", 1, 2, TIME, None, {"text": "stop"})
    silent = Record("policy", 2, 3, TIME, None, {})
    undo = Record("undo", 3, 3, TIME, None, {"from": 2, "to": 2})
    assert reasons([refused, unsent, silent, undo], []) == [(Reason.REFUSED, None, 1, [1])]
