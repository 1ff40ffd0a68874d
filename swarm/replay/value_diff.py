"""Show where two values differ: the words of a text, the fields of JSON, the tools by their names."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache
from typing import Any

from swarmchat.swarm.common.encoding import decode_json

_TOKENS = re.compile(r"\s+|\w+|[^\w\s]")
_LARGEST_PRODUCT = 4_000_000
"""Words times words from which a changed passage is not compared word by word: it takes time by the square."""
_CONTEXT = 40
"""Characters that are shown before and after a change."""
_WIDE_CONTEXT = 400
_LONGEST = 160
"""Characters of a changed passage that are shown."""
_SHORT = 100
"""Characters of JSON that is shown whole."""
_MOST_LINES = 8
_MOST_IN_A_LINE = 4
"""Changes that share a line if they are close together."""
_MISSING = object()

Span = tuple[int, int, int, int]
"""A changed passage: its start and end in the old text, and in the new one."""


@dataclass(frozen=True, slots=True)
class DiffLine:
    """One line of a diff. ``pieces`` are its texts, each with whether it changed."""

    sign: str
    """``-`` for the old value, ``+`` for the new one, a space for neither."""
    pieces: tuple[tuple[str, bool], ...]

    @property
    def changed(self) -> str:
        """The sign and the texts that changed."""
        return self.sign + "…".join(text for text, changed in self.pieces if changed)

    def __str__(self) -> str:
        return f"{self.sign} {''.join(text for text, _ in self.pieces)}"


def diff_values(old: Any, new: Any, *, tools: bool = False, whole: bool = False) -> list[DiffLine]:
    """Return the lines that show how ``new`` differs from ``old``; with ``whole``, all of them.

    ``tools`` says that the values are lists of tool definitions.
    """
    changes: Iterable[tuple[str, Any, Any]]
    if tools and isinstance(old, list) and isinstance(new, list):
        changes = _tool_changes(old, new)
    else:
        old, new = _decoded(old), _decoded(new)
        texts = [json.dumps(value, ensure_ascii=False) for value in (old, new)]
        short = max(map(len, texts)) <= _SHORT and isinstance(old, list | dict) and isinstance(new, list | dict)
        changes = [("", texts[0], texts[1])] if short and old != new else _changes(old, new, "")
    lines = [line for path, before, after in changes for line in _lines(path, before, after, whole)]
    if whole or len(lines) <= _MOST_LINES:
        return lines
    return [*lines[:_MOST_LINES], DiffLine(" ", ((f"… and {len(lines) - _MOST_LINES:,} more lines", False),))]


def changed_words(old: str, new: str) -> int:
    """Return how many words differ between two texts."""
    return sum(max(len(old[a:b].split()), len(new[c:d].split()), 1) for a, b, c, d in _spans(old, new))


def describe_tools(old: Sequence[Any], new: Sequence[Any]) -> str:
    """Return which tools are gone, new, renamed or changed, in words; empty if none is."""
    before, after = _by_name(old), _by_name(new)
    renamed = _renamed(before, after)
    words = [f"{name} is now {other}" for name, other in renamed.items()]
    words += [f"{name} is gone" for name in before if name not in after and name not in renamed]
    words += [f"{name} is new" for name in after if name not in before and name not in renamed.values()]
    words += [f"{name} has changed" for name in before if name in after and before[name] != after[name]]
    return ", ".join(words) or ("another order" if list(before) != list(after) else "")


def rules_by_name(rules: Sequence[Any]) -> dict[str, Mapping[str, Any]]:
    """Return the rules of agents, tools and operators by their names."""
    known = [each for each in rules if isinstance(each, dict)]
    return {str(each.get("name")): {name: each[name] for name in each if name != "name"} for each in known}


def describe_rules(old: Sequence[Any], new: Sequence[Any]) -> str:
    """Return whose rules differ and which, in words."""
    before, after = rules_by_name(old), rules_by_name(new)
    words = []
    for owner in dict.fromkeys([*before, *after]):
        then, now = before.get(owner, {}), after.get(owner, {})
        names = [name for name in dict.fromkeys([*then, *now]) if then.get(name) != now.get(name)]
        words += [f"{owner} ({', '.join(names)})"] if names else []
    return ", ".join(words)


def _decoded(value: Any) -> Any:
    """Return the value of a text that is a JSON object or list, such as a tool's result."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return decode_json(value)
        except ValueError:
            return value
    return value


def _changes(old: Any, new: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    """Yield the paths at which two values differ, with what stands there."""
    if old == new and type(old) is type(new):
        return
    if isinstance(old, dict) and isinstance(new, dict):
        for name in dict.fromkeys([*old, *new]):
            inner = f"{path}.{name}" if path else str(name)
            yield from _changes(old.get(name, _MISSING), new.get(name, _MISSING), inner)
    elif isinstance(old, list) and isinstance(new, list):
        for i, j in _aligned(old, new):
            inner = f"{path}[{j if i is None else i}]"
            yield from _changes(_MISSING if i is None else old[i], _MISSING if j is None else new[j], inner)
    else:
        yield path, old, new


def _aligned(old: Sequence[Any], new: Sequence[Any]) -> Iterator[tuple[int | None, int | None]]:
    """Yield the positions of entries that correspond to each other; ``None`` for one without a partner."""
    if len(old) == len(new) or len(old) * len(new) > _LARGEST_PRODUCT:
        common = min(len(old), len(new))
        yield from ((i, i) for i in range(common))
        yield from ((i, None) for i in range(common, len(old)))
        yield from ((None, j) for j in range(common, len(new)))
        return
    before, after = ([json.dumps(each, sort_keys=True) for each in values] for values in (old, new))
    for kind, a, b, c, d in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if kind == "equal":
            continue
        common = min(b - a, d - c)
        yield from ((a + i, c + i) for i in range(common))
        yield from ((i, None) for i in range(a + common, b))
        yield from ((None, j) for j in range(c + common, d))


def _tool_changes(old: Sequence[Any], new: Sequence[Any]) -> Iterator[tuple[str, Any, Any]]:
    before, after = _by_name(old), _by_name(new)
    renamed = _renamed(before, after)
    yield from (("tool", name, other) for name, other in renamed.items())
    for name in before:
        if name not in after and name not in renamed:
            yield "tool", name, _MISSING
        for path, then, now in _changes(before[name], after.get(name, before[name]), ""):
            yield f"{name}, {_readable(path)}", then, now
    yield from (("tool", _MISSING, each) for each in after if each not in before and each not in renamed.values())
    if list(before) != list(after) and before.keys() == after.keys():
        yield "order", ", ".join(before), ", ".join(after)


def _by_name(tools: Sequence[Any]) -> dict[str, Mapping[str, Any]]:
    functions = [each.get("function") if isinstance(each, dict) else None for each in tools]
    return {str(each.get("name")): each for each in functions if isinstance(each, dict)}


def _renamed(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, str]:
    """Return the new names of tools of which nothing else has changed."""
    removed, new = [name for name in before if name not in after], [name for name in after if name not in before]
    pairs = {}
    for name in removed:
        same = (each for each in new if {**after[each], "name": name} == before[name])
        if (other := next(same, None)) is not None:
            pairs[name] = other
            new.remove(other)
    return pairs


def _readable(path: str) -> str:
    """Return the path into a tool definition as its author would call it."""
    names = path.split(".")
    if names[:2] == ["parameters", "properties"] and len(names) > 2:
        return f"parameter {names[2]}" + (f": {'.'.join(names[3:])}" if names[3:] else "")
    return path.removeprefix("parameters.")


def _lines(path: str, old: Any, new: Any, whole: bool) -> Iterator[DiffLine]:
    label = ((f"{path}: ", False),) if path else ()
    if isinstance(old, str) and isinstance(new, str):
        for before, after in _hunks(old, new, _WIDE_CONTEXT if whole else _CONTEXT):
            yield DiffLine("-", (*label, *before))
            yield DiffLine("+", (*label, *after))
        return
    # The type shows in quotes where only one is a text.
    plain = old is _MISSING or new is _MISSING or not path
    for sign, value in (("-", old), ("+", new)):
        if value is not _MISSING:
            text = value if plain and isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            yield DiffLine(sign, (*label, (_cut(text), True)))


def _hunks(old: str, new: str, context: int) -> Iterator[tuple[list[tuple[str, bool]], list[tuple[str, bool]]]]:
    """Yield the passages in which two texts differ: the pieces of the old one, and those of the new one."""
    groups: list[list[Span]] = []
    for span in _spans(old, new):
        if groups and span[0] - groups[-1][-1][1] <= 2 * context and len(groups[-1]) < _MOST_IN_A_LINE:
            groups[-1].append(span)
        else:
            groups.append([span])
    for group in groups:
        yield (
            _pieces(old, [(a, b) for a, b, _, _ in group], context),
            _pieces(new, [(c, d) for _, _, c, d in group], context),
        )


def _pieces(text: str, changed: Sequence[tuple[int, int]], context: int) -> list[tuple[str, bool]]:
    start, end = max(0, changed[0][0] - context), min(len(text), changed[-1][1] + context)
    position, pieces = start, [("…" if start else "", False)]
    for a, b in changed:
        pieces += [(_flat(text[position:a]), False), (_cut(_visible(text[a:b])), True)]
        position = b
    pieces += [(_flat(text[position:end]), False), ("…" if end < len(text) else "", False)]
    return [piece for piece in pieces if piece[0]]


@lru_cache(maxsize=32)
def _spans(old: str, new: str) -> Sequence[Span]:
    """Return the passages in which two texts differ, as whole words. Cached: a prompt changes in each conversation."""
    a, b = _TOKENS.findall(old), _TOKENS.findall(new)
    start = next((i for i in range(min(len(a), len(b))) if a[i] != b[i]), min(len(a), len(b)))
    rest = min(len(a), len(b)) - start
    end = next((i for i in range(rest) if a[-1 - i] != b[-1 - i]), rest)
    middle_a, middle_b = a[start : len(a) - end], b[start : len(b) - end]
    changed = [(0, len(middle_a), 0, len(middle_b))] if middle_a or middle_b else []
    if len(middle_a) * len(middle_b) <= _LARGEST_PRODUCT:
        codes = SequenceMatcher(None, middle_a, middle_b, autojunk=False).get_opcodes()
        changed = [(i, j, k, m) for kind, i, j, k, m in codes if kind != "equal"]
    merged: list[Span] = []
    for i, j, k, m in changed:
        # Words that have nothing but spaces and signs in common are one change.
        if merged and not any(token.isalnum() for token in middle_a[merged[-1][1] : i]):
            i, k = merged[-1][0], merged[-1][2]
            merged.pop()
        merged.append((i, j, k, m))
    ends_a, ends_b = _ends(a), _ends(b)
    return [(ends_a[start + i], ends_a[start + j], ends_b[start + k], ends_b[start + m]) for i, j, k, m in merged]


def _ends(tokens: Sequence[str]) -> list[int]:
    ends = [0]
    for token in tokens:
        ends.append(ends[-1] + len(token))
    return ends


def _cut(text: str) -> str:
    text = _flat(text)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST * 2 // 3]}…{text[-_LONGEST // 3 :]}"


def _flat(text: str) -> str:
    return text.replace("\n", "⏎")


def _visible(text: str) -> str:
    return text.replace(" ", "·") if text.isspace() else text
