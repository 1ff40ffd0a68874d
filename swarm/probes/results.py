"""The results of the probes, and the verdict: what the model is usable for, and which quirks it has."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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
"""Which probes must not fail, by what a model is used for."""


@dataclass(frozen=True)
class Result:
    """The outcome of one probe, with the rescue steps that dealt with its quirks."""

    name: str
    about: str
    status: Status
    seen: str
    """The observation. Quotes the model: sanitize it before printing."""
    quirks: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """The quirks, each with the steps of the rescue that dealt with it."""

    @property
    def steps(self) -> list[str]:
        """The steps of the rescue, in the order in which they were taken first."""
        return list(dict.fromkeys(step for steps in self.quirks.values() for step in steps))

    def as_dict(self) -> dict[str, Any]:
        """Return the result in the form of the JSON report."""
        quirks = list(self.quirks)
        return {"name": self.name, "status": self.status, "seen": self.seen, "quirks": quirks, "steps": self.steps}


def make_result(name: str, about: str, finding: Finding, transcript: ProbeTranscript, *, owner: bool) -> Result:
    """Return the result of a probe; its ``owner`` answers for all that was noticed in the exchange."""
    quirks = {quirk: _steps_for(quirk, transcript.rescued) for quirk in finding.quirks}
    if owner:
        dealt_with = {cause for quirk in finding.quirks for cause in QUIRKS[quirk].causes}
        for quirk, steps in noticed(transcript).items():
            if not (quirk == "wrong_arguments" and "bad_arguments" in dealt_with):
                quirks.setdefault(quirk, steps)
    status = "quirk" if finding.status == "ok" and quirks else finding.status
    return Result(name, about, status, finding.seen, quirks)


def noticed(transcript: ProbeTranscript) -> dict[str, list[str]]:
    """Return the quirks that show in any exchange, whatever it is about, with the steps of the rescue."""
    quirks: dict[str, list[str]] = {}
    for rescued in transcript.rescued:
        steps = quirks.setdefault(_quirk_of(rescued), [])
        if rescued.step not in steps:
            steps.append(rescued.step)
    return quirks


def _quirk_of(rescued: Rescued) -> str:
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
    """Return what the model is usable for: ``yes``, ``with rescue``, ``no``, or ``unknown`` where too little was tried.

    By ``chat``, ``tools`` and ``swarms``.
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


def found_quirks(results: Sequence[Result]) -> dict[str, list[str]]:
    """Return all quirks that were found, in the order of the table of quirks, with all steps that dealt with each."""
    found: dict[str, list[str]] = {}
    for quirk in QUIRKS:
        having = [result.quirks[quirk] for result in results if quirk in result.quirks]
        if having:
            found[quirk] = list(dict.fromkeys(step for steps in having for step in steps))
    return found
