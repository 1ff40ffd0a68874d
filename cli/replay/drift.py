"""Compare the turns of another model with the recorded ones, for ``replay --mode live``."""

from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import Any

from swarmchat.cli.terminal.sanitize import one_line
from swarmchat.swarm.replay.expectations import TurnComparison, TurnOutcome

_SIMILAR = 0.6
"""Share of equal words from which two answers count as similar."""
_COLUMNS = ("turn", "agent", "handoffs", "tools", "rescues", "tokens", "answer")
_WIDEST = 34


def drift_rows(turns: Sequence[TurnComparison]) -> list[dict[str, Any]]:
    """Return the recorded and the new outcome of each turn, and how much alike the answers are."""
    return [
        {
            "turn": comparison.then.turn,
            "recorded": _about(comparison.then),
            "now": _about(comparison.now),
            "answer": _likeness(comparison.then.answer, comparison.now.answer),
        }
        for comparison in turns
    ]


def drift_lines(turns: Sequence[TurnComparison]) -> Iterator[str]:
    """Yield a table with one turn a line; a cell that changed shows both values."""
    rows = [_COLUMNS, *(tuple(_cells(row)) for row in drift_rows(turns))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    for row in rows:
        yield "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def drift_summary(conversations: Sequence[Sequence[dict[str, Any]]]) -> str:
    """Return one line that says how many turns went as recorded."""
    rows = [row for conversation in conversations for row in conversation]
    alike = {name: sum(row["recorded"][name] == row["now"][name] for row in rows) for name in ("agent", "tools")}
    answers = Counter(row["answer"] for row in rows)
    counts = ", ".join(f"{answers[kind]} {kind}" for kind in ("same", "similar", "different") if answers[kind])
    before, after = (sum(row[when]["tokens"] for row in rows) for when in ("recorded", "now"))
    return (
        f"the same agent in {alike['agent']} of {len(rows)}, the same tools in {alike['tools']}; "
        f"answers: {counts or 'none'}; tokens {before:,} -> {after:,}"
    )


def _about(outcome: TurnOutcome) -> dict[str, Any]:
    return {
        "agent": outcome.agent,
        "handoffs": outcome.handoffs,
        "tools": [name for name, _ in outcome.calls],
        "rescues": len(outcome.rescues),
        "tokens": outcome.tokens,
        "answer": outcome.answer,
    }


def _cells(row: dict[str, Any]) -> Iterator[str]:
    yield str(row["turn"])
    for name in ("agent", "handoffs", "tools", "rescues", "tokens"):
        then, now = (_cell(row[when][name]) for when in ("recorded", "now"))
        yield one_line(then if then == now else f"{then} -> {now}", _WIDEST)
    yield row["answer"]


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value)) or "-"
    return f"{value:,}" if isinstance(value, int) else str(value or "-")


def _likeness(then: str, now: str) -> str:
    old, new = then.split(), now.split()
    if old == new:
        return "same"
    return "similar" if SequenceMatcher(None, old, new, autojunk=False).ratio() >= _SIMILAR else "different"
