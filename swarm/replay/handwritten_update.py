"""Write changed tool results into handwritten tests, and leave the rest of the file unchanged."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from swarmchat.swarm.common.encoding import decode_json
from swarmchat.swarm.common.messages import texts_of
from swarmchat.swarm.replay.compare import Difference
from swarmchat.swarm.replay.parameters import is_in_row, literal
from swarmchat.swarm.replay.writing import as_yaml
from swarmchat.swarm.replay.yaml_file import plain_value, yaml_loader
from swarmchat.swarm.replay.yaml_tests import YAML_SUFFIXES, yaml_parts

_STYLES: Sequence[tuple[tuple[str, str], bool]] = [
    (separators, ascii_only) for separators in ((", ", ": "), (",", ":")) for ascii_only in (False, True)
]
"""How JSON may be written: its separators, and whether all characters are ASCII."""


_Rows = Sequence[tuple[Mapping[str, Any], list[Difference]]]
"""The rows of the parameters of a conversation, each with its changes. Without parameters, it is one empty row."""


def update_results(data: bytes, path: Path, changes: Sequence[_Rows]) -> tuple[bytes, int]:
    """Return the file ``data`` with the new results, and how many it took, which are removed from ``changes``.

    ``changes`` has the differences of the type ``result`` of each conversation in the file.
    """
    text = data.decode("utf-8-sig")
    count = _count(changes)
    if path.suffix.lower() in YAML_SUFFIXES:
        updated = _update_yaml(text, changes)
        # The user's file is replaced only by a readable one.
        yaml_parts(updated.encode(), f"{path} with the results")
    else:
        updated = "".join(_updated_lines(text.splitlines(keepends=True), changes))
    return updated.encode(), count - _count(changes)


def _count(changes: Sequence[_Rows]) -> int:
    return sum(len(waiting) for rows in changes for _, waiting in rows)


def _take(rows: _Rows, turn: int, written: Any, step: Mapping[str, Any]) -> Any:
    """Take the change of the result ``written`` in a ``step``; return the new result, or ``written`` itself.

    A result that is another one in each row of parameters stays.
    """
    has_parameters = any(row for row, _ in rows)
    text = written if isinstance(written, str) else json.dumps(written, ensure_ascii=False)
    text = text.replace("$${", "${") if has_parameters else text
    all_waiting = [waiting for row, waiting in rows if is_in_row(step, row)]
    new_lines = [
        next((each for each in waiting if each.turn == turn and each.expected == text), None) for waiting in all_waiting
    ]
    change = new_lines[0]
    if change is None or any(each is None or each.actual != change.actual for each in new_lines):
        return written
    for waiting, each in zip(all_waiting, new_lines, strict=True):
        waiting[:] = [other for other in waiting if other is not each]
    new: Any = change.actual
    if not isinstance(written, str):
        with suppress(ValueError):
            new = decode_json(change.actual)
    return literal(new) if has_parameters else new


def _updated_lines(lines: Sequence[str], changes: Sequence[_Rows]) -> Iterator[str]:
    conversation = turn = records = 0
    for line in lines:
        value = decode_json(line) if line.strip() else {}
        kind = value.get("type")
        if kind == "session" and records:
            conversation, turn, records = conversation + 1, 0, 0
        records += bool(line.strip())
        turn += kind == "user"
        field = next((name for name in ("result", "text") if name in value), "message")
        written = value.get(field)
        if kind == "tool" and field == "message" and isinstance(written, dict):
            written = "".join(texts_of(written))
        new = _take(changes[conversation], turn, written, value) if kind == "tool" else written
        yield line if new is written else _line_with(line, value, field, new)


def _line_with(line: str, value: dict[str, Any], field: str, new: Any) -> str:
    """Return the line with another result; only the result differs, if it is found as it stands there."""
    failed = isinstance(new, str) and new.startswith("Error: ")
    if field != "message" and value.get("status", "error" if failed else "ok") == ("error" if failed else "ok"):
        for separators, ascii_only in _STYLES:
            old, changed = (
                json.dumps(each, separators=separators, ensure_ascii=ascii_only) for each in (value[field], new)
            )
            if line.count(old) == 1:
                return line.replace(old, changed)
    rest = {name: each for name, each in value.items() if name not in ("result", "text", "message", "status")}
    return json.dumps({**rest, "result": new}, ensure_ascii=False) + "\n"


def _update_yaml(text: str, changes: Sequence[_Rows]) -> str:
    lines = text.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    updated, position = "", 0
    for number, steps in enumerate(_yaml_steps(text)):
        turn = 0
        for kind, value in steps:
            turn += kind == "user"
            if kind != "tool":
                continue
            node, step = _result_node(value)
            written = _yaml_value(node)
            new = _take(changes[number], turn, written, step)
            if new is written:
                continue
            start, end = (starts[mark.line] + mark.column for mark in (node.start_mark, node.end_mark))
            # A block ends where the next one starts.
            end = start + len(text[start:end].rstrip())
            updated += text[position:start] + _yaml_text(
                written, new, node, text[start:end], lines[node.start_mark.line]
            )
            position = end
    return updated + text[position:]


def _yaml_steps(text: str) -> Iterator[list[tuple[str, Any]]]:
    """Yield the steps of each conversation: their kinds and the nodes of their values."""
    import yaml

    for document in yaml.compose_all(text, yaml_loader()):
        fields = {key.value: value for key, value in document.value}
        for conversation in [document] if "steps" in fields else fields["conversations"].value:
            steps = next(value for key, value in conversation.value if key.value == "steps")
            yield [(key.value, value) for item in steps.value for key, value in item.value]


def _result_node(node: Any) -> tuple[Any, Mapping[str, Any]]:
    """Return the node of a tool's result, and the rows to which it belongs."""
    if node.id != "mapping":
        return node, {}
    inner = {key.value: value for key, value in node.value}
    step = {"when": _yaml_value(inner["when"])} if "when" in inner else {}
    return inner.get("result", inner.get("text", node)), step


def _yaml_value(node: Any) -> Any:
    if node.id == "scalar":
        return node.value if node.style else plain_value(node.value)
    if node.id == "sequence":
        return [_yaml_value(each) for each in node.value]
    return {key.value: _yaml_value(value) for key, value in node.value}


def _yaml_text(written: Any, new: Any, node: Any, old: str, line: str) -> str:
    """Return ``new`` as YAML, in the style in which ``old``, the text of ``node``, has ``written``.

    ``line`` is the line in which it begins.
    """
    import yaml

    if isinstance(new, dict | list) and new and node.id != "scalar":
        column = 0 if node.flow_style else int(node.start_mark.column)
        styles = [
            partial(json.dumps, ensure_ascii=False),
            *(partial(_indented, column=column, style=style) for style in ("flow", "compact", "block")),
        ]
        chosen = (style for style in styles if style(written) == old)
        return next(chosen, styles[1 if node.flow_style else 2])(new)
    if not isinstance(new, str):
        return json.dumps(new, ensure_ascii=False)
    if "\n" in new and node.style == "|":
        # The text is indented deeper than its key, which may follow a dash.
        return _indented(new, column=len(line) - len(line.lstrip(" -")), style="block")
    if "\n" not in new and not node.style:
        plain = yaml.safe_dump(new, width=float("inf"), allow_unicode=True).removesuffix("...\n").strip()
        if plain == new and plain_value(plain) == new:
            return plain
    if node.style == "'" and new.isprintable():
        return "'" + new.replace("'", "''") + "'"
    return json.dumps(new, ensure_ascii=False)


def _indented(value: Any, *, column: int, style: str) -> str:
    return as_yaml(value, style).replace("\n", "\n" + " " * column)
