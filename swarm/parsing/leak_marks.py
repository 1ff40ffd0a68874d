"""What the filter of an answer looks for: made once for the names that are offered, and kept."""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from swarmchat.swarm.parsing.formats import CONTROL, HARMONY, OPENERS, THOUGHT_ENDS, THOUGHTS, functionary

_KEPT = 64
# What a line that is a bare call may begin with, besides a name.
_LINE_WORDS = (
    "Action **Action *Action assistant commentary analysis to= json tool_code tool_call function functions tools"
    " default_api namespace print"
).split()
_SEPARATORS = re.compile(r"[\W_]+")
_NAMESPACES = ("", "functions", "function", "tools", "tool", "defaultapi", "namespace")


class Marks(NamedTuple):
    """The patterns for one offer."""

    openers: dict[str, str]
    """Marks that open a frame of calls, with the names of their formats; nothing without an offer."""
    any: "re.Pattern[str]"
    """Any mark."""
    beginnings: frozenset[str]
    """Every text that a mark begins with."""
    heads: frozenset[str]
    """The first characters of all marks."""
    line: "re.Pattern[str]"
    """The white space before what may be a bare call or a code fence, at the beginning of a line."""
    interest: "re.Pattern[str]"
    """The next mark, or line that may be a bare call (the group ``line``)."""
    plain: frozenset[str]
    """The names on offer without separators, also in namespaces."""


@lru_cache(_KEPT)
def marks_for(names: tuple[str, ...]) -> Marks:
    """Return what to look for while tools with these names are offered."""
    openers = {**OPENERS, **{functionary(name): "Functionary" for name in names if name != "all"}} if names else {}
    marks = {*CONTROL, *THOUGHTS, *THOUGHT_ENDS, HARMONY, *openers}
    pattern, line = alternatives(marks), _line_start(names)
    return Marks(
        openers,
        re.compile(pattern),
        beginnings(marks),
        frozenset(mark[0] for mark in marks),
        re.compile(rf"[ \t]*(?={line})"),
        re.compile(rf"(?P<line>\n[ \t]*(?={line}))|{pattern}"),
        frozenset(plain(space + name) for name in names for space in _NAMESPACES),
    )


def plain(name: str) -> str:
    """Return ``name`` without separators, in small letters: what ``Offer.resolve`` forgives."""
    return _SEPARATORS.sub("", name).casefold()


def _line_start(names: tuple[str, ...]) -> str:
    """Return a pattern for the first characters of a line that may be a bare call, or a code fence."""
    if not names:
        return "[`~]"
    pairs: dict[str, set[str]] = {}
    for word in (*_LINE_WORDS, *names):
        letters = word.replace("_", "").replace("-", "")
        for first in {word[:1].lower(), word[:1].upper()}:
            pairs.setdefault(first, set()).update((letters[1:2].lower(), letters[1:2].upper(), "_", ".", "-", "(", ""))
    named = "|".join(
        f"{re.escape(first)}(?:[{re.escape(''.join(sorted(seconds)))}]|\\Z)" for first, seconds in sorted(pairs.items())
    )
    tags = "".join(sorted({re.escape(name[:1]) for name in names}))
    return rf"[`~]|\{{(?=\{{?\s*(?:[\"'“‘\w/#]|\Z))|\[(?=\s*[\w{{]|\s*\Z)|<(?:[{tags}]|\Z)|{named}"


def alternatives(marks: Iterable[str]) -> str:
    """Return a pattern that matches any of ``marks``, none of which begins with another: a tree of their characters."""
    heads: dict[str, list[str]] = {}
    for mark in sorted(set(marks)):
        heads.setdefault(mark[0], []).append(mark[1:])
    branches = [
        re.escape(head) + (alternatives(tails) if len(tails) > 1 else re.escape(tails[0]))
        for head, tails in heads.items()
    ]
    return branches[0] if len(branches) == 1 else f"(?:{'|'.join(branches)})"


def beginnings(marks: Iterable[str]) -> frozenset[str]:
    """Return every text that one of ``marks`` begins with, without the marks themselves."""
    marks = set(marks)
    return frozenset(mark[:length] for mark in marks for length in range(1, len(mark))) - marks
