"""Results as tables: printed while a benchmark runs, and kept for the page."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from benchmarks.timing import Measured


@dataclass(frozen=True)
class Aim:
    """A figure that is to stay below another one."""

    what: str
    measured: float
    limit: float
    unit: str = "×"

    @property
    def held(self) -> bool:
        """Whether it does, at the precision that is shown."""
        return round(self.measured, 2) <= self.limit

    @property
    def row(self) -> tuple[str, ...]:
        """The figure as a row: what, limit, measured, and whether it is held."""
        return self.what, f"{self.limit:g} {self.unit}", f"{self.measured:.2f} {self.unit}", _verdict(self)


@dataclass(frozen=True)
class Table:
    """Some rows under a head, with what they say in ``about`` and the aims among their figures."""

    title: str
    head: tuple[str, ...]
    rows: list[tuple[str, ...]]
    about: str = ""
    aims: list[Aim] = field(default_factory=list)

    @property
    def markdown(self) -> str:
        """The table as a section of a page."""
        lines = [f"### {self.title}", ""]
        if self.about:
            lines += [self.about, ""]
        return "\n".join([*lines, *markdown_rows(self.head, self.rows)])

    @property
    def text(self) -> str:
        """The table for a terminal, its aims below it."""
        widths = [max(len(row[column]) for row in (self.head, *self.rows)) for column in range(len(self.head))]
        lines = ["  ".join(map(_pad, row, widths, range(len(widths)))) for row in (self.head, *self.rows)]
        aims = [f"  {aim.what}: {aim.row[2]}, aim {aim.row[1]}: {aim.row[3]}" for aim in self.aims]
        return "\n".join(["", self.title, *(line.rstrip() for line in lines), *aims])

    @property
    def json(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """Return the table that ``json`` gave."""
        rows = [tuple(row) for row in value["rows"]]
        aims = [Aim(**aim) for aim in value["aims"]]
        return cls(value["title"], tuple(value["head"]), rows, value["about"], aims)


def times_table(
    title: str,
    measured: Mapping[str, Measured],
    base: str,
    *,
    about: str = "",
    aims: Mapping[str, float] | None = None,
    unit: str = "ms",
) -> Table:
    """Return a table of times and of their ratios to ``base``; ``aims`` gives some variants a greatest ratio.

    Of what is measured in ``MB``, it is a table of sizes.
    A ratio is the median over the rounds, each compared with the same round of ``base``: what slows the machine for a
    while slows both.
    """
    factor = {"ms": 1e3, "µs": 1e6, "s": 1, "MB": 1}[unit]
    head = ("", f"best {unit}", f"p50 {unit}", f"p95 {unit}", f"× {base}")
    rows = []
    for name, one in measured.items():
        figures = [f"{value * factor:,.2f}" for value in (one.best, one.p50, one.p95)]
        rows.append((name, *figures, _ratio(one, measured[base])))
    reached = [
        Aim(f"{title}: {name}", measured[name].ratio(measured[base]), limit)
        for name, limit in (aims or {}).items()
        if name in measured
    ]
    return Table(title, head, rows, about, reached)


def markdown_rows(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table: the first column to the left, the others to the right."""
    line = ["---", *["---:"] * (len(head) - 1)]
    return [f"| {' | '.join(row)} |" for row in (head, line, *rows)]


def _ratio(one: Measured, base: Measured) -> str:
    ratio = one.ratio(base)
    return f"{ratio:,.0f}" if ratio >= 100 else f"{ratio:.2f}"


def _verdict(aim: Aim) -> str:
    return "held" if aim.held else "**missed**"


def _pad(cell: str, width: int, column: int) -> str:
    return cell.rjust(width) if column else cell.ljust(width)
