"""Print the differences of replays: the same change only once, however many requests and files have it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from swarmchat.cli.terminal.printing import count_of
from swarmchat.cli.terminal.sanitize import one_line, sanitize
from swarmchat.cli.terminal.themes import paint
from swarmchat.swarm.replay.compare import Difference
from swarmchat.swarm.replay.consequences import Cause, grouped_causes
from swarmchat.swarm.replay.value_diff import DiffLine

LEVELS = ("no", "line", "short", "long")
"""How much to show of differences: nothing, a line for each conversation, each cause once, or everything."""

_MOST_CAUSES = 5
_MOST_GROUPS = 20
LINE_WIDTH = 400


@dataclass
class Group:
    """One change, in all conversations that have it."""

    first: Difference
    where: str
    """The first conversation that has it."""
    conversations: int = 0


class DifferenceReport:
    """Prints the differences of one conversation after the other, and groups them. ``level`` is one of LEVELS."""

    def __init__(self, level: str, *, colour: bool) -> None:
        self._level = level
        self._colour = colour
        self.groups: dict[Cause, Group] = {}
        """The causes, by their text."""

    def add(self, where: str, differences: Sequence[Difference]) -> None:
        """Group ``differences``, and print the new ones."""
        causes = grouped_causes(differences)
        new = [key for key in causes if key not in self.groups]
        for key, same in causes.items():
            self.groups.setdefault(key, Group(same[0], where)).conversations += 1
        if self._level == "line" and differences:
            more = f" (and {len(differences) - 1:,} more)" if len(differences) > 1 else ""
            self._print(f"{where}: {differences[0]}{more}")
        elif self._level == "long":
            for difference in differences:
                self._print_difference(where, difference, 1)
        elif self._level == "short" and new:
            for key in new[:_MOST_CAUSES]:
                self._print_difference(where, causes[key][0], len(causes[key]))
            self._print_rest(len(new) - _MOST_CAUSES, sum(each.follows for each in differences))

    def summary(self) -> Iterator[str]:
        """Yield a line for each change that was found, the most frequent ones first."""
        groups = sorted(self.groups.values(), key=lambda group: -group.conversations)
        for group in groups[:_MOST_GROUPS]:
            count = count_of(group.conversations, "conversation")
            first = f" (first in {group.where}, turn {group.first.turn})"
            yield one_line(f"{count}: {group.first.kind}{first}", LINE_WIDTH)
        if len(groups) > _MOST_GROUPS:
            yield f"and {count_of(len(groups) - _MOST_GROUPS, 'other change')}"

    def _print_difference(self, where: str, difference: Difference, count: int) -> None:
        more = f" (and {count - 1:,} more in this conversation)" if count > 1 else ""
        self._print(f"{where}: {difference}{more}")
        for line in difference.lines(whole=self._level == "long"):
            print(f"  {self._styled(line)}", flush=True)

    def _print_rest(self, causes: int, consequences: int) -> None:
        rest = [count_of(causes, "other cause")] if causes > 0 else []
        follow = "follows" if consequences == 1 else "follow"
        rest += [f"{consequences:,} that {follow} from it"] if consequences else []
        if rest:
            text = f"  and {', '.join(rest)}: --diff long shows all"
            print(paint("remark", text) if self._colour else text, flush=True)

    def _print(self, line: str) -> None:
        print(one_line(line, LINE_WIDTH), flush=True)

    def _styled(self, line: DiffLine) -> str:
        role = {"-": "deleted", "+": "inserted"}.get(line.sign, "remark")
        pieces = [(f"{line.sign} ", line.sign != " "), *line.pieces]
        return "".join(
            paint(role, sanitize(text)) if changed and self._colour else sanitize(text) for text, changed in pieces
        )
