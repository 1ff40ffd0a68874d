"""Conversations of any length, with their tokens counted as a session counts them."""

from collections.abc import Iterator

from swarmchat.backends import Append, Backend, Put
from swarmchat.swarm import keys
from swarmchat.swarm.index import SessionInfo
from swarmchat.swarm.records import Record
from swarmchat.swarm.tokens import counter_for

MODEL = "gpt-4o"
CLIENT = "bench"
TIME = "2026-01-02T03:04:05.000Z"
_CHUNK = 1000

_QUESTIONS = (
    "How long does a letter from Lisbon to Oslo take?",
    "Which of the two recipes needs less butter, and by how much?",
    "Explain what a lease is in a store that several processes share.",
)
_ANSWERS = (
    "About four working days, a day less by express. Strikes and holidays in either country add to that.",
    "The second one: 80 g against 120 g. It makes up for it with yoghurt, so the dough is softer and browns later.",
    "A right to write that ends by itself. Whoever holds it renews it; when the holder dies, others need only wait.",
)


def conversation(length: int) -> Iterator[Record]:
    """Yield ``length`` message records: questions and answers in turn."""
    counter = counter_for(MODEL)
    messages = [
        {"role": role, "content": text}
        for question, answer in zip(_QUESTIONS, _ANSWERS, strict=True)
        for role, text in (("user", question), ("assistant", answer))
    ]
    tokens = [{"count": counter.message(message), "encoding": counter.encoding} for message in messages]
    for seq in range(length):
        kind = seq % len(messages)
        data = {"message": messages[kind], "tokens": tokens[kind]}
        yield Record(messages[kind]["role"], seq, seq // 2 + 1, TIME, "assistant", data)


async def store(backend: Backend, name: str, length: int, *, kept: int | None = None) -> None:
    """Store a session of ``length`` records; with ``kept``, the last one cuts all but so many messages off."""
    records = list(conversation(length if kept is None else length - 1))
    if kept is not None:
        cut = {"first_kept": len(records) - kept, "window": 10**9, "tokens_before": 0, "tokens_after": 0}
        records.append(Record("rotate", len(records), records[-1].turn, TIME, "assistant", cut))
    key = keys.session_log(CLIENT, name)
    for start in range(0, len(records), _CHUNK):
        await backend.commit(Append(key, tuple(record.line for record in records[start : start + _CHUNK])))
    info = SessionInfo(name, name, CLIENT, TIME, TIME, model=MODEL, turns=records[-1].turn)
    put = info.put(None)
    await backend.commit(Put(put.key, put.value))
