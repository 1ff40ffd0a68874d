"""The table of a live replay: how each model differs from the recording, with pass rate, cost and time."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from swarmchat.cli.replay.result import Case, ModelUse, total_dollars
from swarmchat.cli.terminal.sanitize import one_line

_COMPARED = ("agent", "handoffs", "tools", "rescues")
_CELL_WIDTH = 34

Row = tuple[str, ...]


def comparison_rows(cases: Sequence[Case]) -> list[Row]:
    """Return a table of one conversation with several models: a row for each field of a turn that differs.

    The first row is the head: turn, field, recorded value, and the name of each model.
    """
    rows: list[Row] = [("turn", "", "recorded", *(one_line(case.model, _CELL_WIDTH) for case in cases))]
    for number, turn in enumerate(cases[0].results[0].drift):
        for name in _COMPARED:
            # What a hand-written turn does not tell: then the models are compared with each other.
            values = [Counter(_text(run.drift[number]["now"][name]) for run in case.results) for case in cases]
            recorded = _text(turn["recorded"][name])
            expected = recorded if turn["recorded"][name] is not None else next(iter(values[0]))
            if any(set(count) != {expected} for count in values):
                rows.append((str(turn["turn"]), name, recorded, *map(_cell, values)))
        answers = [Counter(run.drift[number]["answer"] for run in case.results) for case in cases]
        if any(count.keys() - {"same", "new"} for count in answers):
            rows.append((str(turn["turn"]), "answer", "", *map(_cell, answers)))
    return rows


def case_totals(cases: Sequence[Case]) -> list[Row]:
    """Return the last rows of the table of one conversation: pass rate, tokens, cost and time of each model."""
    return [("", *row) for row in _totals([[case] for case in cases])]


def total_rows(cases: Sequence[Case]) -> list[Row]:
    """Return a table of all conversations together, with a column for each model."""
    by_model: dict[str, list[Case]] = {}
    for case in cases:
        by_model.setdefault(case.model, []).append(case)
    head = ("all conversations", "recorded", *(one_line(model, _CELL_WIDTH) for model in by_model))
    met = [f"{sum(case.same for case in each)} of {len(each)}" for each in by_model.values()]
    return [head, ("conversations passed", "", *met), *_totals(list(by_model.values()))]


def aligned(rows: Sequence[Row]) -> Iterator[str]:
    """Yield the rows as lines with aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def inline_markdown(text: str) -> str:
    """Return ``text`` for a line of Markdown: without line breaks and HTML."""
    return " ".join(text.replace("&", "&amp;").replace("<", "&lt;").split())


def as_markdown(rows: Sequence[Row]) -> list[str]:
    """Return the rows as a Markdown table."""
    lines = ["| " + " | ".join(inline_markdown(cell).replace("|", "\\|") for cell in row) + " |" for row in rows]
    return [lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]]


def _totals(columns: Sequence[Sequence[Case]]) -> Iterator[Row]:
    """Yield rows that sum up the cases of each column."""
    runs = [[run for case in cases for run in case.results] for cases in columns]
    uses = [[use for case in cases for use in case.uses] for cases in columns]
    drifts = [[turn for run in each for turn in run.drift] for each in runs]
    yield "passed", "", *(_share(sum(run.replayed.same for run in each), len(each)) for each in runs)
    for name in ("agent", "tools"):
        known = [[turn for turn in drift if turn["recorded"][name] is not None] for drift in drifts]
        if known[0]:
            equal = [sum(turn["recorded"][name] == turn["now"][name] for turn in drift) for drift in known]
            yield f"same {name}", "", *map(_share, equal, map(len, known))
    repeats = len(columns[0][0].results)
    before, after = (
        [_number(round(sum(turn[when]["tokens"] for turn in drift) / repeats)) for drift in drifts]
        for when in ("recorded", "now")
    )
    yield "request tokens", before[0], *after
    yield "billed tokens", "", *(_number(sum(use.tokens for use in each)) for each in uses)
    yield "cost", "", *map(_cost, uses)
    yield "time", "", *(f"{sum(use.seconds for use in each):.1f} s" for each in uses)


def _number(value: int) -> str:
    return f"{value:,}" if value else "-"


def _cost(uses: Sequence[ModelUse]) -> str:
    cost = total_dollars(uses)
    return "-" if cost is None else f"${cost:.4f}"


def _share(count: int, total: int) -> str:
    return f"{count} of {total}" + (f" ({count / total:.0%})" if total > 1 else "")


def _cell(counts: Counter[str]) -> str:
    if len(counts) == 1:
        return one_line(next(iter(counts)), _CELL_WIDTH)
    return one_line(", ".join(f"{text} ×{count}" for text, count in counts.most_common()), _CELL_WIDTH)


def _text(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value)) or "-"
    return str(value or "-")
