"""Record a handwritten conversation: run it with a model, and write the answers and results into its file."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from swarmchat.cli.errors import UsageError
from swarmchat.swarm.errors import TranscriptError
from swarmchat.swarm.replay.files import RecordedConversation
from swarmchat.swarm.replay.judging import judged_key
from swarmchat.swarm.replay.runner import Replayed
from swarmchat.swarm.replay.script import split_actions
from swarmchat.swarm.replay.steps import Step, answer_steps
from swarmchat.swarm.replay.update import write_whole
from swarmchat.swarm.replay.writing import record_answers


def check_recordable(
    path: Path, conversations: Sequence[RecordedConversation], selected: Sequence[RecordedConversation]
) -> None:
    """Raise UsageError unless all conversations in a file are selected and can be recorded."""
    if len(selected) < len(conversations):
        raise UsageError(f"--record writes all of {path}: select all of its conversations, or none")
    for conversation in conversations:
        if not conversation.by_hand:
            raise UsageError(f"{path}, {conversation.name}: it is recorded already; --record is for handwritten files")
        if "parameters" in conversation.about:
            problem = "each row of its parameters has answers of its own: write them out as several conversations"
            raise UsageError(f"{path}, {conversation.name}: {problem}")


def write_recording(path: Path, replayed: Sequence[Replayed]) -> int:
    """Write what came of the replays into their file; return the number of turns. Raises TranscriptError."""
    turns = [list(_turns(each)) for each in replayed]
    try:
        data = path.read_bytes()
    except OSError as error:
        raise TranscriptError(f"{path} cannot be read: {error.strerror or error}") from error
    write_whole(path, record_answers(data, path, turns))
    return sum(map(len, turns))


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
        rubrics = expectation.fields.get("judge", ()) if expectation.turn == turn else ()
        for rubric in [rubrics] if isinstance(rubrics, str) else rubrics:
            if (verdict := replayed.verdicts.get(judged_key(rubric, answer))) is not None:
                yield dict(verdict)
