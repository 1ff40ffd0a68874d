"""The toolbar: a line below the prompt about agent, context window, model, cost, session and store."""

import shutil

from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.utils import get_cwidth
from swarmchat.cli.terminal.sanitize import one_line
from swarmchat.swarm.session.session import Session

_GAP = "   "


def toolbar(
    session: Session, backend: str, *, queued: int = 0, mode: str = "", cost: float | None = None
) -> StyleAndTextTuples:
    """Return the parts of the toolbar, from the left as many as fit into one line of the terminal.

    ``queued`` is the number of queued messages, ``mode`` the mode of the vi keys, ``cost`` in dollars.
    """
    used, available = session.fill
    share = used / available
    parts = [
        ("", " ‹ ".join(one_line(name, 30) for name in (session.agent.name, *reversed(session.navigation.stack)))),
        (f"class:fill.{_level(share)}", f"{used:,} / {available:,} tokens {share:.0%}"),
        ("class:queued", f"{queued} queued" if queued else ""),
        ("", f"vi: {mode}" if mode else ""),
        ("", one_line(session.model.name, 40)),
        ("", "" if cost is None else f"${cost:.4f}"),
        ("", one_line(session.info.name, 30)),
        ("", backend),
    ]
    return _fitting([part for part in parts if part[1]], shutil.get_terminal_size().columns)


def _level(share: float) -> str:
    return "low" if share < 0.5 else "middle" if share < 0.85 else "high"


def _fitting(parts: list[tuple[str, str]], columns: int) -> StyleAndTextTuples:
    """Return the first ``parts`` that fit; a single one that does not is cut."""
    while len(parts) > 1 and get_cwidth(" " + _GAP.join(text for _, text in parts)) > columns:
        parts.pop()
    style, first = parts[0]
    if get_cwidth(first) + 1 > columns:
        while first and get_cwidth(first) + 2 > columns:
            first = first[:-1]
        parts[0] = (style, first + "…" if columns > 1 else "")
    fragments: StyleAndTextTuples = [("", " "), parts[0]]
    for part in parts[1:]:
        fragments += [("", _GAP), part]
    return fragments
