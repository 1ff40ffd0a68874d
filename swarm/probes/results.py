"""Results of the probes, and the verdict: a model's quirks, and whether it is usable for chats, tools and swarms."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from swarmchat.swarm.conversation.events import Rescued
from swarmchat.swarm.probes.checks import Finding, Status
from swarmchat.swarm.probes.exchanges import ProbeTranscript
from swarmchat.swarm.probes.quirks import QUIRKS

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
