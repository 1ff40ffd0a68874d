"""Known faults of models and servers under stable names, each with advice."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Quirk:
    """A known fault of a model or its server."""

    advice: str
    """The recommended fix."""
    causes: tuple[str, ...] = ()
    """The causes of the rescue steps that handle it; see ``events.Rescued``."""


_TEMPLATE = "give the server the model's own chat template and parser (llama.cpp: --jinja, vLLM: --tool-call-parser)"
_LARGER = "use a larger model, or one that is trained to call tools"

QUIRKS: Mapping[str, Quirk] = {
    # The chat
    "answers_empty": Quirk(f"check that the chat template fits the model: {_TEMPLATE}", ("empty",)),
    "thinks_long": Quirk("reasoning used up the tokens: turn it off on the server, or raise max_tokens"),
    "thinks_inline": Quirk(
        "swarmchat removes the reasoning; better: use a reasoning parser (vLLM: --reasoning-parser)"
    ),
    "repeats_itself": Quirk("raise the repetition penalty, or use a less quantised model", ("repetition",)),
    "leaks_control_tokens": Quirk(f"swarmchat removes them; better: {_TEMPLATE}", ("control_tokens",)),
    "ignores_system": Quirk("repeat what matters in the user's message, or use another model or chat template"),
    "no_stop_reason": Quirk("nothing to do, but a truncated answer cannot be told from a complete one"),
    "no_streaming": Quirk("turn streaming on in the server or its proxy; until then, each answer appears all at once"),
    "streams_late": Quirk("a proxy probably buffers the stream: turn buffering off (nginx: proxy_buffering off)"),
    "no_usage": Quirk("swarmchat counts the tokens itself: set --max-context with some room to spare"),
    "odd_usage": Quirk("its count differs much from swarmchat's: set --max-context with some room to spare"),
    "cuts_context": Quirk(
        "give the server a larger window (Ollama: OLLAMA_CONTEXT_LENGTH or num_ctx), or set --max-context to its window"
    ),
    "small_window": Quirk("set --max-context to the window in the error, or start the server with a larger one"),
    "loses_context": Quirk("the model overlooks details in long contexts: set a smaller --max-context"),
    "refuses_temperature": Quirk("do not set temperature in the parameters of agents"),
    "refuses_max_tokens": Quirk("set max_completion_tokens, not max_tokens, in the parameters of agents"),
    "refuses_request": Quirk("read the server's reason, and look for a newer version"),
    "server_errors": Quirk("read the server's log: some servers cannot parse the output of their own model"),
    # Calls of tools
    "refuses_tools": Quirk("use agents without tools, or another model: the server does not accept tools for this one"),
    "no_calls": Quirk(f"{_LARGER}; or {_TEMPLATE}"),
    "leaks_calls_as_text": Quirk(f"swarmchat finds the calls in the text; better: {_TEMPLATE}", ("leaked_call",)),
    "leaks_calls_in_unknown_form": Quirk(f"swarmchat does not know this form of calls in text: {_TEMPLATE}"),
    "no_call_ids": Quirk("nothing to do: swarmchat generates ids"),
    "repeats_call_ids": Quirk("nothing to do: swarmchat adds a suffix to repeated ids"),
    "no_call_streaming": Quirk("nothing to do: a call appears when it is complete"),
    "wrong_arguments": Quirk("describe the parameters in the tool's docstring, with an example", ("bad_arguments",)),
    "malformed_arguments": Quirk(f"{_TEMPLATE}, or use a less quantised model", ("bad_arguments",)),
    "ignores_required_arguments": Quirk(
        "say in the tool's docstring that the argument is required", ("bad_arguments",)
    ),
    "ignores_enums": Quirk("list the allowed values in the tool's docstring", ("bad_arguments",)),
    "fills_optional_arguments": Quirk("say in the tool's docstring when to leave the argument out"),
    "flattens_nested_arguments": Quirk("give tools flat parameters, such as strings and numbers", ("bad_arguments",)),
    "invents_arguments": Quirk(
        "swarmchat tells the model the valid parameters; if that does not help, see no_calls", ("bad_arguments",)
    ),
    "invents_tools": Quirk(f"list the tools in the agent's prompt, offer fewer, or {_LARGER}", ("unknown_tool",)),
    "changes_tool_names": Quirk("use short names of lower-case letters and _", ("unknown_tool",)),
    "breaks_unicode": Quirk("look for a newer server; until then, keep arguments in ASCII"),
    "no_parallel_calls": Quirk(
        "nothing to do: calls run one after another; see parallel_tool_calls in the server's manual"
    ),
    "calls_needlessly": Quirk("say in the agent's prompt when to use tools"),
    "calls_only_once": Quirk("say in the agent's prompt to call tools again for new questions"),
    "ignores_results": Quirk(f"{_TEMPLATE}: the current template may drop tool results"),
    "stuck_on_tool_errors": Quirk("say in the tool's error what to do instead", ("repeated_call", "request_limit")),
    "repeats_calls": Quirk(_LARGER, ("repeated_call",)),
    "never_answers": Quirk(_LARGER, ("request_limit",)),
    "ignores_tool_choice": Quirk("offer tools only to agents that need them"),
    # Swarms
    "no_handoffs": Quirk("describe in the agent's prompt when to hand over, and to whom; or see no_calls"),
    "circles": Quirk("allow fewer handoffs between agents", ("handoff_loop",)),
}
"""All quirks by name. Scripts rely on the names: never rename one."""
