"""Quirks of models and servers, the results of probes, and the verdict: is a model usable for chats, tools, swarms?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from swarmchat.swarm.conversation.events import Rescued
from swarmchat.swarm.probes.checks import Finding, Status
from swarmchat.swarm.probes.transcript import ProbeTranscript


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

_NEEDED = {
    "chat": ("answer",),
    "tools": ("answer", "call", "required_argument", "result", "tool_error"),
    "swarms": ("answer", "call", "required_argument", "result", "tool_error", "handoff"),
}
"""The probes that must not fail, by purpose."""


@dataclass(frozen=True)
class Result:
    """The outcome of one probe, with the rescue steps that handled its quirks."""

    name: str
    about: str
    status: Status
    seen: str
    """The observation. It may quote the model: sanitize it before printing."""
    quirks: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Each quirk with the rescue steps that handled it."""

    @property
    def steps(self) -> list[str]:
        """All rescue steps that were needed, without repetition."""
        return list(dict.fromkeys(chain.from_iterable(self.quirks.values())))

    def as_dict(self) -> dict[str, Any]:
        """Return the result as it appears in the JSON report."""
        quirks = list(self.quirks)
        return {"name": self.name, "status": self.status, "seen": self.seen, "quirks": quirks, "steps": self.steps}


def make_result(name: str, about: str, finding: Finding, transcript: ProbeTranscript, *, owner: bool) -> Result:
    """Return the result of a probe. Only the ``owner`` of the exchange gets its general quirks."""
    quirks = {quirk: _steps_for(quirk, transcript.rescued) for quirk in finding.quirks}
    if owner:
        explained = {cause for quirk in finding.quirks for cause in QUIRKS[quirk].causes}
        for quirk, steps in general_quirks(transcript).items():
            if not (quirk == "wrong_arguments" and "bad_arguments" in explained):
                quirks.setdefault(quirk, steps)
    status = "quirk" if finding.status == "ok" and quirks else finding.status
    return Result(name, about, status, finding.seen, quirks)


def general_quirks(transcript: ProbeTranscript) -> dict[str, list[str]]:
    """Return the quirks that any exchange can show, whatever its subject, each with its rescue steps."""
    quirks: dict[str, list[str]] = {}
    for rescued in transcript.rescued:
        steps = quirks.setdefault(_quirk_for(rescued), [])
        if rescued.step not in steps:
            steps.append(rescued.step)
    return quirks


def _quirk_for(rescued: Rescued) -> str:
    repaired = rescued.step == "repair"
    if rescued.cause == "unknown_tool":
        return "changes_tool_names" if repaired else "invents_tools"
    return {
        "leaked_call": "leaks_calls_as_text",
        "control_tokens": "leaks_control_tokens",
        "empty": "answers_empty",
        "repetition": "repeats_itself",
        "repeated_call": "repeats_calls",
        "request_limit": "never_answers",
        "handoff_loop": "circles",
    }.get(rescued.cause, "malformed_arguments" if repaired else "wrong_arguments")


def _steps_for(quirk: str, rescued: Sequence[Rescued]) -> list[str]:
    return list(dict.fromkeys(each.step for each in rescued if each.cause in QUIRKS[quirk].causes))


def usable(results: Sequence[Result]) -> dict[str, str]:
    """Return whether the model is usable for ``chat``, ``tools`` and ``swarms``.

    The verdict is ``yes``, ``with rescue``, ``no``, or ``unknown`` if a probe that it depends on did not run.
    """
    by_name = {result.name: result for result in results}
    verdicts = {}
    for purpose, names in _NEEDED.items():
        tried = [by_name[name] for name in names if name in by_name]
        if any(result.status == "failed" for result in tried):
            verdicts[purpose] = "no"
        elif len(tried) < len(names) or any(result.status == "skipped" for result in tried):
            verdicts[purpose] = "unknown"
        else:
            verdicts[purpose] = "with rescue" if any(result.steps for result in tried) else "yes"
    return verdicts


def merged_quirks(results: Sequence[Result]) -> dict[str, list[str]]:
    """Return the quirks of all results in the order of QUIRKS, each with all rescue steps that handled it."""
    quirks: dict[str, list[str]] = {}
    for quirk in QUIRKS:
        steps = [result.quirks[quirk] for result in results if quirk in result.quirks]
        if steps:
            quirks[quirk] = list(dict.fromkeys(chain.from_iterable(steps)))
    return quirks
