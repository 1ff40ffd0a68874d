"""Hand-written conversations as YAML: the same fields as in JSONL, in a form that is easier to write."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from swarmchat.swarm.common.encoding import encode_json
from swarmchat.swarm.common.names import nearest
from swarmchat.swarm.errors import TranscriptError
from swarmchat.swarm.importers.lines import Line
from swarmchat.swarm.replay.handwritten import TYPES, Part
from swarmchat.swarm.replay.matchers import shown
from swarmchat.swarm.replay.places import LocatedObject, Place
from swarmchat.swarm.replay.yaml_file import LONGEST_FILE, read_yaml

YAML_SUFFIXES = (".yaml", ".yml")

_TESTS = re.compile(rb"^(?:conversations?|steps?)[ \t]*:", re.MULTILINE)
"""The keys of a file of tests, also if their last letter is wrong: such a file is to be reported."""

STEPS = ("user", "assistant", "tool", "go", "expect")
_SESSION = (*TYPES["session"], "comment")
_JOINED = ("tags", "ignore", "normalize")
"""Fields of which a conversation has those of the file too."""
SHORT = {"user": "text", "assistant": "text", "tool": "result", "go": "agent"}
"""The field that a step has if it is not an object."""


_HABITS = {
    **dict.fromkeys(("tests", "cases", "scenarios"), "conversations"),
    **dict.fromkeys(("turns", "messages"), "steps"),
    "vars": "parameters",
    **dict.fromkeys(("input", "question", "prompt", "query"), "user"),
    **dict.fromkeys(("output", "answer", "response"), "assistant"),
    **dict.fromkeys(("assert", "asserts", "expected", "expectations"), "expect"),
}
"""What other programs call a key."""


def _hint(name: str, known: Sequence[str]) -> str:
    habit = _HABITS.get(name)
    return f"did you mean {habit!r}?" if habit in known else nearest(name, known)


def may_be_test(path: Path) -> bool:
    """Whether the file at ``path`` may be a test by its content: most YAML files are settings of other programs."""
    if path.suffix.lower() not in YAML_SUFFIXES:
        return True
    with path.open("rb") as file:
        return bool(_TESTS.search(file.read(LONGEST_FILE + 1)))


def yaml_parts(data: bytes, name: str) -> list[Part]:
    """Return the lines of each conversation in a YAML file, as they would stand in JSONL. Raises TranscriptError."""
    parts = [part for document, line in read_yaml(data, name) for part in _parts(document, Place(name, line))]
    if not parts:
        raise TranscriptError(f"{name} is empty, expected 'conversations' or 'steps'")
    return parts


def _parts(document: Any, where: Place) -> Iterator[Part]:
    if not isinstance(document, LocatedObject):
        raise TranscriptError(f"{where}: it is {shown(document)}, expected an object with 'conversations' or 'steps'")
    about = _checked(document, where, "conversations", "steps")
    if ("conversations" in document) == ("steps" in document):
        raise TranscriptError(f"{where}: expected 'conversations', or 'steps' of a single one")
    if "steps" in document:
        yield _part(about, document, where)
        return
    conversations, place = document["conversations"], where.of(document, "conversations")
    if not isinstance(conversations, list) or not conversations:
        raise TranscriptError(f"{place}: 'conversations' is {shown(conversations)}, expected a list of them")
    for number, conversation in enumerate(conversations, 1):
        if not isinstance(conversation, LocatedObject):
            raise TranscriptError(f"{place}: a conversation is {shown(conversation)}, expected an object with 'steps'")
        begins = Place(where.file, min(conversation.lines.values(), default=place.line))
        own = _checked(conversation, begins, "steps")
        if "steps" not in conversation:
            raise TranscriptError(f"{begins}: a conversation has no 'steps', expected a list of them")
        joined = {key: [*_listed(about.get(key)), *_listed(own.get(key))] for key in _JOINED if key in {**about, **own}}
        name = {"name": f"{about['name']}-{number}"} if "name" in about else {}
        yield _part(LocatedObject.of({**about, **name, **own, **joined}, own), conversation, begins)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _checked(value: LocatedObject, where: Place, *further: str) -> LocatedObject:
    """Return the fields of the session line. Raises TranscriptError for an unknown key."""
    known = (*_SESSION, *further)
    for key in value:
        if key not in known:
            raise TranscriptError(f"{where.of(value, key)}: unknown key {key!r}; {_hint(key, known)}")
    return LocatedObject.of({key: each for key, each in value.items() if key not in further}, value)


def _part(about: LocatedObject, conversation: LocatedObject, where: Place) -> Part:
    steps, place = conversation["steps"], where.of(conversation, "steps")
    if not isinstance(steps, list) or not steps:
        raise TranscriptError(f"{place}: 'steps' is {shown(steps)}, expected a list that begins with a 'user' step")
    part = [_line(LocatedObject.of({"type": "session", **about}, about), where.line)]
    for step in steps:
        if not isinstance(step, LocatedObject) or not step:
            raise TranscriptError(f"{place}: a step is {shown(step)}, expected one such as 'user: …' or 'expect: …'")
        for kind, value in step.items():
            place = where.of(step, kind)
            if kind not in STEPS:
                raise TranscriptError(f"{place}: unknown step {kind!r}; {_hint(kind, STEPS)}")
            part.append(_line(_step(kind, value, place), place.line))
    return part


def _step(kind: str, value: Any, where: Place) -> LocatedObject:
    if isinstance(value, LocatedObject):
        if "type" in value:
            raise TranscriptError(f"{where.of(value, 'type')}: unknown field 'type' in a {kind!r} step; leave it out")
        return LocatedObject.of({"type": kind, **value}, value)
    if kind == "expect":
        raise TranscriptError(f"{where}: 'expect' is {shown(value)}, expected an object such as contains: …")
    if kind != "tool" and not isinstance(value, str):
        hint = "a text (in quotes if it looks like a number or a list) or an object"
        raise TranscriptError(f"{where}: {kind!r} is {shown(value)}, expected {hint}")
    return LocatedObject.of({"type": kind, SHORT[kind]: value}, {})


def _line(value: LocatedObject, number: int) -> tuple[Line, dict[str, Any]]:
    return Line(number, 0, encode_json(value), True), value
