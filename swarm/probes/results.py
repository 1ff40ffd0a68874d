"""The known quirks of models and servers, the results of probes, and the verdict on a model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from swarmchat.swarm.probes.checks import ProbeFinding, Status
from swarmchat.swarm.probes.transcript import ProbeTranscript

_TEMPLATE = "give the server the model's own chat template and parser (vLLM: --tool-call-parser)"
_LARGER = "use a larger model, or one that is trained to call tools"

QUIRKS: Mapping[str, str] = {
    # The chat
    "answers_empty": f"check that the chat template fits the model: {_TEMPLATE}",
    "misses_questions": "use a larger model, or one that is trained to chat (often named -instruct), not a base model",
    "refuses_questions": "use another model, or another chat template or system prompt on the server: this one refuses "
    "a harmless question",
    "thinks_long": "reasoning used up the tokens: turn it off on the server, or raise max_tokens",
    "thinks_inline": "swarmchat removes the reasoning; better: use a reasoning parser (vLLM: --reasoning-parser)",
    "repeats_itself": "raise the repetition penalty, or use a less quantised model",
    "leaks_control_tokens": f"swarmchat removes them; better: {_TEMPLATE}",
    "ignores_system": "repeat what matters in the user's message, or use another model or chat template",
    "no_stop_reason": "nothing to do, but a truncated answer cannot be told from a complete one",
    "no_streaming": "turn streaming on in the server or its proxy; until then, each answer appears all at once",
    "streams_late": "a proxy probably buffers the stream: turn buffering off (nginx: proxy_buffering off)",
    "no_usage": "swarmchat counts the tokens itself: set --max-context with some room to spare",
    "odd_usage": "its count differs much from swarmchat's: set --max-context with some room to spare",
    "cuts_context": "give the server a larger window (Ollama: OLLAMA_CONTEXT_LENGTH or num_ctx), "
    "or set --max-context to its window",
    "small_window": "set --max-context to the window in the error, or start the server with a larger one",
    "loses_context": "the model overlooks details in long contexts: set a smaller --max-context",
    "refuses_temperature": "nothing to do: swarmchat leaves the temperature out",
    "refuses_max_tokens": "nothing to do: swarmchat sends max_completion_tokens, or leaves max_tokens out",
    "needs_another_form": "nothing to do: swarmchat adapts its requests; doctor lists how",
    "refuses_request": "read the server's reason, and look for a newer version",
    "server_errors": "read the server's log: some servers cannot parse the output of their own model",
    # Calls of tools
    "refuses_tools": "use agents without tools, or another model: the server does not accept tools for this one",
    "tools_off": "start the server with the switch for tools (llama.cpp: --jinja, vLLM: --enable-auto-tool-choice and "
    "--tool-call-parser)",
    "no_calls": f"{_LARGER}; or {_TEMPLATE}",
    "leaks_calls_as_text": f"swarmchat finds the calls in the text; better: {_TEMPLATE}",
    "leaks_calls_in_unknown_form": f"swarmchat does not know this form of calls in text: {_TEMPLATE}",
    "no_call_ids": "nothing to do: swarmchat generates ids",
    "repeats_call_ids": "nothing to do: swarmchat adds a suffix to repeated ids",
    "no_call_streaming": "nothing to do: a call appears when it is complete",
    "wrong_arguments": "describe the parameters in the tool's docstring, with an example",
    "malformed_arguments": f"{_TEMPLATE}, or use a less quantised model",
    "ignores_required_arguments": "say in the tool's docstring that the argument is required",
    "ignores_enums": "list the allowed values in the tool's docstring",
    "fills_optional_arguments": "say in the tool's docstring when to leave the argument out",
    "flattens_nested_arguments": "give tools flat parameters, such as strings and numbers",
    "invents_arguments": "swarmchat leaves them out",
    "invents_tools": f"list the tools in the agent's prompt, offer fewer, or {_LARGER}",
    "changes_tool_names": "use short names of lower-case letters and _",
    "breaks_unicode": "look for a newer server; until then, keep arguments in ASCII",
    "no_parallel_calls": "nothing to do: calls run one after another; see parallel_tool_calls in the server's manual",
    "calls_needlessly": "say in the agent's prompt when to use tools",
    "calls_only_once": "say in the agent's prompt to call tools again for new questions",
    "ignores_results": f"{_TEMPLATE}: the current template may drop tool results",
    "stuck_on_tool_errors": "say in the tool's error what to do instead",
    "repeats_calls": _LARGER,
    "never_answers": _LARGER,
    "ignores_tool_choice": "offer tools only to agents that need them",
    # Swarms
    "no_handoffs": "describe in the agent's prompt when to hand over, and to whom; or see no_calls",
    "circles": "allow fewer handoffs between agents",
}
"""Known faults of models and servers, each with advice. Scripts rely on the names: never rename one."""

_QUIRKS_BY_CAUSE = {
    "leaked_call": ("leaks_calls_as_text",),
    "control_tokens": ("leaks_control_tokens",),
    "empty": ("answers_empty",),
    "repetition": ("repeats_itself",),
    "repeated_call": ("repeats_calls", "stuck_on_tool_errors"),
    "request_limit": ("never_answers", "stuck_on_tool_errors"),
    "handoff_loop": ("circles",),
    "unknown_tool": ("invents_tools", "changes_tool_names"),
    "bad_arguments": (
        "wrong_arguments",
        "malformed_arguments",
        "ignores_required_arguments",
        "ignores_enums",
        "flattens_nested_arguments",
        "invents_arguments",
    ),
}
"""The quirks that a rescue step can be due to, by the cause of the step; the most general one first."""

_NEEDED = {
    "chat": ("answer",),
    "tools": ("answer", "call", "required_argument", "result", "tool_error"),
    "swarms": ("answer", "call", "required_argument", "result", "tool_error", "handoff"),
}
"""The probes that must not fail, by purpose."""


@dataclass(frozen=True)
class ProbeResult:
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


def make_result(
    name: str, about: str, finding: ProbeFinding, transcript: ProbeTranscript, *, owner: bool
) -> ProbeResult:
    """Return the result of a probe. Only the ``owner`` of the exchange gets its general quirks."""
    quirks: dict[str, list[str]] = {}
    for quirk in finding.quirks:
        causes = [cause for cause, effects in _QUIRKS_BY_CAUSE.items() if quirk in effects]
        quirks[quirk] = list(dict.fromkeys(each.step for each in transcript.rescued if each.cause in causes))
    if owner:
        explained = not quirks.keys().isdisjoint(_QUIRKS_BY_CAUSE["bad_arguments"])
        for quirk, steps in general_quirks(transcript).items():
            if not (quirk == "wrong_arguments" and explained):
                quirks.setdefault(quirk, steps)
    status = "quirk" if finding.status == "ok" and quirks else finding.status
    return ProbeResult(name, about, status, finding.seen, quirks)


def general_quirks(transcript: ProbeTranscript) -> dict[str, list[str]]:
    """Return the quirks that any exchange can show, whatever its subject, each with its rescue steps."""
    steps: dict[str, dict[str, None]] = {}
    for rescued in transcript.rescued:
        quirk = _QUIRKS_BY_CAUSE.get(rescued.cause, ("wrong_arguments",))[0]
        if rescued.step == "repair":
            quirk = {"invents_tools": "changes_tool_names", "wrong_arguments": "malformed_arguments"}.get(quirk, quirk)
        steps.setdefault(quirk, {})[rescued.step] = None
    return {quirk: list(each) for quirk, each in steps.items()}


def usable(results: Sequence[ProbeResult]) -> dict[str, str]:
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


def merged_quirks(results: Sequence[ProbeResult]) -> dict[str, list[str]]:
    """Return the quirks of all results in the order of QUIRKS, each with all rescue steps that handled it."""
    quirks: dict[str, list[str]] = {}
    for quirk in QUIRKS:
        steps = [result.quirks[quirk] for result in results if quirk in result.quirks]
        if steps:
            quirks[quirk] = list(dict.fromkeys(chain.from_iterable(steps)))
    return quirks
