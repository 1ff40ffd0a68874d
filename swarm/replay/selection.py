"""Choose which conversations to replay: files and folders, ``FILE::NAME``, tags, and expressions as in pytest's -k."""

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from swarmchat.swarm.errors import TranscriptError
from swarmchat.swarm.replay.files import RecordedConversation
from swarmchat.swarm.replay.yaml_tests import YAML_SUFFIXES, may_be_test

SUFFIXES = (".jsonl", ".json", *YAML_SUFFIXES)
"""The files of a folder that are transcripts."""

_TOKEN = re.compile(r"[()]|[^\s()]+")
_OPERATORS = frozenset({"and", "or", "not", "(", ")"})

_Test = Callable[[Collection[str]], bool]


class SelectionError(TranscriptError):
    """A folder without transcripts, or an invalid expression."""

    exit_code = 2


def transcripts_in(folder: Path) -> list[Path]:
    """Return the transcripts in ``folder`` and the folders in it, sorted. Raises SelectionError if it has none."""
    paths = sorted(
        path for path in folder.rglob("*") if path.suffix in SUFFIXES and path.is_file() and may_be_test(path)
    )
    if not paths:
        raise SelectionError(f"{folder} contains no transcripts: expected files named *{' or *'.join(SUFFIXES)}")
    return paths


def plain_name(name: str) -> str:
    """Return the name of a conversation as it can be typed: in one line, with white space as single spaces."""
    return "".join(each if each.isprintable() else "\ufffd" for each in " ".join(name.split()))


def case_name(path: Path, name: str) -> str:
    """Return what names one conversation of a file: ``FILE::NAME``."""
    return f"{path}::{plain_name(name)}"


@dataclass
class Selection:
    """The conversations to replay, in the order of the files."""

    paths: dict[Path, set[str] | None] = field(default_factory=dict)
    """The files; with each, the names to take from it, ``None`` for all."""
    expression: _Test | None = None
    tags: frozenset[str] = frozenset()

    @classmethod
    def of(cls, arguments: Sequence[Path], expression: str = "", tags: Collection[str] = ()) -> "Selection":
        """Read the arguments of a command: files, folders and ``FILE::NAME``. Raises SelectionError."""
        selection = cls(expression=parse_expression(expression) if expression else None, tags=frozenset(tags))
        for argument in arguments:
            file, colons, name = str(argument).partition("::")
            if argument.is_dir():
                selection.paths |= dict.fromkeys(transcripts_in(argument))
            elif colons and not argument.exists():
                names = selection.paths.setdefault(Path(file), set())
                if names is not None:
                    names.add(plain_name(name))
            else:
                selection.paths[argument] = None
        return selection

    def of_file(self, path: Path, conversations: Sequence[RecordedConversation]) -> list[RecordedConversation]:
        """Return the ``conversations`` of a file that are selected. Raises SelectionError for an unknown name."""
        names = self.paths[path]
        known = {plain_name(each.name) for each in conversations}
        if unknown := sorted((names or set()) - known):
            listed = ", ".join(sorted(known)[:10])
            raise SelectionError(f"{path} has no conversation {unknown[0]!r}; it has: {listed}")
        return [each for each in conversations if self._selects(path, each, names)]

    def _selects(self, path: Path, conversation: RecordedConversation, names: set[str] | None) -> bool:
        if names is not None and plain_name(conversation.name) not in names:
            return False
        if self.tags and self.tags.isdisjoint(conversation.tags):
            return False
        words = (case_name(path, conversation.name), *conversation.tags)
        return self.expression is None or self.expression(words)


def parse_expression(text: str) -> _Test:
    """Return the test that an expression stands for: words with ``and``, ``or``, ``not`` and parentheses.

    The test takes names; a word is true if one of them contains it, ignoring case. Raises SelectionError.
    """
    tokens = _TOKEN.findall(text)
    test = _either(tokens, text)
    if tokens:
        raise _invalid(text, tokens[0])
    return test


def _either(tokens: list[str], text: str) -> _Test:
    tests = [_both(tokens, text)]
    while tokens and tokens[0] == "or":
        tokens.pop(0)
        tests.append(_both(tokens, text))
    return lambda names: any(test(names) for test in tests)


def _both(tokens: list[str], text: str) -> _Test:
    tests = [_one(tokens, text)]
    while tokens and tokens[0] == "and":
        tokens.pop(0)
        tests.append(_one(tokens, text))
    return lambda names: all(test(names) for test in tests)


def _one(tokens: list[str], text: str) -> _Test:
    first = tokens.pop(0) if tokens else ""
    if first == "not":
        negated = _one(tokens, text)
        return lambda names: not negated(names)
    if first == "(":
        inner = _either(tokens, text)
        if not tokens or tokens.pop(0) != ")":
            raise _invalid(text, "")
        return inner
    if not first or first in _OPERATORS:
        raise _invalid(text, first)
    word = first.lower()
    return lambda names: any(word in name.lower() for name in names)


def _invalid(text: str, token: str) -> SelectionError:
    problem = f"unexpected {token!r}" if token else "it is incomplete"
    return SelectionError(f"-k {text!r}: {problem}; expected words with and, or, not and parentheses")
