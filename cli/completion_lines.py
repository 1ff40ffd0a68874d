"""Candidates as shells take them: one a line, quoted and cut as each of them needs it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from swarmchat.cli.candidate_values import values_of
from swarmchat.cli.candidates import Candidate, argument, commands, options, read_typed
from swarmchat.cli.sanitize import one_line

_SPECIAL = re.compile(r"([^\w@%+=:,./~-])")


@dataclass(frozen=True)
class Line:
    """A command line up to the cursor, read as bash reads it."""

    words: list[str]
    """The last one is being typed."""
    quote: str
    """The quotation mark that is open, if one is."""


def lines_for(root: Any, shell: str, words: Sequence[str]) -> list[str]:
    """Return the candidates as lines. For bash, ``words`` are the program, the line, and what bash cuts words at."""
    if shell == "bash":
        program, text, breaks = words
        line = split_line(text)
        begin = line.words.index(program) + 1 if program in line.words else 1
        typed = line.words[begin:] or [""]
        return [_for_bash(value, typed[-1], line.quote, breaks) for value, _ in candidates(root, typed)]
    separator = ":" if shell == "zsh" else "\t"
    lines = []
    for value, about in candidates(root, words or [""]):
        shown = value.replace("\\", "\\\\").replace(":", "\\:") if shell == "zsh" else value
        lines.append(f"{shown}{separator}{one_line(about, 80)}" if about else shown)
    return lines


def candidates(root: Any, words: Sequence[str]) -> list[Candidate]:
    """Return what the last of ``words`` could become."""
    *before, word = words
    typed = read_typed(root, before)
    prefix = ""
    if typed.waiting is not None:
        found = values_of(typed, typed.waiting)
    elif word.startswith("--") and "=" in word and not typed.plain:
        name, _, word = word.partition("=")
        option = read_typed(root, [*before, name]).waiting
        prefix, found = f"{name}=", values_of(typed, option) if option is not None else []
    elif word.startswith("-") and not typed.plain:
        found = options(typed)
    elif getattr(typed.command, "commands", None):
        found = commands(typed.command)
    else:
        param = argument(typed)
        found = values_of(typed, param) if param is not None else []
    usable = [(value, about) for value, about in found if value.startswith(word) and value.isprintable()]
    return [(prefix + value, about) for value, about in usable]


def split_line(text: str) -> Line:
    """Split a line into words, without their quotation marks and backslashes."""
    words, word, quote, escaped, inside = [], "", "", False, False
    for sign in text:
        if escaped:
            word, escaped = word + sign, False
        elif sign == "\\" and quote != "'":
            escaped = inside = True
        elif quote:
            word, quote = (word, "") if sign == quote else (word + sign, quote)
        elif sign in "'\"":
            quote, inside = sign, True
        elif sign.isspace():
            words += [word] if inside else []
            word, inside = "", False
        else:
            word, inside = word + sign, True
    return Line([*words, word], quote)


def _for_bash(value: str, word: str, quote: str, breaks: str) -> str:
    """Return ``value`` without what bash has set aside already: it completes what follows the last : or =."""
    if not quote:
        cut = max((word.rfind(sign) + 1 for sign in ":=" if sign in breaks), default=0)
        return _SPECIAL.sub(r"\\\1", value[cut:])
    return value
