"""Known quirks of model servers, under stable names, each with advice."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Quirk:
    """A known fault of a server or a model."""

    advice: str
    """What to do about it."""
    causes: tuple[str, ...] = ()
    """The causes of the rescue steps that deal with it; see ``events.Rescued``."""


_TEMPLATE = "give the server the model's own chat template and parser (llama.cpp: --jinja, vLLM: --tool-call-parser)"
_LARGER = "use a larger model, or one that is trained to call tools"

QUIRKS: Mapping[str, Quirk] = {
    # The chat
    "answers_empty": Quirk(f"look whether the chat template fits the model: {_TEMPLATE}", ("empty",)),
    "thinks_long": Quirk("its tokens went into thinking: turn thinking off on the server, or give it more max_tokens"),
    "thinks_inline": Quirk("thoughts in the text are taken out; better: a reasoning parser (vLLM: --reasoning-parser)"),
    "repeats_itself": Quirk("raise the repetition penalty, or use a less quantised model", ("repetition",)),
    "leaks_control_tokens": Quirk(f"they are removed; better: {_TEMPLATE}", ("control_tokens",)),
    "ignores_system": Quirk("say what matters in the user's message too, or use another model or chat template"),
    "no_stop_reason": Quirk("nothing to do: an answer that ends counts as whole, and a cut one is not noticed"),
    "no_streaming": Quirk("answers show at once when they are whole: turn streaming on in the server or its proxy"),
    "streams_late": Quirk(
        "something holds the stream back: turn buffering off in the proxy (nginx: proxy_buffering off)"
    ),
    "no_usage": Quirk("tokens are counted by swarmchat: set --max-context with some room to spare"),
    "odd_usage": Quirk("its count differs much from ours: set --max-context with some room to spare"),
    "cuts_context": Quirk(
        "give the server a larger window (Ollama: OLLAMA_CONTEXT_LENGTH or num_ctx), or set --max-context to its own"
    ),
    "small_window": Quirk(
        "set --max-context to the window that the server names, or start the server with a larger one"
    ),
    "loses_context": Quirk("it read all and did not find it: keep sessions short with a smaller --max-context"),
    "refuses_temperature": Quirk("do not set temperature in the parameters of agents"),
    "refuses_max_tokens": Quirk("set max_completion_tokens, not max_tokens, in the parameters of agents"),
    "refuses_request": Quirk("the server takes no such request: read its reason, and look for a newer version"),
    "server_errors": Quirk("look into the server's log: some fail to read what their own model wrote"),
    # Calls of tools
    "refuses_tools": Quirk("the server takes no tools for this model: use agents without tools, or another model"),
    "no_calls": Quirk(f"{_LARGER}; or {_TEMPLATE}"),
    "leaks_calls_as_text": Quirk(f"such calls are read from the text; better: {_TEMPLATE}", ("leaked_call",)),
    "leaks_calls_in_unknown_form": Quirk(f"the call stands in the text in a form that is not known: {_TEMPLATE}"),
    "no_call_ids": Quirk("nothing to do: ids are made up"),
    "repeats_call_ids": Quirk("nothing to do: later ones get a suffix"),
    "no_call_streaming": Quirk("nothing to do: a call shows when it is whole"),
    "wrong_arguments": Quirk("describe the parameters in the tool's docstring, with an example", ("bad_arguments",)),
    "malformed_arguments": Quirk(f"{_TEMPLATE}, or use a less quantised model", ("bad_arguments",)),
    "ignores_required_arguments": Quirk("say in the tool's docstring that the argument is needed", ("bad_arguments",)),
    "ignores_enums": Quirk("name the allowed values in the tool's docstring", ("bad_arguments",)),
    "fills_optional_arguments": Quirk("say in the tool's docstring when to leave the argument out"),
    "flattens_nested_arguments": Quirk("give tools flat parameters: texts and numbers", ("bad_arguments",)),
    "invents_arguments": Quirk(
        "the model is told which parameters there are; if it goes on so, see no_calls", ("bad_arguments",)
    ),
    "invents_tools": Quirk(f"name the tools in the agent's prompt, offer fewer, or {_LARGER}", ("unknown_tool",)),
    "changes_tool_names": Quirk("use short names of lower-case letters and _", ("unknown_tool",)),
    "breaks_unicode": Quirk("look for a newer server; until then, keep arguments in ASCII"),
    "no_parallel_calls": Quirk("calls are made one after the other; see parallel_tool_calls in the server's manual"),
    "calls_needlessly": Quirk("say in the agent's prompt when to use tools"),
    "calls_only_once": Quirk("say in the agent's prompt that tools are to be asked anew"),
    "ignores_results": Quirk(f"{_TEMPLATE}; the model may not be shown the results of tools"),
    "stuck_on_tool_errors": Quirk("say in the tool's error what to do instead", ("repeated_call", "request_limit")),
    "repeats_calls": Quirk(f"the model makes the same call again and again: {_LARGER}", ("repeated_call",)),
    "never_answers": Quirk(f"the model calls tools and does not answer: {_LARGER}", ("request_limit",)),
    "ignores_tool_choice": Quirk("nothing can keep it from calling: offer tools only to agents that need them"),
    # Swarms
    "no_handoffs": Quirk("describe in the agent's prompt when to hand over to whom; or see no_calls"),
    "circles": Quirk("let fewer agents hand over to one another", ("handoff_loop",)),
}
"""All quirks, by name. Scripts look for the names: never rename one."""
