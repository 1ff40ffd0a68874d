"""What is going on in a turn while nothing is printed, in one line."""

from collections.abc import Callable

from swarmchat.cli.terminal.sanitize import one_line

QUIET = 0.3
"""Seconds without output after which it is told."""

_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_FRAME = 0.1
_WAITING = "waiting for the model"


class Activity:
    """Knows what a turn is doing. ``clock`` returns seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._agent = ""
        self._doing = ""
        self._since = self._quiet = 0.0
        self._tools: list[str] = []
        self._held = False
        self.aside: Callable[[], str] = str
        """Returns what is told beside it, and at once: what the user types meanwhile."""

    def begin(self, agent: str) -> None:
        """A turn begins: ``agent`` is to answer."""
        self._tools.clear()
        self.happened(agent)

    def end(self) -> None:
        """Nothing goes on any more."""
        self._doing = ""

    def happened(self, agent: str | None = None) -> None:
        """Something was printed; the model is waited for, or the tools that run."""
        self._agent = agent or self._agent
        self._quiet = self._clock()
        self._do(_running(self._tools) if self._tools else _WAITING, anew=not self._tools)

    def working(self, what: str) -> None:
        """Something else than a turn begins: ``what`` is at work."""
        self._tools.clear()
        self._agent, self._quiet = what, self._clock()
        self._do("at work", anew=True)

    def thinking(self, agent: str) -> None:
        """The model thinks aloud."""
        self._agent = agent
        self._do("thinking")

    def started(self, agent: str, tool: str) -> None:
        """A tool runs."""
        self._agent = agent
        self._tools.append(tool)
        self._do(_running(self._tools))

    def finished(self, tool: str) -> None:
        """It has ended."""
        if tool in self._tools:
            self._tools.remove(tool)

    def hold(self, held: bool) -> None:
        """While ``held`` somebody else has the terminal."""
        self._held = held
        self._quiet = self._clock()

    def note(self) -> str:
        """Return what is to be told now, if anything."""
        now = self._clock()
        if not self._doing or self._held:
            return ""
        aside = self.aside()
        if now - self._quiet < QUIET:
            return aside
        frame = _FRAMES[int(now / _FRAME) % len(_FRAMES)]
        seconds = int(now - self._since)
        took = f" · {seconds} s" if seconds else ""
        going_on = f"{frame} {one_line(self._agent, 30)} · {self._doing}{took}"
        return f"{going_on} · {aside or 'Ctrl-C stops'}"

    @property
    def held(self) -> bool:
        """Whether somebody else has the terminal."""
        return self._held

    def _do(self, doing: str, *, anew: bool = False) -> None:
        if anew or doing != self._doing:
            self._doing, self._since = doing, self._clock()


def _running(tools: list[str]) -> str:
    more = f" and {len(tools) - 1} more" if len(tools) > 1 else ""
    return f"running {one_line(tools[-1], 30)}{more}"
