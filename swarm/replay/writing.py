"""Write conversations as tests, in YAML or JSONL, and write the results of a live replay into a test."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swarmchat.swarm.common.encoding import encode_json
from swarmchat.swarm.errors import TranscriptError
from swarmchat.swarm.replay.places import Place
from swarmchat.swarm.replay.steps import Step, WrittenConversation
from swarmchat.swarm.replay.yaml_file import yaml_loader
from swarmchat.swarm.replay.yaml_tests import SHORT, YAML_SUFFIXES, yaml_parts

_RECORDED = ("assistant", "tool")
"""The steps that a live replay brings."""

_WIDTH = 110
_SMALL = 76
"""The characters of an object that is written on one line."""


def write_test(conversation: WrittenConversation, path: Path) -> bytes:
    """Return a file with one test: YAML if the name of ``path`` says so, else JSONL. Raises TranscriptError."""
    if path.suffix.lower() not in YAML_SUFFIXES:
        steps: Sequence[Step] = [("session", conversation.about), *conversation.steps]
        return b"".join(encode_json({"type": kind, **fields}) + b"\n" for kind, fields in steps)
    head = {name: _compact(value) for name, value in conversation.about.items()}
    about, turns = _yaml(head, path.name), _yaml([_item(step) for step in conversation.steps], path.name)
    lines = turns.decode().splitlines(keepends=True)
    # A blank line before each question but the first. All else on this level begins with a dash too.
    gaps = [number > 0 and line.startswith("- user:") for number, line in enumerate(lines)]
    text = "".join("\n" * gap + (f"  {line}" if line.strip() else line) for gap, line in zip(gaps, lines, strict=True))
    return about + b"steps:\n" + text.encode()


class _Flow(dict[str, Any]):
    """An object that is written on one line."""


class _FlowList(list[Any]):
    """A list that is written on one line."""


def _item(step: Step) -> dict[str, Any]:
    kind, fields = step
    fields = {name: _compact(value) for name, value in fields.items()}
    short = SHORT.get(kind)
    if fields.keys() == {short} and not isinstance(fields[str(short)], dict):
        return {kind: fields[str(short)]}
    return {kind: fields}


def _compact(value: Any) -> Any:
    """Return ``value`` with small objects and lists in it on one line each, as people write them."""
    if isinstance(value, dict):
        inner = {name: _compact(each) for name, each in value.items()}
        return _Flow(inner) if _is_small([*value, *value.values()]) else inner
    if isinstance(value, list):
        inner_list = [_compact(each) for each in value]
        return _FlowList(inner_list) if _is_small(value) else inner_list
    return value


def _is_small(values: Sequence[Any]) -> bool:
    """Whether ``values`` are plain, and short together."""
    plain = not any(isinstance(value, dict | list) or "\n" in str(value) for value in values)
    return bool(values) and plain and sum(len(str(value)) + 4 for value in values) <= _SMALL


def as_yaml(value: Any, style: str) -> str:
    """Return a value as it stands in a test, without indentation: on one line (``flow``), ``compact``, or ``block``."""
    flow = style == "flow"
    compact = _compact(value) if style == "compact" else value
    return _yaml(compact, "the test", flow=flow, width=float("inf") if flow else _WIDTH).decode().rstrip("\n")


def _yaml(value: Any, name: str, *, flow: bool = False, width: float = _WIDTH) -> bytes:
    try:
        import yaml
    except ImportError as error:
        problem = f"{name} is YAML, which needs an extra: pip install 'swarmchat[yaml]', or name a .jsonl file"
        raise TranscriptError(problem) from error

    class Dumper(yaml.SafeDumper):
        """Writes texts of several lines as blocks, and everything in full where it is used twice."""

        def ignore_aliases(self, data: Any) -> bool:
            return True

        def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
            super().increase_indent(flow, False)

    def represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, "|" if "\n" in text.strip() else None)

    def represent_flow(dumper: yaml.SafeDumper, value: _Flow) -> yaml.Node:
        return dumper.represent_mapping("tag:yaml.org,2002:map", value, flow_style=True)

    def represent_flow_list(dumper: yaml.SafeDumper, value: _FlowList) -> yaml.Node:
        return dumper.represent_sequence("tag:yaml.org,2002:seq", value, flow_style=True)

    Dumper.add_representer(str, represent_text)
    Dumper.add_representer(_Flow, represent_flow)
    Dumper.add_representer(_FlowList, represent_flow_list)
    text = yaml.dump(value, Dumper=Dumper, allow_unicode=True, sort_keys=False, width=width, default_flow_style=flow)
    return str(text).encode("utf-8", "replace")


Turns = Mapping[int, Sequence[Sequence[Step]]]
"""The steps of each turn of recorded conversations, by their numbers in the file, from 1."""


@dataclass(frozen=True)
class _Span:
    """A step in a file: lines from ``start`` to before ``end``, which may hold several keys of one list item."""

    kind: str
    start: int
    end: int
    first: bool
    """Whether it begins its list item."""
    dash: int
    """The column of the item's dash."""
    key: int
    """The column of its key."""


def record_answers(data: bytes, path: Path, turns: Turns) -> bytes:
    """Return the test ``data`` with the answers and results in ``turns`` in place of those that it has.

    All else stays as it is, comments included. Raises TranscriptError if the file has a form that cannot be edited.
    """
    if path.suffix.lower() in YAML_SUFFIXES:
        edited = _record_yaml(data.decode("utf-8-sig"), path, turns).encode()
        # The user's file is replaced only by a readable one.
        yaml_parts(edited, f"{path} with the answers")
        return edited
    # Not splitlines: a text may hold U+2028.
    lines = data.decode("utf-8-sig").removesuffix("\n").split("\n")
    return "".join(_record_jsonl(lines, turns)).encode()


def _record_jsonl(lines: Sequence[str], turns: Turns) -> Iterator[str]:
    from swarmchat.swarm.common.encoding import decode_json

    number = 0
    waiting: list[Sequence[Step]] | None = None
    for line in lines:
        kind = decode_json(line)["type"] if line.strip() else ""
        if kind == "session" or (kind and not number):
            number += 1
            waiting = list(turns[number]) if number in turns else None
        if kind not in _RECORDED or waiting is None:
            yield f"{line}\n"
        if kind == "user" and waiting:
            yield from (encode_json({"type": step, **fields}).decode() + "\n" for step, fields in waiting.pop(0))


def _record_yaml(text: str, path: Path, turns: Turns) -> str:
    lines = text.splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    edited: list[str] = []
    position = 0
    # The column of the dash of the step before, if that was inserted or taken out.
    moved: int | None = None
    for number, spans in enumerate(_spans(text, path, lines), 1):
        if number not in turns:
            continue
        waiting = list(turns[number])
        for span in spans:
            edited += _outdented(lines[position : span.start], moved)
            position = span.end
            if span.kind in _RECORDED:
                moved = span.dash
                continue
            own = lines[span.start : span.end]
            if not span.first and moved is not None:
                own[0] = " " * span.dash + "-" + " " * (span.key - span.dash - 1) + own[0].lstrip()
            edited += own
            moved = None
            if span.kind == "user" and (steps := waiting.pop(0)):
                written = _yaml([_item(step) for step in steps], path.name).decode()
                edited += [
                    " " * span.dash + line if line.strip() else line for line in written.splitlines(keepends=True)
                ]
                moved = span.dash
    return "".join([*edited, *_outdented(lines[position:], moved)])


def _outdented(lines: Sequence[str], column: int | None) -> list[str]:
    """Return ``lines`` with the comments at their start at ``column`` at most: deeper ones could continue a text."""
    outdented = list(lines)
    for number, line in enumerate(lines if column is not None else ()):
        text = line.lstrip(" ")
        if text.strip() and not text.startswith("#"):
            break
        outdented[number] = " " * min(column or 0, len(line) - len(text)) + text
    return outdented


def _spans(text: str, path: Path, lines: Sequence[str]) -> Iterator[list[_Span]]:
    """Yield the steps of each conversation, with their places."""
    import yaml

    seen = set()
    for document in yaml.compose_all(text, yaml_loader()):
        fields = {key.value: value for key, value in document.value}
        conversations = [document] if "steps" in fields else fields["conversations"].value
        for conversation in conversations:
            steps = next(value for key, value in conversation.value if key.value == "steps")
            if id(steps) in seen:
                problem = "its steps are shared with another conversation: to record answers, write them out"
                raise TranscriptError(f"{Place(str(path), conversation.start_mark.line + 1)}: {problem}")
            seen.add(id(steps))
            yield _spans_of(steps, path, lines)


def _spans_of(steps: Any, path: Path, lines: Sequence[str]) -> list[_Span]:
    spans = []
    for item in steps.value:
        for number, (key, value) in enumerate(item.value):
            start, end = key.start_mark.line, _end(value)
            while end > start + 1 and _is_no_content(lines[end - 1], key.start_mark.column):
                end -= 1
            before = lines[start][: key.start_mark.column]
            dash = lines[item.start_mark.line].rfind("-", 0, item.start_mark.column)
            if steps.flow_style or item.flow_style or before.strip(" ") not in ("", "-"):
                problem = "a step shares its line with others: to record answers, start each step on a new line"
                raise TranscriptError(f"{Place(str(path), start + 1)}: {problem}")
            spans.append(_Span(key.value, start, end, number == 0, dash, key.start_mark.column))
    return spans


def _is_no_content(line: str, column: int) -> bool:
    """Whether a line at the end of a step is blank, or a comment that stands no deeper than the step's key."""
    text = line.lstrip(" ")
    return not text.strip() or (text.startswith("#") and len(line) - len(text) <= column)


def _end(node: Any) -> int:
    """Return the line after the last one of a node."""
    if isinstance(node.value, list) and node.value and not node.flow_style:
        last = node.value[-1]
        return _end(last[1] if isinstance(last, tuple) else last)
    mark = node.end_mark
    return int(mark.line) + (1 if mark.column else 0)
