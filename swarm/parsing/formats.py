"""The marks with which models and chat templates frame tool calls, thoughts and turns: data for the parsers.

Sources: the models' chat templates, and the parsers that servers have for them: vLLM's ``tool_parsers``, SGLang's
``function_call``, llama.cpp's ``common/chat``, Ollama's ``model/parsers``.
"""

import re
from collections.abc import Iterable
from functools import cached_property, lru_cache

from swarmchat.swarm.common.patterns import lazy_pattern

# The formats, and the marks by which a frame of calls begins in them. Whether it is one, the text behind decides.
_FORMATS: dict[str, tuple[str, ...]] = {
    # Hermes, Qwen 2.5 and 3, GLM-4.5, Granite 3 (vLLM: hermes, qwen3_coder, glm45, granite); a space: with attributes
    "tool_call tags": ("<tool_call>", "<toolcall>", "<TOOL_CALL>", "<tool_call ", "<toolcall "),
    # Jamba, MiniMax M1, Hunyuan (vLLM: jamba, minimax, hunyuan_a13b)
    "tool_calls tags": ("<tool_calls>", "<toolcalls>"),
    # Glaive, NexusRaven's data (glaive-function-calling-v2)
    "function_call tags": ("<function_call>", "<functioncall>", "<function_call "),
    "function_calls tags": ("<function_calls>",),  # Anthropic's XML; Olmo 3 with Python inside (vLLM: olmo3)
    # Qwen 2.5 Coder mixes its marks up; Claude 2 and its imitators have the name in an element
    "tool tags": ("<tool>", "<tools>", "<tool ", "<tool_name>", "<function_name>"),
    "call tags": ("<call>",),
    "tool_use tags": ("<tool_use>", "<use_tool>", "<execute_tool>"),
    "tool_request tags": ("<tool_request>", "<tool_invocation>", "<api_call>"),
    "tool_code tags": ("<tool_code>",),  # Gemini's
    "Nemotron": ("<TOOLCALL>",),  # Nano v2 (SGLang, llama.cpp)
    # Llama 3.1 (vLLM: llama3.1 prompt format), Qwen3-Coder without its outer tag; Llama 3.3 on Groq; MiniCPM
    "function tags": ("<function=", "<function(", "<function/", "<function name=", "<function>"),
    "invoke tags": ("<invoke ", "<invoke>"),  # Claude 2 has the name in an element
    "Anthropic": tuple(f"<antml:{rest}" for rest in ("function_calls>", "invoke ", "invoke>")),  # its own namespace
    "MiniMax": ("<minimax:tool_call>",),  # M2 (vLLM: minimax_m2)
    "Seed": ("<seed:tool_call>",),  # Seed-OSS (vLLM: seed_oss)
    "LongCat": ("<longcat_tool_call>",),  # (vLLM: longcat)
    "Solar": ("<|tool_call:begin|>",),
    "HyperCLOVA": ("-> tool/function_call",),
    "Pangu": ("[unused11]",),
    "Step": ("<steptml:invoke ",),  # Step3 (vLLM: step3)
    "dots": ("<dots_function_call>",),
    "FunctionGemma": ("<start_function_call>",),  # (vLLM: functiongemma)
    "Gemma 4": ("<|tool_call>",),
    "Granite": ("<|tool_call|>",),  # (vLLM: granite), Phi-4-mini
    "Phi-4": ("<|tool_calls|>",),
    "Llama 3": ("<|python_tag|>",),  # (vLLM: llama3_json)
    "Llama 4": ("<|python_start|>",),  # (vLLM: llama4_pythonic)
    "LFM2": ("<|tool_call_start|>",),  # (SGLang: lfm2), MiniCPM
    "Apertus": ("<|tools_prefix|>",),  # (llama.cpp)
    "GigaChat": ("<|function_call|>", "function call<|role_sep|>"),  # 3.1 and 3 (vLLM: gigachat3)
    "Functionary": ("<|recipient|>",),  # v2
    "InternLM": ("<|action_start|>",),  # (vLLM: internlm)
    "Command": ("<|START_ACTION|>",),  # Command-R7B, Command A (Ollama, llama.cpp)
    # K2 (vLLM: kimi_k2)
    "Kimi": ("<|tool_calls_section_begin|>", "<|tool_call_section_begin|>", "<|tool_call_begin|>"),
    "Mistral": ("[TOOL_CALLS]",),  # (vLLM: mistral)
    "LM Studio": ("[TOOL_REQUEST]",),
    "Qwen-Agent": ("✿FUNCTION✿",),
    "functools": ("functools[",),  # FireFunction, Phi-4-mini (vLLM: phi4_mini_json)
}

OPENERS: dict[str, str] = {mark: name for name, marks in _FORMATS.items() for mark in marks}
"""The marks, with the names of their formats."""

# DeepSeek V3, R1, V3.1 and V3.2 (vLLM: deepseek_v3, deepseek_v31, deepseek_v32; llama.cpp knows the misspellings too),
# Step3; and look-alikes in ASCII, of which one is Kimi's.
for _bar in "｜|":
    _marks = [
        f"<{_bar}tool{_gap}{_word}{_gap}begin{_bar}>" for _gap in ("▁", "_", " ", "\\_") for _word in ("calls", "call")
    ]
    OPENERS = dict.fromkeys((*_marks, f"<{_bar}tool▁calls{_bar}>"), "DeepSeek") | OPENERS
    OPENERS |= {f"<{_bar}DSML{_bar}{_rest}": "DeepSeek DSML" for _rest in ("function_calls>", "tool_calls>", "invoke ")}


def self_starting(mark: str) -> bool:
    """Tell whether ``mark`` is the beginning of the call itself, so that the parser starts at it."""
    return mark[-1] in "=(/ " or mark.endswith("invoke>") or mark == "functools["


def functionary(name: str) -> str:
    """Return the mark by which Functionary v3 (llama.cpp) calls ``name``."""
    return f">>>{name}\n"


# What only servers write: a result that the model invents, or repeats.
RESULTS: dict[str, str] = {
    **{f"<{word}>": f"</{word}>" for word in ("tool_response", "tool_result", "tool_results", "tool_output")},
    **{f"<{word}>": f"</{word}>" for word in ("function_response", "function_result", "function_results")},
    "[TOOL_RESULTS]": "[/TOOL_RESULTS]",
    **{f"```{word}\n": "\n```" for word in ("tool_output", "tool_outputs")},  # Gemma
    **{f"<{bar}tool▁outputs▁begin{bar}>": f"<{bar}tool▁outputs▁end{bar}>" for bar in "｜|"},
}
"""Where they begin -> where they end."""

_GAP = r"(?:[▁_ ]|\\_)"

# Text between a name and its arguments.
SEPARATOR = rf"<[｜|]tool{_GAP}sep[｜|]>"

# What may stand between a mark and its call, beside white space.
INSIDE_OPENER = lazy_pattern(
    rf"<\|plugin\|>|\w{{0,30}}<\|tool_call:name\|>|<\|interpreter\|>|function<[｜|]tool{_GAP}sep[｜|]>|<\|tool_calls?(?:_section)?_begin\|>"
    rf"|<[｜|]tool{_GAP}calls?(?:{_GAP}begin)?[｜|]>|<[｜|]DSML[｜|](?:function|tool)_calls>"
    r"|<(?:antml:)?(?:tool_calls?|function_calls?)>"
    r"|functools(?=\[)|:(?!\w)"
)

# What ends a frame; any number of them, in any order, and swallowed with it.
CLOSERS = lazy_pattern(
    r"</(?:\|?(?:(?:minimax|seed|antml):)?(?:longcat_|dots_)?(?:tool_calls?|toolcalls?|TOOLCALL|function_calls?"
    r"|functioncall|functions?|tools?|tool_use|use_tool|execute_tool|tool_request|tool_invocation|api_call|tool_code|invoke|call)\|?)>|</(?:arg_key|arg_value|parameters?)>|<function>"
    r"|</(?:(?:tool_|function_|action_|call_)?(?:args?|arguments?|inputs?|params?|name)|tool_response|TOOL_CALL)>|</\|tool_calls?\|>|<\|/tool_calls?\|>|<tool_call\|>|<end_function_call>|<\|action_end\|>|<\|END_ACTION\|>"
    rf"|<\|python_end\|>|<[｜|]tool{_GAP}calls?{_GAP}end[｜|]>|<\|tool_calls?_section_end\|>|<\|tool_call_end\|>"
    r"|<\|tools_suffix\|>|<\|tool_call:end\|>|\[unused12\]|<bot_end>|<end_(?:code|action)>"
    r"|</[｜|]DSML[｜|](?:function_calls|tool_calls|invoke)>|</steptml:invoke>|\[/?END_TOOL_REQUEST\]|\[/TOOL_CALLS\]"
    r"|\[/TOOL_REQUEST\]|<\|call\|>|<start_function_response>|✿RESULT✿:?|✿RETURN✿:?"
)

# A closing mark that is still being written; none is longer.
CLOSER_START = lazy_pattern(r"(?:<[^<>\n]{0,40}|\[[/A-Z_]{0,20}|✿[A-Z✿]{0,8})\Z")

# Where a thought begins -> where it ends.
THOUGHTS: dict[str, str] = {
    "<think>": "</think>",  # DeepSeek R1, Qwen 3
    "<thinking>": "</thinking>",
    "<thought>": "</thought>",
    "<reasoning>": "</reasoning>",
    "<scratch_pad>": "</scratch_pad>",  # Hermes
    "<seed:think>": "</seed:think>",
    "◁think▷": "◁/think▷",  # Kimi-VL
    "[THINK]": "[/THINK]",  # Magistral
    "<|START_PLAN|>": "<|END_PLAN|>",
    "<|START_THINKING|>": "<|END_THINKING|>",  # Command A
    "<|channel>thought": "<channel|>",  # Gemma 4
}

# Harmony, of gpt-oss: a message's header, and the end of its body.
HARMONY = "<|channel|>"

HARMONY_HEADER = lazy_pattern(
    r"\s{0,9}(?P<channel>analysis|final|commentary)\b"
    r"(?P<header>(?:[^<>{}\n]|<\|(?:constrain|channel)\|>){0,160})(?:<\|message\|>|(?<=json)(?=\s{0,9}\{))"
)

HARMONY_HEADER_START = lazy_pattern(
    r"\s{0,9}\w{0,12}(?:[^<>{}\n]|<\|(?:constrain|channel)\|>){0,160}(?:<[|a-z]{0,12})?\s{0,9}\Z"
)

HARMONY_CHANNEL_START = lazy_pattern(r"\s{0,9}(?:(?:analysis|final|commentary)\b|[acf]?[a-z]{0,9}\Z)")

HARMONY_END = lazy_pattern(r"<\|(?:end|return|call)\|>|(?=<\|(?:start|channel)\|>)")

# Ends of turns.
ENDS = """<|im_end|> <|eot_id|> <|eom_id|> <|eot|> <|eom|> <|endoftext|> <|end_of_text|> <|end|> <|return|> <|call|>
<|eos|> <eos> <end_of_turn> <turn|> </s> <|END_OF_TURN_TOKEN|> <|END_RESPONSE|> <|EOT|> <|end_of_role|> <|eor|>
<｜end▁of▁sentence｜> <|end▁of▁sentence|> <|end_of_sentence|> <|im_sep|> <|end_of_message|> [/INST] <|END_TEXT|>
<|message|> <|end_header_id|> <|header_end|> </longcat_s> <|message_sep|> <|role_sep|> <|stop|> <|content|>
[|endofturn|] [e~[ <seed:eos>""".split()

# Beginnings, to be followed by a role.
STARTS = """<|im_start|> <|start_header_id|> <|header_start|> <|begin_of_text|> <s> <bos> <|start|> <start_of_turn>
<|turn> <|start_of_role|> <|START_OF_TURN_TOKEN|> <｜begin▁of▁sentence｜> <|begin▁of▁sentence|> <|START_RESPONSE|>
<|START_TEXT|> <|from|>""".split()

# Roles that are tokens themselves: the model's own, and others.
OWN_ROLES = "<|assistant|> <|Assistant|> <｜Assistant｜> <|CHATBOT_TOKEN|>".split()

OTHER_ROLES = "<|user|> <|User|> <｜User｜> <|USER_TOKEN|> <|system|> <|SYSTEM_TOKEN|> <|observation|> [INST]".split()

# Functionary's mark before text for the user.
OWN_ROLES.append(functionary("all"))

# Where a thought ends whose beginning the chat template wrote, and the server took away.
THOUGHT_ENDS = frozenset(mark for mark in THOUGHTS.values() if mark not in ("</reasoning>", "</scratch_pad>"))

# Ends of calls that have no beginning; cut only where a line begins.
STRAY_ENDS = "</tool_call> </tool_calls> </toolcall> </function_call> </tool_response>".split()

CONTROL = frozenset((*STRAY_ENDS, *ENDS, *STARTS, *OWN_ROLES, *OTHER_ROLES))

ROLE = lazy_pattern(
    r"[ \t]{0,3}(?:(?P<own>assistant|model|chatbot)(?: to=(?P<to>[\w.-]{1,100}))?"
    r"|(?P<other>user|system|tool|developer|human|ipython|functions\.\w{1,100}"
    # Base models invent roles, such as "customer"; in these marks, a word alone on its line is one.
    r"|(?:(?<=<\|im_start\|>)|(?<=<start_of_turn>))[a-z]\w{0,20}(?=\r?\n)))(?![\w.])"
)

ROLE_START = lazy_pattern(
    r"[ \t]{0,3}(?:[a-z]{0,9}|(?:(?<=<\|im_start\|>)|(?<=<start_of_turn>))[a-z]\w{0,20}\r?"
    r"|(?:assistant) [to=]{0,3}|assistant to=[\w.-]{0,100}|functions\.\w{0,100})\Z"
)

# A role behind the end of a turn, as plain text: the model continues as somebody else.
OTHER_TURN = lazy_pattern(r"(?:user|assistant|system|tool|human|model)[ \t]{0,3}:?[ \t]{0,3}(?=\r?\n|\Z)")

OTHER_TURN_START = lazy_pattern(r"[a-z]{0,9}[ \t]{0,3}:?[ \t]{0,3}\r?\Z")

# A line of Python, or of a language with the same syntax; not a line that could also start a sentence.
STATEMENT = lazy_pattern(
    r"""\s*(?:import\s\w|from\s[\w.]+\simport\s|(?:async\s)?def\s\w+\(|class\s\w+.*:\s*\Z|(?:if|elif|while)\s.*:\s*\Z
    |for\s[\w,\s]+\sin\s.*:\s*\Z|(?:else|try|finally):\s*\Z|except\b.*:\s*\Z|with\s.*\sas\s\w+:\s*\Z|(?:const|let|var)\s\w+\s*=
    |[A-Za-z_][\w.]*(?:\[[^\]]*\])?(?:,\s?[A-Za-z_]\w*)*(?:\s?:\s?\w[\w\[\].]*)?\s?[-+*/|]?=(?!=)|[A-Za-z_][\w.]*\(.*\)\s*;?\s*\Z)""",
    re.VERBOSE,
)

_KEPT = 64
_HINT = 4
"""Characters by which a mark that does not begin with ``<`` is suspected."""
_LEAST_MARK = 6
"""Characters of an opener by which it is known when the text ends in it."""

# Possible starts of a line with a bare call, besides a name.
_LINE_WORDS = (
    "action **action *action assistant commentary analysis to= json tool function name calls command execute invoke run"
    " api default_api namespace print using use thought question **tool **call **function **name"
).split()
_JSON_KEYS = "name|tool|tool_name|function|function_name|action|tool_calls?|function_call|functionCall|type|id"
"""Keys that the JSON of a call begins with."""
CALL_VERB = r"(?:call(?:s|ing)?|us(?:e|es|ing)|invok(?:e|es|ing)|execut(?:e|es|ing)|run(?:s|ning)?)"
# Words beside which a call stands alone on its line: those that may begin it, and others.
PREAMBLE_HEADS = frozenset(
    "call calls calling use uses using invoke invokes invoking execute executes executing run runs running tool"
    " function api action command plugin tool_call tool_calls function_call function_calls tool_code python_tag"
    " tool_use request query step next suggested i i'm assistant ai code json output response python await async return"
    " const let var yield channel".split()
)
PREAMBLE_WORDS = PREAMBLE_HEADS | frozenset(
    "answer with a an the this following am is will now to name commentary begin end sep py bash js".split()
)
# What may stand before the words that announce a call: a heading, a symbol.
DECORATION = r"(?:\#{1,6}|[\u2190-\u2bff\U0001f300-\U0001faff]\ufe0f?)[ \t]{0,3}"


class Marks:
    """The patterns for one set of offered tools. Each is made at its first use: most answers need the cheapest only."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names
        self.openers = {**OPENERS, **{functionary(name): "Functionary" for name in names if name != "all"}}
        """Marks that open a frame of calls, with the names of their formats."""
        self._marks = frozenset((*CONTROL, *THOUGHTS, *THOUGHT_ENDS, HARMONY, *RESULTS, *self.openers))
        self.heads = frozenset(mark[0] for mark in self._marks)
        """The first characters of all marks."""

    @cached_property
    def any(self) -> "re.Pattern[str]":
        """Any mark."""
        return re.compile(alternatives(self._marks))

    @cached_property
    def beginnings(self) -> frozenset[str]:
        """Every text that a mark begins with."""
        return beginnings(self._marks)

    @cached_property
    def cut_openers(self) -> frozenset[str]:
        """Texts that openers begin with, long enough to be nothing else."""
        texts = beginnings((*self.openers, HARMONY, "<|start|>"))
        return frozenset(text for text in texts if len(text) >= _LEAST_MARK and not text[0].isalpha())

    @cached_property
    def line(self) -> "re.Pattern[str]":
        """The white space before what may be a bare call or a code fence, at the beginning of a line."""
        return re.compile(rf"[ \t]*(?={_line_start(self._names)})")

    def match(self, text: str, position: int) -> "re.Match[str] | None":
        """Match a mark, or the start of a line that may be a bare call (the group ``line``), at ``position``."""
        return self._interest.match(text, position) if self._hint.match(text, position) else None

    def search(self, text: str, position: int) -> "re.Match[str] | None":
        """Find the next mark, or line that may be a bare call, as ``match``."""
        hint = self._hint.search(text, position)
        return self._interest.search(text, hint.start()) if hint else None

    @cached_property
    def _interest(self) -> "re.Pattern[str]":
        return re.compile(rf"(?P<line>\n{self.line.pattern})|{alternatives(self._marks)}|(?P<inline>{self._inline})")

    @cached_property
    def _hint(self) -> "re.Pattern[str]":
        """The first characters of what ``_interest`` matches: compiled in a tenth of its time."""
        others = alternatives(mark[:_HINT] for mark in self._marks if mark[0] != "<")
        return re.compile(rf"<|{others}|\n{self.line.pattern}|{self._inline}")

    @cached_property
    def _inline(self) -> str:
        """What a call in the middle of a line may begin with: a sign and a word for it, JSON, a colon and a name."""
        if not self._names:
            return r"(?!)"
        heads = "".join(sorted({re.escape(name[:1]) for name in self._names}))
        names = "|".join(map(re.escape, self._names))
        word = rf"(?i:i(?:'m|[ ]am)?[ ])?(?:(?i:{CALL_VERB}|tool|function|api[ ]|action)\b|(?:{names})\b|\w{{0,20}}\Z)"
        json = rf"\{{(?=\s{{0,3}}(?:[\"'](?:{_JSON_KEYS}|\w{{0,20}}\Z)|\Z))"
        harmony = r"(?:assistant)?(?:commentary|analysis)[ ]{0,2}to=(?=[\w.-]|\Z)"
        signs = rf"[(*_~\[]{{1,3}}(?=[ ]?{word})"
        return rf"{signs}|{json}|{harmony}|[ ](?=[{heads}][\w.]{{0,60}}(?:\(|\Z)|\Z)"


@lru_cache(_KEPT)
def marks_for(names: tuple[str, ...]) -> Marks:
    """Return the patterns to search for while tools with these names are offered."""
    return Marks(names)


def _line_start(names: tuple[str, ...]) -> str:
    """Return a pattern for the first characters of a line that may be a bare call, or a code fence."""
    if not names:
        return "[`~]"
    pairs: dict[str, set[str]] = {}
    for word in (*_LINE_WORDS, *PREAMBLE_HEADS, *names):
        letters = word.replace("_", "").replace("-", "")
        for first in {word[:1].lower(), word[:1].upper()}:
            pairs.setdefault(first, set()).update(
                (" " if len(word) == 1 else "", letters[1:2].lower(), letters[1:2].upper(), "_", ".", "-", "(", "")
            )
    named = "|".join(
        f"{re.escape(first)}(?:[{re.escape(''.join(sorted(seconds)))}]|\\Z)" for first, seconds in sorted(pairs.items())
    )
    brackets = r"\{(?=\{?\s*(?:[\"'“‘\w/#]|\Z))|\[(?=\[?\s*[\w{\"#]|\[?\s*\Z)|<(?=[<|｜/]?[A-Za-z{]|<?[|｜]?\Z)"
    code = r"[a-z_][\w.]{0,60}(?:(?: ?:[a-z ]{1,8})? ?=(?!=)|\(|\Z)|[a-z]\w{0,40} ?:?[a-z ]{0,8}\Z"
    signs = r"[(*_$>@/!%\"'=.\u200b\ufeff-]|\d{1,2}(?:[.)](?=\s|\Z)|\Z)"
    return rf"[`~]|{brackets}|{signs}|{DECORATION}|{named}|{code}"


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


OPENER = lazy_pattern(alternatives(OPENERS))
CONTROL_MARK, TURN_MARK = (lazy_pattern(alternatives(marks)) for marks in (CONTROL, CONTROL.difference(STRAY_ENDS)))
