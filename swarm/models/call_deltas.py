"""Collect the tool calls of streamed deltas, however the server splits them.

What servers do with ``delta.tool_calls``, and how it is read:

    no id, or an empty one      Ollama (langbot-app/LangBot#2262), LM Studio (lmstudio-bug-tracker#830), vLLM
                                (vllm-project/vllm#18412), llama.cpp (ggml-org/llama.cpp#11992): an id is made up
    no index                    Gemini (open-webui/computer#224): the id, else the position, tells the calls apart
    index 0 for every call      Ollama (ollama/ollama#15457, vercel/ai#14277): a new id with a name starts a call
    the id in every delta       vLLM (vllm-project/vllm#31438): it is the same call
    a fresh id in every delta   vLLM, gpt-oss (vllm-project/vllm#23522): without a name it continues the call
    one id for several calls    GLM, DeepSeek (HKUDS/nanobot#3943): the later ones get a suffix
    the name in every delta     MiniMax, Fireworks (NousResearch/hermes-agent#11984, #8094): it counts once
    the name in pieces          Gemini (continuedev/continue#5849): joined until the arguments begin
    the name after arguments    SGLang (vercel/ai#14722): it is the name of that call
    all arguments sent again    GPT-5 (open-webui/open-webui#22235): they count once
    arguments as an object      llama.cpp (ggml-org/llama.cpp#20198), MiniMax (can1357/oh-my-pi#1779): encoded
    finish "stop" with calls    Gemini (googleapis/python-genai#2868): the answer says ``tool_calls``
    other fields beside them    Gemini's thought signatures (microsoft/semantic-kernel#13417): kept for ``Answer.echo``
    legacy ``function_call``    the API before November 2023: it is the only call
"""

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from io import StringIO
from typing import Any

from swarmchat.swarm.common.encoding import clean_text, decode_json
from swarmchat.swarm.models.base import ToolCall

_CALL_FIELDS = ("index", "id", "type", "function")
_START = re.compile(r"[^ \t\n\r]")
_OUTSIDE = re.compile(r'["{}\[\]]')
_IN_STRING = re.compile(r'["\\]')
"""What matters for the end of a JSON value: before it, between its brackets, and in its strings."""
_JSON_SPACE = " \t\n\r"
_ANY = -1
"""The index that stands for all calls. A server's own is never negative."""
_LONGEST_NAME = 1_000
"""Characters of the name of a call: chat APIs allow 64."""
_SIZE_OF_CALL = 4_000
"""Characters that a call counts besides those in it, because each is kept, answered and stored."""


class _Arguments:
    """The arguments of a call that is still arriving. Each character is looked at once, however many pieces come."""

    def __init__(self) -> None:
        self._text = StringIO(newline="")
        self.length = 0
        self.whole = False
        """Whether the arguments so far are one whole JSON object, so that more would only break them."""
        self._depth = 0
        self._in_string = self._escaped = self._ended = False

    def __str__(self) -> str:
        return self._text.getvalue()

    def equal(self, text: str) -> bool:
        """Whether the arguments so far are ``text``."""
        return len(text) == self.length and str(self) == text

    def add(self, piece: str) -> None:
        """Append ``piece``."""
        if not piece:
            return
        self.length += self._text.write(piece)
        if self._ended:
            self.whole = self.whole and not piece.strip(_JSON_SPACE)
        elif self._reaches_end(piece):
            self._ended = True
            with suppress(ValueError):
                self.whole = isinstance(decode_json(str(self)), dict)

    def _reaches_end(self, piece: str) -> bool:
        """Follow the brackets of ``piece``; return whether the outermost one is closed, or there is none."""
        position = 0
        while position < len(piece):
            if self._escaped:
                self._escaped = False
                position += 1
                continue
            match = (_IN_STRING if self._in_string else _OUTSIDE if self._depth else _START).search(piece, position)
            if match is None:
                return False
            position, mark = match.end(), match[0]
            if mark == "\\":
                self._escaped = self._in_string
            elif mark == '"' and self._depth:
                self._in_string = not self._in_string
            elif mark in "{[":
                self._depth += 1
            else:
                self._depth -= 1
                if self._depth <= 0:
                    return True
        return False


@dataclass(slots=True)
class _Call:
    """A call that is still arriving."""

    index: int | None
    position: int
    id: str = ""
    name: str = ""
    arguments: _Arguments = field(default_factory=_Arguments)
    echo: dict[str, Any] = field(default_factory=dict)
    """Fields of the provider's own."""

    def take(self, name: str, arguments: str) -> None:
        """Add the next piece of the name and of the arguments."""
        if name and not (self.name and self.arguments.length):
            self.name = (name if name.startswith(self.name) else self.name + name)[:_LONGEST_NAME]
        # A repeat is recognised by being whole: no object continues after its last bracket.
        if not (self.arguments.whole and self.arguments.equal(arguments)):
            self.arguments.add(arguments)


class ToolCallDeltas:
    """Collects the ``tool_calls`` entries of one answer's deltas."""

    def __init__(self) -> None:
        self._calls: list[_Call] = []
        self._latest: dict[tuple[int | None, str], _Call] = {}
        """The latest call of each index and id; with an empty id, the latest of the index."""
        self.size = 0
        """Characters of all names, ids, arguments and other fields so far, plus the fixed amount per call."""
        self.echoes: dict[str, Mapping[str, Any]] = {}
        """Fields of the provider's own, by the ids of the finished calls."""

    def add(self, entries: object) -> None:
        """Take the ``tool_calls`` of one delta. Anything but a list of objects is ignored."""
        for position, entry in enumerate(entries if isinstance(entries, list) else ()):
            if not isinstance(entry, dict):
                continue
            function = entry.get("function")
            function = function if isinstance(function, dict) else {}
            index = entry.get("index")
            index = index if isinstance(index, int) and index >= 0 else None
            identity, name = _text(entry.get("id")), _text(function.get("name"))
            arguments = function.get("arguments")
            if not isinstance(arguments, str):
                arguments = json.dumps(arguments, ensure_ascii=False) if arguments else ""
            call = self._find(
                index if isinstance(index, int) and index >= 0 else None, identity, name, arguments, position
            )
            self._identify(call, identity)
            echo = {key: value for key, value in entry.items() if key not in _CALL_FIELDS and value is not None}
            if echo:
                call.echo |= echo
                self.size += len(repr(echo))
            call.take(name, arguments)
            self.size += len(identity) + len(name) + len(arguments)

    def finish(self, prefix: str = "call") -> tuple[ToolCall, ...]:
        """Return the calls in the order in which they began, each with an id of its own.

        A missing id becomes ``PREFIX_POSITION``; an id used before gets the position as a suffix. A call without
        arguments has ``{}``, because history with an empty string there is refused. Entries that name no function and
        carry nothing are left out.
        """
        written = {call.position: str(call.arguments) for call in self._calls}
        named_calls = [call for call in self._calls if call.name or written[call.position].strip()]
        finished: list[ToolCall] = []
        used_ids = {call.id for call in named_calls}
        used: set[str] = set()
        for position, call in enumerate(named_calls):
            identity = call.id
            if not identity or identity in used:
                identity = f"{call.id or prefix}_{position}"
                while identity in used_ids:
                    identity += "_"
                used_ids.add(identity)
            used.add(identity)
            arguments = written[call.position]
            arguments = arguments if arguments.strip() else "{}"
            finished.append(ToolCall(clean_text(identity), clean_text(call.name), clean_text(arguments)))
            if call.echo:
                self.echoes[finished[-1].id] = call.echo
        return tuple(finished)

    def _find(self, index: int | None, identity: str, name: str, arguments: str, position: int) -> _Call:
        """Return the call that a delta continues, or a new one."""
        latest = self._last(index, identity) if identity else None
        latest = latest or self._last(index, "")
        if latest is None:
            return self._start(index)
        whole = latest.arguments.whole
        again = name == latest.name and (not arguments.strip() or latest.arguments.equal(arguments.strip()))
        if identity == latest.id != "" or (not identity and index is not None):
            # The same call by id or by index, unless it would be a second object after a whole one.
            starts = bool(name and latest.name) and whole and not again
        elif identity and latest.id:
            # A name with the new id starts a call, unless it is the one whose arguments are on their way.
            starts = whole or bool(name and not (name == latest.name and latest.arguments))
        else:
            # Nothing but the name tells calls apart: it starts one after a whole one, or beside one in the same list.
            starts = bool(name and latest.name) and (whole or (index is None and position > 0))
        return self._start(index) if starts else latest

    def _start(self, index: int | None) -> _Call:
        call = _Call(index, len(self._calls))
        self._calls.append(call)
        self.size += _SIZE_OF_CALL
        self._latest[index, ""] = self._latest[_ANY, ""] = call
        return call

    def _identify(self, call: _Call, identity: str) -> None:
        """Give ``call`` the id that came with it, if it has none yet."""
        if identity and not call.id:
            call.id = identity
            for index in (call.index, _ANY):
                known = self._latest.get((index, identity))
                if known is None or known.position < call.position:
                    self._latest[index, identity] = call

    def _last(self, index: int | None, identity: str) -> _Call | None:
        """Return the latest call that a delta with ``index`` may continue; with ``identity``, the latest of that id."""
        places = (_ANY,) if index is None else (index, None)
        calls = [call for place in places if (call := self._latest.get((place, identity)))]
        return max(calls, key=lambda call: call.position, default=None)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
