"""Conversations of any length, with their tokens counted as a session counts them."""

from collections.abc import Iterator

from swarmchat.backends import Append, Backend, Put
from swarmchat.swarm import Record, SessionInfo, counter_for
from swarmchat.swarm.persistence import keys

MODEL = "gpt-4o"
CLIENT = "bench"
TIME = "2026-01-02T03:04:05.000Z"
_CHUNK = 1000

# As long as those of real chats mostly are: questions of 150 bytes, answers of 330.
_QUESTIONS = (
    "How long does a letter from Lisbon to Oslo take at this time of the year, and does it help to pay for the"
    " express service or to use a parcel?",
    "Which of the two recipes that I sent you yesterday needs less butter, by how much, and would I notice the"
    " difference when I bake it in a tin?",
    "Explain to me what a lease is in a store that several processes share, and why it is given to one of them"
    " for some seconds only and not for good.",
)
_ANSWERS = (
    "About four working days, a day less by express. Strikes and holidays in either country add to that, and so"
    " does customs when there is more in it than paper. A parcel goes by another way and takes six to eight days,"
    " but can be followed on its way. For a document that must arrive on a given day I would take express, and"
    " send it on a Monday.",
    "The second one: 80 g against 120 g. It makes up for it with yoghurt, so the dough is softer and browns a"
    " little later. In a tin you will hardly notice it; on a tray the first one is crisper at its edges. If you"
    " want to keep it for some days, take the first one all the same, as butter keeps a cake moist for longer than"
    " yoghurt does.",
    "A right to write that ends by itself. Whoever holds it renews it before it ends; when the holder dies or is"
    " cut off, others need only wait until it has run out. Given for good, it would have to be taken away by"
    " somebody who can tell a process that died from one that is slow, and over a network nobody can tell that for"
    " certain.",
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
    info = SessionInfo(
        name, name, CLIENT, TIME, TIME, model=MODEL, turns=records[-1].turn, highest_turn=records[-1].turn
    )
    put = info.put(None)
    await backend.commit(Put(put.key, put.value))
