"""What of a log is not sent now, and why."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from swarmchat.swarm.context.builder import RequestContext
from swarmchat.swarm.persistence.log_reader import hidden_turns, read_records
from swarmchat.swarm.persistence.records import MESSAGE_TYPES, Record
from swarmchat.swarm.session.session import Session


@dataclass
class LeftOut:
    """Messages that are not sent for one reason."""

    why: str
    messages: int = 0
    turns: dict[int, None] = field(default_factory=dict)


async def left_out(session: Session, context: RequestContext) -> list[LeftOut]:
    """Return what the next request of ``session`` leaves out, by reason."""
    records = [record async for record in read_records(session.backend, session.info)]
    sent = {part.record.seq for group in context.kept for part in group.parts() if part.record is not None}
    sent |= {group.seq for group in context.conversation}
    reasons: dict[str, LeftOut] = {}
    for record, why in _not_sent(session, context, records, sent):
        found = reasons.setdefault(why, LeftOut(why))
        found.messages += 1
        found.turns[record.turn] = None
    return list(reasons.values())


def _not_sent(
    session: Session, context: RequestContext, records: Sequence[Record], sent: set[int]
) -> Iterator[tuple[Record, str]]:
    hidden, agent = hidden_turns(records), session.agent.name
    visible = [record for record in records if record.turn not in hidden]
    resets = [each for each in visible if each.type == "reset" and each.agent in (None, agent)]
    reset = resets[-1].seq if resets else -1
    summary = session.conversation.retained.summaries.get(agent)
    summed_up = next((int(each.data.get("first_kept", 0)) for each in visible if each.seq == summary), 0)
    cut = max([session.conversation.first_kept, context.rotation.first_kept if context.rotation else 0])
    calls_sent = False
    for record in records:
        if record.type == "assistant":
            calls_sent = record.seq in sent
        if record.type in ("policy", "unsent") and record.turn not in hidden and "text" in record.data:
            yield record, "refused by a policy, or stopped before any"
        if record.type not in MESSAGE_TYPES or record.seq in sent or (record.type == "tool" and calls_sent):
            continue
        foreign = record.agent not in (None, agent)
        if record.turn in hidden:
            yield record, "undone"
        elif record.seq < reset:
            yield record, f"before the reset in record {reset}"
        elif foreign and (record.type == "tool" or not record.message.get("content")):
            yield record, "calls of other agents, with their results"
        elif record.seq in context.crowded_out:
            yield record, "pinned, but there is no room for them"
        elif record.seq < summed_up:
            yield record, f"summed up in record {summary}"
        elif record.seq < cut:
            yield record, f"cut by rotation: no room before record {cut}"
        else:
            yield record, "nothing in them that could be sent"
