"""The probes: each checks one ability of a model server in the transcript of an exchange."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from swarmchat.swarm.common.patterns import lazy_pattern
from swarmchat.swarm.context.view import reads_less
from swarmchat.swarm.conversation.events import HandedOver, ToolFinished
from swarmchat.swarm.probes.exchanges import CODE_WORD
from swarmchat.swarm.probes.transcript import ProbeTranscript, arguments_of

Status = Literal["ok", "quirk", "failed", "skipped"]


@dataclass(frozen=True, slots=True)
class ProbeFinding:
    """The outcome of one probe."""

    status: Status
    seen: str
    """The observation, in one line. It may quote the model: sanitize it before printing."""
    quirks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Probe:
    """One ability of a server, and the exchange that shows it."""

    name: str
    """Name in the JSON report: never changes."""
    about: str
    """The ability, in a few words."""
    exchange: str
    """Name of the exchange whose transcript is checked."""
    check: Callable[[ProbeTranscript], ProbeFinding]


_NO_SERVER = ProbeFinding("skipped", "no server")
_NO_CALL = ProbeFinding("skipped", "no call")
_CALLS_AS_TEXT = ProbeFinding("skipped", "calls came as text")


def _verdict(good: object, seen: str, *quirks: str, otherwise: Status = "quirk") -> ProbeFinding:
    """Return an ok finding if ``good`` is true, else one with the status ``otherwise`` and the ``quirks``."""
    return ProbeFinding("ok", seen) if good else ProbeFinding(otherwise, seen, quirks)


def _failed(seen: str, *quirks: str) -> ProbeFinding:
    return ProbeFinding("failed", seen, quirks)


def quoted(text: str) -> str:
    """Return the beginning of a model's text in quotation marks, or ``nothing`` for blank text."""
    line = " ".join(text[:400].split())
    if not line:
        return "nothing"
    return f'"{line}"' if len(line) <= 60 else f'"{line[:59]}…"'


def quoted_answer(transcript: ProbeTranscript) -> str:
    """Quote the last answer; if the placeholder replaced it, the last text that the model wrote."""
    texts = (reply.text for reply in reversed(transcript.replies) if reply.text.strip())
    return quoted(transcript.text or next(texts, ""))


# The chat.

_PARIS = r"par[ií]s(?!on|\?)|parigi|parijs|pari[žz]|pary[żz]|париж|παρίσι|巴黎|パリ|파리|باريس|פריז|पेरिस|ปารีส"
"""The answer to the plain question, also in other languages."""
_REFUSAL = lazy_pattern(
    r"\b(?:can(?:no|['’])?t|unable to|not able to|won['’]t|not allowed to) (?:\w+ ){0,2}?"
    r"(?:help|assist|answer|do|provide|fulfil|comply|discuss|share|respond)|\bas an ai\b",
    re.IGNORECASE,
)
_FAILURE = lazy_pattern(
    r"\b(?:not?|can(?:no|['’])?t|\w+n['’]t|unable|fail\w*|error|sorry|unfortunately|out of|broken|problem)\b",
    re.IGNORECASE,
)
_INVENTED = lazy_pattern(r"\d[\d.,]*\d")
"""A reading of a meter that could not be read."""


def _answer(transcript: ProbeTranscript) -> ProbeFinding:
    first = transcript.replies[0].answer
    if not transcript.text and first is not None and first.finish == "length":
        return _failed("no answer before the token limit", "thinks_long")
    seen = f"{quoted_answer(transcript)} in {transcript.replies[-1].seconds:.1f} s"
    if transcript.text and not _fits(transcript, _PARIS, "capital of france?"):
        quirk = "refuses_questions" if _REFUSAL.search(transcript.text) else "misses_questions"
        return _failed(f"no answer to the question: {seen}", quirk)
    return _verdict(transcript.text, seen, otherwise="failed")


def _fits(transcript: ProbeTranscript, expected: str, question: str) -> bool:
    """Whether the last answer is one to the question, not its repetition or continuation, and not data."""
    text, reply = transcript.text.lower(), transcript.replies[-1]
    goes_on = reply.answer is not None and reply.answer.finish == "length"
    repeats = question and question in text
    other_speaker = re.search(r"^\W*(?:user|human|question|q)\W{0,3}:", text, re.MULTILINE)
    return bool(re.search(expected, text)) and not (
        goes_on or repeats or other_speaker or text.startswith(("{", "[", "```"))
    )


def _stop_reason(transcript: ProbeTranscript) -> ProbeFinding:
    reply = transcript.replies[-1]
    if reply.objects is None:
        return _NO_SERVER
    return _verdict(reply.stop_reasons, ", ".join(reply.stop_reasons) or "none given", "no_stop_reason")


def _usage(transcript: ProbeTranscript) -> ProbeFinding:
    counted, estimate = transcript.counted_tokens, transcript.estimated_tokens
    if counted is None:
        return ProbeFinding("quirk", "none reported", ("no_usage",))
    # A chat template adds some dozens of its own; encodings differ by a third.
    plausible = 0.5 * estimate <= counted <= 2 * estimate + 100
    return _verdict(plausible, f"{counted:,} prompt tokens; swarmchat's estimate: {estimate:,}", "odd_usage")


def _reasoning(transcript: ProbeTranscript) -> ProbeFinding:
    if any("<think" in reply.text for reply in transcript.replies):
        return ProbeFinding("quirk", "reasoning inside the answer", ("thinks_inline",))
    separate = any(reply.reasoned for reply in transcript.replies)
    return ProbeFinding("ok", "reasoning separate from the answer" if separate else "no visible reasoning")


def _streaming(transcript: ProbeTranscript) -> ProbeFinding:
    reply = max(transcript.replies, key=lambda each: len(each.texts))
    pieces, first = len(reply.texts), reply.first or 0.0
    if pieces < 2:
        return ProbeFinding("quirk", "1 piece", ("no_streaming",)) if pieces else _failed("no text")
    seen = f"{pieces} pieces, the first after {first:.1f} of {reply.seconds:.1f} s"
    return _verdict(reply.seconds <= 2 or first <= 0.95 * reply.seconds, seen, "streams_late")


def _system(transcript: ProbeTranscript) -> ProbeFinding:
    return _verdict("lantern" in transcript.text.lower(), quoted_answer(transcript), "ignores_system")


def _long_context(transcript: ProbeTranscript) -> ProbeFinding:
    counted, estimate = transcript.counted_tokens, transcript.estimated_tokens
    if counted is not None and reads_less(counted, estimate):
        return _failed(f"the server counted {counted:,} of {estimate:,} tokens", "cuts_context")
    if CODE_WORD.lower() in transcript.text.lower():
        return ProbeFinding("ok", f"found the word at the start of {estimate:,} tokens")
    seen = f"did not find the word at the start of {estimate:,} tokens: answered {quoted_answer(transcript)}"
    # Without a count nothing tells a cut context from one that was not understood, and the cut is far more common.
    return _failed(seen, "cuts_context" if counted is None else "loses_context")


# Calls.


def _without_call(transcript: ProbeTranscript, *names: str, quirk: str = "no_calls") -> ProbeFinding:
    """Return the finding for an exchange in which no call of a tool with one of ``names`` succeeded."""
    if calls := transcript.calls():
        return _failed(f"failed call: {_written(calls[0])}")
    for reply in transcript.replies:
        if any(f"{name}{sign}" in reply.text for name in names for sign in ("(", '"', ">", "\n", " {", "<", "{", ":")):
            return _failed(f"wrote {quoted(reply.text)}", "leaks_calls_in_unknown_form")
    return _failed(f"no call; answered {quoted(transcript.replies[0].text)}", quirk)


def _written(call: ToolFinished) -> str:
    return f"{call.name}({call.arguments[:80]})"


def _call(transcript: ProbeTranscript) -> ProbeFinding:
    calls = transcript.calls(0, successful=True)
    if not calls:
        return _without_call(transcript, "get_weather")
    return ProbeFinding("ok", f"{'' if transcript.native_calls else 'as text: '}{_written(calls[0])}")


def _without_native_calls(transcript: ProbeTranscript) -> ProbeFinding | None:
    if not transcript.native_calls:
        return _CALLS_AS_TEXT if transcript.calls() else _NO_CALL
    return _NO_SERVER if transcript.replies[0].objects is None else None


def _call_ids(transcript: ProbeTranscript) -> ProbeFinding:
    if skipped := _without_native_calls(transcript):
        return skipped
    ids = [call_id for reply in transcript.replies for call_id in reply.call_ids]
    seen = ", ".join(call_id or "none" for call_id in ids[:3])
    return _verdict(all(ids) and len(set(ids)) == len(ids), seen, "repeats_call_ids" if all(ids) else "no_call_ids")


def _call_streaming(transcript: ProbeTranscript) -> ProbeFinding:
    if skipped := _without_native_calls(transcript):
        return skipped
    most = max(reply.argument_pieces for reply in transcript.replies)
    return _verdict(most > 1, f"{most} pieces" if most > 1 else "each call in one piece", "no_call_streaming")


def _argument(name: str, allowed: tuple[str, ...] = ()) -> Callable[[ProbeTranscript], ProbeFinding]:
    """Return the check of a required argument. It must have one of the ``allowed`` values, if there are any."""

    def check(transcript: ProbeTranscript) -> ProbeFinding:
        values = [arguments_of(call).get(name) for call in transcript.calls(0, tool="get_weather")]
        if not values:
            return _NO_CALL
        correct = [bool(value) and (not allowed or value in allowed) for value in values]
        seen = f"{name}: {', '.join('none' if value is None else str(value)[:40] for value in values)}"
        quirk = "ignores_required_arguments" if None in values else "ignores_enums"
        return _verdict(all(correct), seen, quirk, otherwise="quirk" if any(correct) else "failed")

    return check


def _optional(transcript: ProbeTranscript) -> ProbeFinding:
    calls = transcript.calls(0, tool="get_weather", successful=True)
    if not calls:
        return _NO_CALL
    day = arguments_of(calls[0]).get("day")
    return _verdict(day is None, "omitted" if day is None else f"day: {str(day)[:40]}", "fills_optional_arguments")


def _result(transcript: ProbeTranscript) -> ProbeFinding:
    if not transcript.calls(0, successful=True):
        return _NO_CALL
    text = transcript.ends[0].text if transcript.ends and transcript.ends[0].recovered else ""
    used = "hail" in text.lower() or "37" in text
    return _verdict(used, quoted(text), "ignores_results", otherwise="failed")


def _second_turn(transcript: ProbeTranscript) -> ProbeFinding:
    if not transcript.calls(0, successful=True):
        return ProbeFinding("skipped", "no call in the first turn")
    if calls := transcript.calls(1, successful=True):
        return ProbeFinding("ok", f"calls in the second turn: {len(calls)}")
    return _failed(f"no call; answered {quoted_answer(transcript)}", "calls_only_once")


def _parallel(transcript: ProbeTranscript) -> ProbeFinding:
    calls = transcript.calls(successful=True)
    if not calls:
        return _without_call(transcript, "get_weather")
    most = transcript.most_at_once()
    seen = f"{most} calls in one message" if most > 1 else f"one call per message, {len(calls)} in all"
    return _verdict(most > 1, seen, "no_parallel_calls")


def _first_try(calls: Sequence[ToolFinished], seen: str, quirk: str) -> ProbeFinding:
    """Return ok if the first call succeeded, a quirk if a later one did, and failed if none did."""
    successes = [call.status == "ok" for call in calls]
    return _verdict(successes[0], seen, quirk, otherwise="quirk" if any(successes) else "failed")


def _nested(transcript: ProbeTranscript) -> ProbeFinding:
    calls = transcript.calls(tool="place_order")
    if not calls:
        return _without_call(transcript, "place_order")
    seen = json.dumps(arguments_of(calls[0]), ensure_ascii=False)[:100]
    return _first_try(calls, seen, "flattens_nested_arguments")


def _unicode(transcript: ProbeTranscript) -> ProbeFinding:
    calls = transcript.calls(tool="place_order")
    if not calls:
        return _NO_CALL
    arguments = str([arguments_of(call) for call in calls])
    missing = [word for word in ("🦊", "緑茶", "Köln") if word not in arguments]
    seen = f"missing: {', '.join(missing)}" if missing else "🦊, 緑茶 and Köln are intact"
    return _verdict(not missing, seen, "breaks_unicode")


def _no_parameters(transcript: ProbeTranscript) -> ProbeFinding:
    calls = transcript.calls(tool="door-code")
    if not calls:
        return _without_call(transcript, "door-code", "door_code")
    # As the model wrote them: the rescue drops arguments that the tool does not accept.
    written = [call.arguments for reply in transcript.replies if reply.answer for call in reply.answer.tool_calls]
    seen = next((text.strip() for text in written if text.strip() not in ("", "{}")), "")
    successful = any(call.status == "ok" for call in calls)
    return _verdict(
        not seen, f"door-code({seen[:60]})", "invents_arguments", otherwise="quirk" if successful else "failed"
    )


def _tool_name(transcript: ProbeTranscript) -> ProbeFinding:
    calls = transcript.calls()
    names = [call.name for reply in transcript.replies if reply.answer for call in reply.answer.tool_calls]
    if not names:
        return _CALLS_AS_TEXT if calls else _NO_CALL
    seen = next((name for name in names if name != "door-code"), "door-code")[:60]
    successful = any(call.status == "ok" for call in calls)
    return _verdict(seen == "door-code", seen, "changes_tool_names", otherwise="quirk" if successful else "failed")


def _tool_error(transcript: ProbeTranscript) -> ProbeFinding:
    if not transcript.calls():
        return _without_call(transcript, "read_meter")
    text = transcript.text
    if _INVENTED.search(text) and not _FAILURE.search(text):
        return _failed(f"invented a result: {quoted(text)}", "ignores_results")
    return _verdict(text, quoted_answer(transcript), "stuck_on_tool_errors", otherwise="failed")


def _must_not_call(quirk: str, expected: str = "", question: str = "") -> Callable[[ProbeTranscript], ProbeFinding]:
    def check(transcript: ProbeTranscript) -> ProbeFinding:
        if calls := transcript.calls():
            return ProbeFinding("quirk", f"called {_written(calls[0])}", (quirk,))
        if transcript.text and not _fits(transcript, expected, question):
            return ProbeFinding(
                "quirk", f"no answer to the question: {quoted_answer(transcript)}", ("misses_questions",)
            )
        return _verdict(transcript.text, quoted_answer(transcript), otherwise="failed")

    return check


def _handoff(transcript: ProbeTranscript) -> ProbeFinding:
    handoffs = [each.event for each in transcript.outcomes if isinstance(each.event, HandedOver)]
    if not handoffs:
        return _without_call(transcript, "transfer_to_billing", quirk="no_handoffs")
    seen = f"{handoffs[0].source} → {handoffs[0].target}: {quoted_answer(transcript)}"
    return _verdict(transcript.text, seen, otherwise="failed")


def _history(transcript: ProbeTranscript) -> ProbeFinding:
    text, seen = transcript.text, quoted_answer(transcript)
    if text and not transcript.calls(1, successful=True) and not re.search(r"rom[ea]|37|hail", text, re.IGNORECASE):
        return ProbeFinding("quirk", f"no answer to the question: {seen}", ("misses_questions",))
    return _verdict(text, seen, otherwise="quirk")


PROBES = (
    Probe("answer", "answers a question", "plain", _answer),
    Probe("stop_reason", "gives a stop reason", "plain", _stop_reason),
    Probe("usage", "reports token usage", "plain", _usage),
    Probe("reasoning", "separates its reasoning", "plain", _reasoning),
    Probe("streaming", "streams its answer", "count", _streaming),
    Probe("system", "follows the system prompt", "system", _system),
    Probe("call", "calls a tool", "weather", _call),
    Probe("call_ids", "gives calls unique ids", "weather", _call_ids),
    Probe("call_streaming", "streams calls", "weather", _call_streaming),
    Probe("required_argument", "fills a required argument", "weather", _argument("city")),
    Probe("enum_argument", "keeps to allowed values", "weather", _argument("unit", ("celsius", "fahrenheit"))),
    Probe("optional_argument", "omits an optional argument", "weather", _optional),
    Probe("result", "uses a tool's result", "weather", _result),
    Probe("second_turn", "calls again in a second turn", "weather", _second_turn),
    Probe("parallel", "makes two calls at once", "two", _parallel),
    Probe("nested", "fills nested arguments", "order", _nested),
    Probe("unicode", "keeps emoji and CJK intact", "order", _unicode),
    Probe("no_parameters", "calls without arguments", "door", _no_parameters),
    Probe("tool_name", "keeps hyphens in tool names", "door", _tool_name),
    Probe("tool_error", "answers after a tool error", "error", _tool_error),
    Probe(
        "no_call_needed",
        "makes no needless call",
        "sum",
        _must_not_call("calls_needlessly", r"\b(?:4|four)\b", "two plus two?"),
    ),
    Probe("handoff", "hands over to another agent", "handoff", _handoff),
    Probe("history", "takes calls of another server", "history", _history),
    Probe("tool_choice", "obeys tool_choice: none", "choice", _must_not_call("ignores_tool_choice")),
    Probe("long_context", "reads a long context", "long", _long_context),
)
"""All probes in the order of the exchanges, except ``clean``, which looks at all exchanges together."""
