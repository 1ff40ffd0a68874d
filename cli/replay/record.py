"""Record a handwritten conversation: run it with a model, and write the answers and results into its file."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from swarmchat.cli.errors import UsageError
from swarmchat.swarm.errors import TranscriptError
from swarmchat.swarm.replay.files import RecordedConversation
from swarmchat.swarm.replay.judging import judged_key, rubrics_in
from swarmchat.swarm.replay.log_update import write_whole
from swarmchat.swarm.replay.parameters import distinctive, literal
from swarmchat.swarm.replay.runner import Replayed
from swarmchat.swarm.replay.script import split_actions
from swarmchat.swarm.replay.steps import Step, answer_steps
from swarmchat.swarm.replay.writing import record_answers


def check_recordable(
    path: Path, conversations: Sequence[RecordedConversation], selected: Sequence[RecordedConversation]
) -> None:
    """Raise UsageError unless the selected conversations can be recorded, and TranscriptError for the file's form."""
    for conversation in selected:
        rows = [sum(each.number == conversation.number for each in some) for some in (conversations, selected)]
        if rows[0] > rows[1]:
            problem = f"{rows[1]} of the {rows[0]} rows of its parameters are selected: --record writes all of them"
            raise UsageError(f"{path}, {conversation.name}: {problem}")
        if not conversation.by_hand:
            raise UsageError(f"{path}, {conversation.name}: it is recorded already; --record is for handwritten files")
        table = conversation.about.get("parameters")
        if table and distinctive(conversation.row, table) is None:
            problem = "another row of its parameters is the same: each row has answers of its own, so remove one"
            raise UsageError(f"{path}, {conversation.name}: {problem}")
    # Answers cost money: do not ask if they cannot be written.
    record_answers(_read(path), path, {})


def write_recording(path: Path, replayed: Sequence[Replayed], conversations: Sequence[RecordedConversation]) -> int:
    """Write the results of the replays into their file; return the number of turns. Raises TranscriptError.

    If some rows of the ``conversations`` are missing, as a model failed, the others of the same table are not written.
    """
    by_number = {number: list(rows) for number, rows in groupby(replayed, lambda each: each.conversation.number)}
    rows_of = Counter(conversation.number for conversation in conversations)
    complete = {number: rows for number, rows in by_number.items() if len(rows) == rows_of[number]}
    write_whole(path, record_answers(_read(path), path, {n: list(_turns_of_rows(r)) for n, r in complete.items()}))
    return sum(len(each.turns) for rows in complete.values() for each in rows)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise TranscriptError(f"{path} cannot be read: {error.strerror or error}") from error


def _turns_of_rows(rows: Sequence[Replayed]) -> Iterator[list[Step]]:
    """Yield the steps of each turn; those in which the rows of its parameters differ once for each row."""
    table = rows[0].conversation.about.get("parameters")
    if not table:
        yield from _turns(rows[0])
        return
    for turn in zip(*map(_turns, rows), strict=True):
        same = all(steps == turn[0] for steps in turn)
        written = []
        for row, steps in zip(rows[:1] if same else rows, turn, strict=False):
            when = {} if same else {"when": distinctive(row.conversation.row, table)}
            written += [(kind, {**when, **literal(fields)}) for kind, fields in steps]
        yield written


def _turns(replayed: Replayed) -> Iterator[list[Step]]:
    """Yield the answers and results of each turn, the answers with the verdicts on them."""
    answers = {comparison.now.turn: comparison.now.answer for comparison in replayed.turns}
    for action in split_actions(replayed.records)[1]:
        if action.kind != "ask":
            continue
        steps = [step for step in answer_steps(action.outputs) if step is not None]
        for kind, fields in steps if action.turn in replayed.converted else ():
            if kind == "assistant" and "calls" in fields:
                fields["converted"] = True
        judged = list(_verdicts(replayed, action.turn, answers.get(action.turn, "")))
        last = next((fields for kind, fields in reversed(steps) if kind == "assistant"), None)
        if judged and last is not None:
            last["judged"] = judged
        yield steps


def _verdicts(replayed: Replayed, turn: int, answer: str) -> Iterator[Any]:
    for expectation in replayed.conversation.expectations:
        for rubric in rubrics_in(expectation.fields) if expectation.turn == turn else ():
            if (verdict := replayed.verdicts.get(judged_key(rubric, answer))) is not None:
                yield dict(verdict)
