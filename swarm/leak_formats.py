"""The marks by which models and chat templates frame tool calls, thoughts and turns: data for the parsers.

Sources: the models' chat templates, and the parsers that servers have for them: vLLM's ``tool_parsers``, SGLang's
``function_call``, llama.cpp's ``common/chat``, Ollama's ``model/parsers``.
"""

import re
from collections.abc import Iterable

# Where a frame of calls begins -> the format's name. Whether it is one, the text behind the mark decides.
OPENERS: dict[str, str] = {
    # Hermes, Qwen 2.5 and 3, GLM-4.5, Granite 3 (vLLM: hermes, qwen3_coder, glm45, granite)
    "<tool_call>": "tool_call tags",
    "<toolcall>": "tool_call tags",
    "<tool_calls>": "tool_calls tags",  # Jamba, MiniMax M1, Hunyuan (vLLM: jamba, minimax, hunyuan_a13b)
    "<toolcalls>": "tool_calls tags",
    "<function_call>": "function_call tags",
    "<functioncall>": "function_call tags",  # Glaive, NexusRaven's data (glaive-function-calling-v2)
    "<function_calls>": "function_calls tags",  # Anthropic's XML; Olmo 3 with Python inside (vLLM: olmo3)
    "<tool>": "tool tags",
    "<tools>": "tool tags",  # Qwen 2.5 Coder mixes its marks up
    "<tool_use>": "tool_use tags",
    "<tool_code>": "tool_code tags",  # Gemini's
    "<function=": "function tags",  # Llama 3.1 (vLLM: llama3.1 prompt format), Qwen3-Coder without its outer tag
    "<invoke name=": "invoke tags",
    "<minimax:tool_call>": "MiniMax",  # M2 (vLLM: minimax_m2)
    "<seed:tool_call>": "Seed",  # Seed-OSS (vLLM: seed_oss)
    "<longcat_tool_call>": "LongCat",  # (vLLM: longcat)
    "<steptml:invoke name=": "Step",  # Step3 (vLLM: step3)
    "<start_function_call>": "FunctionGemma",  # (vLLM: functiongemma)
    "<|tool_call>": "Gemma 4",
    "<|tool_call|>": "Granite",  # (vLLM: granite), Phi-4-mini
    "<|tool_calls|>": "Phi-4",
    "<|python_tag|>": "Llama 3",  # (vLLM: llama3_json)
    "<|python_start|>": "Llama 4",  # (vLLM: llama4_pythonic)
    "<|action_start|>": "InternLM",  # (vLLM: internlm)
    "<|START_ACTION|>": "Command",  # Command-R7B, Command A (Ollama, llama.cpp)
    "<|tool_calls_section_begin|>": "Kimi",  # K2 (vLLM: kimi_k2)
    "<|tool_call_section_begin|>": "Kimi",
    "<|tool_call_begin|>": "Kimi",
    "[TOOL_CALLS]": "Mistral",  # (vLLM: mistral)
    "[TOOL_REQUEST]": "LM Studio",
    "✿FUNCTION✿": "Qwen-Agent",
    "functools[": "functools",  # FireFunction, Phi-4-mini (vLLM: phi4_mini_json)
}
# DeepSeek V3, R1, V3.1 and V3.2 (vLLM: deepseek_v3, deepseek_v31, deepseek_v32), Step3; and look-alikes in ASCII.
for _bar in "｜|":
    for _gap in "▁_":
        OPENERS[f"<{_bar}tool{_gap}calls{_gap}begin{_bar}>"] = "DeepSeek"
        OPENERS[f"<{_bar}tool{_gap}call{_gap}begin{_bar}>"] = "DeepSeek" if (_bar + _gap) != "|_" else "Kimi"
    OPENERS[f"<{_bar}DSML{_bar}function_calls>"] = "DeepSeek DSML"
    OPENERS[f"<{_bar}DSML{_bar}tool_calls>"] = "DeepSeek DSML"
    OPENERS[f"<{_bar}DSML{_bar}invoke name="] = "DeepSeek DSML"
# These are the beginning of the call itself: the parser starts at the mark.
SELF_STARTING = tuple(mark for mark in OPENERS if mark.endswith("=") or mark == "functools[")

# What may stand between a mark and its call, beside white space.
INSIDE_OPENER = re.compile(
    r"<\|plugin\|>|<\|interpreter\|>|function<[｜|]tool[▁_]sep[｜|]>|<\|tool_calls?(?:_section)?_begin\|>"
    r"|<[｜|]tool[▁_]calls?[▁_]begin[｜|]>|<[｜|]DSML[｜|](?:function|tool)_calls>|<(?:tool_calls?|function_calls?)>"
    r"|functools(?=\[)|:(?!\w)"
)
# What ends a frame; any number of them, in any order, and swallowed with it.
CLOSERS = re.compile(
    r"</(?:\|?(?:(?:minimax|seed|antml):)?(?:longcat_)?(?:tool_calls?|toolcalls?|function_calls?|functioncall"
    r"|functions?|tools?|tool_use|tool_code|invoke)\|?)>"
    r"|</\|tool_calls?\|>|<\|/tool_calls?\|>|<tool_call\|>|<end_function_call>|<\|action_end\|>|<\|END_ACTION\|>"
    r"|<\|python_end\|>|<[｜|]tool[▁_]calls?[▁_]end[｜|]>|<\|tool_calls?_section_end\|>|<\|tool_call_end\|>"
    r"|</[｜|]DSML[｜|](?:function_calls|tool_calls|invoke)>|</steptml:invoke>|\[/?END_TOOL_REQUEST\]|\[/TOOL_CALLS\]"
    r"|\[/TOOL_REQUEST\]|<\|call\|>|<start_function_response>|✿RESULT✿:?|✿RETURN✿:?"
)
# A closing mark that is still being written; none is longer.
CLOSER_START = re.compile(r"(?:<[^<>\n]{0,40}|\[[/A-Z_]{0,20}|✿[A-Z✿]{0,8})\Z")

# Where a thought begins -> where it ends.
THOUGHTS: dict[str, str] = {
    "<think>": "</think>",  # DeepSeek R1, Qwen 3
    "<thinking>": "</thinking>",
    "<thought>": "</thought>",
    "<reasoning>": "</reasoning>",
    "<seed:think>": "</seed:think>",
    "◁think▷": "◁/think▷",  # Kimi-VL
    "[THINK]": "[/THINK]",  # Magistral
    "<|START_THINKING|>": "<|END_THINKING|>",  # Command A
    "<|channel>thought": "<channel|>",  # Gemma 4
}
# Harmony, of gpt-oss: a message's header, and what ends its body.
HARMONY = "<|channel|>"
HARMONY_HEADER = re.compile(
    r"\s{0,9}(?P<channel>analysis|final|commentary)\b"
    r"(?P<header>[^<>{}\n]{0,120}(?:<\|constrain\|>\s{0,9}\w{0,20}\s{0,9})?)<\|message\|>"
)
HARMONY_HEADER_START = re.compile(
    r"\s{0,9}\w{0,12}[^<>{}\n]{0,120}(?:<[^\n<>]{0,12}(?:>\s{0,9}\w{0,20}\s{0,9}(?:<[^\n<>]{0,12})?)?)?\Z"
)
HARMONY_END = re.compile(r"<\|(?:end|return|call)\|>|(?=<\|(?:start|channel)\|>)")

# Ends of turns.
ENDS = """<|im_end|> <|eot_id|> <|eom_id|> <|eot|> <|eom|> <|endoftext|> <|end_of_text|> <|end|> <|return|> <|call|>
<|eos|> <eos> <end_of_turn> <turn|> </s> <|END_OF_TURN_TOKEN|> <|END_RESPONSE|> <|EOT|> <|end_of_role|> <|eor|>
<｜end▁of▁sentence｜> <|end▁of▁sentence|> <|end_of_sentence|> <|im_sep|> <|end_of_message|> [/INST] <|END_TEXT|>
<|message|> <|end_header_id|> <|header_end|>""".split()
# Beginnings, to be followed by a role.
STARTS = """<|im_start|> <|start_header_id|> <|header_start|> <|begin_of_text|> <s> <bos> <|start|> <start_of_turn>
<|turn> <|start_of_role|> <|START_OF_TURN_TOKEN|> <｜begin▁of▁sentence｜> <|begin▁of▁sentence|> <|START_RESPONSE|>
<|START_TEXT|>""".split()
# Roles that are tokens themselves: the model's own, and others.
OWN_ROLES = "<|assistant|> <|Assistant|> <｜Assistant｜> <|CHATBOT_TOKEN|>".split()
OTHER_ROLES = "<|user|> <|User|> <｜User｜> <|USER_TOKEN|> <|system|> <|SYSTEM_TOKEN|> <|observation|> [INST]".split()
CONTROL = frozenset((*ENDS, *STARTS, *OWN_ROLES, *OTHER_ROLES))
ROLE = re.compile(
    r"[ \t]{0,3}(?:(?P<own>assistant|model|chatbot)(?: to=(?P<to>[\w.-]{1,100}))?"
    r"|(?P<other>user|system|tool|developer|human|ipython|functions\.\w{1,100}))(?![\w.])"
)
ROLE_START = re.compile(
    r"[ \t]{0,3}(?:[a-z]{0,9}|(?:assistant) [to=]{0,3}|assistant to=[\w.-]{0,100}|functions\.\w{0,100})\Z"
)


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
