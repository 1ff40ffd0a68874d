"""Accept the changes that replays found: write them into the files, once the user agrees."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from swarmchat.cli.errors import UsageError
from swarmchat.cli.replay.report import Report
from swarmchat.cli.terminal.confirmation import can_confirm, confirm
from swarmchat.cli.terminal.printing import as_line
from swarmchat.swarm.errors import TranscriptError
from swarmchat.swarm.replay.compare import Difference, compare_logs
from swarmchat.swarm.replay.consequences import causes_first
from swarmchat.swarm.replay.files import RecordedConversation
from swarmchat.swarm.replay.handwritten_update import update_results
from swarmchat.swarm.replay.log_update import updated_lines, write_whole
from swarmchat.swarm.replay.runner import Replayed


def check_updatable(
    path: Path, conversations: Sequence[RecordedConversation], selected: Sequence[RecordedConversation], mode: str
) -> None:
    """Raise UsageError unless all conversations in a file are selected and can be updated in ``mode``."""
    if len(selected) < len(conversations):
        raise UsageError(f"--update writes all of {path}: select all of its conversations, or none")
    if any(each.by_hand for each in conversations):
        if mode != "tools":
            raise UsageError(f"{path} was written by hand: --update writes the results of tools, with --mode tools")
    elif not all(each.whole for each in conversations):
        raise UsageError(f"{path} comes from another program: --update can write only logs and handwritten tests")


async def update_file(path: Path, replayed: Sequence[Replayed], report: Report, *, yes: bool) -> None:
    """Write the changes that replays of a file found into it, unless the user declines. Raises TranscriptError."""
    by_hand = any(each.conversation.by_hand for each in replayed)
    old = _read(path)
    if by_hand:
        results = [[change for change in each.differences if _is_new_result(change)] for each in replayed]
        changes = [change for each in results for change in each]
        rows = zip(replayed, results, strict=True)
        by_number = groupby(rows, lambda pair: pair[0].conversation.number)
        new, accepted = update_results(
            old,
            path,
            [[(each.conversation.row, list(new_results)) for each, new_results in pairs] for _, pairs in by_number],
        )
        if accepted < len(changes):
            report.add_refusal(path, "it has a result that cannot be edited, such as one with ${…}: change it by hand")
            return
    else:
        new = b"".join(line + b"\n" for each in replayed for line in updated_lines(each))
        changes = [change for each in replayed for change in _changes_of_log(each)]
    if (changed := _changed_lines(old, new)) == 0:
        report.add_update(path, 0, 0)
        return
    report.add_changes(path, changes)
    if reason := await _refusal(path, changes, yes):
        report.add_refusal(path, reason)
        return
    write_whole(path, new)
    report.add_update(path, changed, len(_lines(new)))


def _is_new_result(change: Difference) -> bool:
    """Whether a tool returned another result, rather than that its call does not fit."""
    return change.type == "result" and not change.follows


def _changes_of_log(replayed: Replayed) -> Iterator[Difference]:
    yield from causes_first(compare_logs(replayed.conversation.records, replayed.records))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise TranscriptError(f"{path} cannot be read: {error.strerror or error}") from error


def _lines(data: bytes) -> list[bytes]:
    return [line.rstrip(b"\r") for line in data.split(b"\n") if line.strip()]


def _changed_lines(before: bytes, after: bytes) -> int:
    old, new = _lines(before), _lines(after)
    return sum(then != now for then, now in zip(old, new, strict=False)) + abs(len(old) - len(new))


async def _refusal(path: Path, changes: Sequence[Difference], yes: bool) -> str:
    """Ask whether to accept ``changes`` if any is breaking; return why not, empty if they are accepted."""
    if yes or not any(change.breaking for change in changes):
        return ""
    if not can_confirm():
        return "the conversation takes another course, and --update cannot ask without a terminal: pass --yes"
    return "" if await confirm(f"Write these changes into {as_line(str(path))}?") else "the changes were declined"
