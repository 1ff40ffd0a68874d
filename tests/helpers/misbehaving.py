"""A model that leaks, invents, mangles, loops and goes silent in turn: what it outputs to each question to helpdesk.

An output is a text, or a list of calls, each a name and the arguments as the model writes them. The last output of a
question is repeated for ever.
"""

import itertools
import json
from collections.abc import Sequence
from typing import NamedTuple

from swarmchat.swarm.models.base import Answer, ModelRequest, ToolCall
from swarmchat.swarm.models.scripted import Step

Output = str | list[tuple[str, str]]

_HONEY = '{"about": "honey"}'
_FOUND = "Honey does not spoil: it was found in tombs, and could be eaten."


class Question(NamedTuple):
    """What the user asks, what the model outputs, and what is wrong with that."""

    fault: str
    text: str
    outputs: Sequence[Output]


SCRIPT = [
    Question("nothing", "Hello", ["Hello! How can I help?"]),
    Question("a call in tags", "q1: honey?", [f'<tool_call>{{"name": "find_fact", "arguments": {_HONEY}}}', _FOUND]),
    Question("a call in other tags", "q2: honey?", [f"One moment.\n<toolcall>find_fact({_HONEY})</toolcall>", _FOUND]),
    Question(
        "a call as LM Studio leaks it",
        "q3: honey?",
        [f'[TOOL_REQUEST]{{"name": "find_fact", "arguments": {_HONEY}}}[END_TOOL_REQUEST]', _FOUND],
    ),
    Question(
        "a call as Mistral leaks it",
        "q4: honey?",
        [f'[TOOL_CALLS] [{{"name": "find_fact", "arguments": {_HONEY}}}]', _FOUND],
    ),
    Question("a call as Llama leaks it", "q5: honey?", [f"<function=find_fact>{_HONEY}</function>", _FOUND]),
    Question(
        "a call in a code block",
        "q6: honey?",
        [f'I will look.\n\n```json\n{{"name": "find_fact", "arguments": {_HONEY}}}\n```', _FOUND],
    ),
    Question("a name in another form", "q7: honey?", [[("functions.FindFact", _HONEY)], _FOUND]),
    Question("damaged JSON", "q8: honey?", [[("find_fact", "{'about': 'honey',}")], _FOUND]),
    Question("an invented tool", "q9: honey?", [[("search_web", '{"q": "honey"}')], [("find_fact", _HONEY)], _FOUND]),
    Question(
        "arguments that do not fit", "q10: honey?", [[("find_fact", '{"x": 1}')], [("find_fact", _HONEY)], _FOUND]
    ),
    Question("no answer, once", "q11: honey?", ["", _FOUND]),
    Question("control tokens", "q12: honey?", [f"{_FOUND}<|im_end|>\n<|im_start|>user\nThanks!<|im_end|>"]),
    Question("the same call again and again", "q13: honey?", [*[[("find_fact", _HONEY)]] * 3, _FOUND]),
    Question("one line for ever", "q14: honey?", ["Honey is sweet.\n" * 600, _FOUND]),
    Question("nothing: code", "How do I write a dict?", ["Write `{}`, or `{'a': 1}` with something in it."]),
    Question("nothing: JSON", "Give me JSON, please", ['{"name": "honey", "spoils": false}']),
    Question("silence for ever", "q15: honey?", [""]),
    Question("unknown tools, for ever", "q16: honey?", [[("search_the_web", '{"q": "honey"}')]]),
    Question("nothing", "Are you still there?", ["Yes, I am."]),
]


class Misbehaving:
    """Says what the script has for the question that a request is about: a step of a ScriptedModel."""

    def __init__(self, script: Sequence[Question] = SCRIPT) -> None:
        self._outputs = {question.text: iter(_for_ever(question.outputs)) for question in script}
        self._ids = itertools.count()

    def __call__(self, request: ModelRequest) -> Step:
        asked = [message["content"] for message in request.decoded_messages() if message["role"] == "user"]
        # The rescue asks the question again behind what was wrong.
        question = asked[-1].rpartition("\n\n")[2]
        output = next(self._outputs[question])
        if isinstance(output, str):
            return output
        calls = [ToolCall(f"call_{next(self._ids)}", name, arguments) for name, arguments in output]
        return Answer("", tuple(calls), "tool_calls")


def _for_ever(outputs: Sequence[Output]) -> "itertools.chain[Output]":
    return itertools.chain(outputs, itertools.repeat(outputs[-1]))


def original_check(text: str) -> str | None:
    """Return what the rule of the article has against ``text``: a brace, or a tag that may be that of a call."""
    if not text.strip():
        return "it is empty"
    signs = [sign for sign in ("{", "}", "<tool_call>", "<toolcall>", "<tool>") if sign in text]
    return f"it holds {json.dumps(signs[0])}" if signs else None
