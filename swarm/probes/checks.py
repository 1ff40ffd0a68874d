"""The probes: each checks one ability of a model server in the transcript of an exchange."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from swarmchat.swarm.context.view import reads_less
from swarmchat.swarm.conversation.events import HandedOver
from swarmchat.swarm.probes.exchanges import CODE_WORD, ProbeTranscript, arguments_of

Status = Literal["ok", "quirk", "failed", "skipped"]


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one probe."""

    status: Status
    seen: str
    """The observation, in one line. Quotes the model: sanitize it before printing."""
    quirks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Probe:
    """One question about a server, answered by an exchange with it."""

    name: str
    about: str
    exchange: str
    check: Callable[[ProbeTranscript], Finding]


def _ok(seen: str) -> Finding:
    return Finding("ok", seen)


def _quirk(seen: str, *quirks: str) -> Finding:
    return Finding("quirk", seen, quirks)


def _failed(seen: str, *quirks: str) -> Finding:
    return Finding("failed", seen, quirks)


def quoted(text: str) -> str:
    """Return the beginning of what a model said, in quotation marks."""
    line = " ".join(text[:400].split())
    return f'"{line}"' if len(line) <= 60 else f'"{line[:59]}…"'


def said(transcript: ProbeTranscript) -> str:
    """Quote the last answer; if the placeholder replaced it, the last text that the model wrote."""
    text = transcript.text or next((reply.text for reply in reversed(transcript.replies) if reply.text.strip()), "")
    return quoted(text) if text.strip() else "nothing"


def _answered(transcript: ProbeTranscript) -> Finding:
    return _ok(said(transcript)) if transcript.text else _failed(f"said {said(transcript)}")


# The chat.


def _answer(transcript: ProbeTranscript) -> Finding:
    if transcript.text:
        return _ok(f"{said(transcript)} in {transcript.replies[-1].seconds:.1f} s")
    first = transcript.replies[0].answer
    if first is not None and first.finish == "length":
        return _failed(f"{first.finish}: no answer before the limit of tokens", "thinks_long")
    return _failed(f"said {said(transcript)}")


def _stop_reason(transcript: ProbeTranscript) -> Finding:
    reply = transcript.replies[-1]
    if reply.objects is None:
        return Finding("skipped", "no server")
    return _ok(", ".join(reply.stop_reasons)) if reply.stop_reasons else _quirk("none given", "no_stop_reason")


def _usage(transcript: ProbeTranscript) -> Finding:
    reply = transcript.replies[-1]
    usage = (reply.answer.usage if reply.answer is not None else None) or {}
    counted, ours = usage.get("prompt_tokens"), transcript.ends[-1].context_tokens if transcript.ends else 0
    if not isinstance(counted, int):
        return _quirk("none reported", "no_usage")
    line = f"{counted:,} tokens of prompt, we count {ours:,}"
    # A chat template adds some dozens of its own; encodings differ by a third.
    return _ok(line) if 0.5 * ours <= counted <= 2 * ours + 100 else _quirk(line, "odd_usage")


def _reasoning(transcript: ProbeTranscript) -> Finding:
    if any("<think" in reply.text for reply in transcript.replies):
        return _quirk("thinks aloud in its answer", "thinks_inline")
    apart = any(reply.reasoned for reply in transcript.replies)
    return _ok("thinks aloud, apart from its answer" if apart else "does not think aloud")


def _streaming(transcript: ProbeTranscript) -> Finding:
    reply = max(transcript.replies, key=lambda each: len(each.texts))
    pieces, first = len(reply.texts), reply.first or 0.0
    if pieces < 2:
        return _quirk(f"{pieces} piece", "no_streaming") if pieces else _failed("no text")
    line = f"{pieces} pieces, the first after {first:.1f} of {reply.seconds:.1f} s"
    return _quirk(line, "streams_late") if reply.seconds > 2 and first > 0.95 * reply.seconds else _ok(line)


def _system(transcript: ProbeTranscript) -> Finding:
    answer = said(transcript)
    return _ok(answer) if "lantern" in transcript.text.lower() else _quirk(f"said {answer}", "ignores_system")


def _long_context(transcript: ProbeTranscript) -> Finding:
    ours = transcript.ends[-1].context_tokens if transcript.ends else 0
    usage = next((reply.answer.usage for reply in reversed(transcript.replies) if reply.answer), None) or {}
    counted = usage.get("prompt_tokens")
    if reads_less(counted, ours):
        return _failed(f"counted {counted:,} of our {ours:,} tokens", "cuts_context")
    if CODE_WORD.lower() in transcript.text.lower():
        return _ok(f"found the word at the start of {ours:,} tokens")
    line = f"did not find the word at the start of {ours:,} tokens"
    # Without a count nothing tells a cut context from one that was not understood, and the cut is far more common.
    return _failed(f"{line}: said {said(transcript)}", "loses_context" if isinstance(counted, int) else "cuts_context")


# Calls.


def _no_call(transcript: ProbeTranscript, names: tuple[str, ...]) -> Finding:
    """Return the finding for an exchange in which no call was carried out."""
    if calls := transcript.calls():
        return _failed(f"in vain: {calls[0].name}({calls[0].arguments[:80]})")
    for reply in transcript.replies:
        if any(f"{name}{sign}" in reply.text for name in names for sign in ("(", '"', ">", "\n", " {", "<", "{", ":")):
            return _failed(f"wrote {quoted(reply.text)}", "leaks_calls_in_unknown_form")
    text = transcript.replies[0].text
    return _failed(f"no call; said {quoted(text) if text.strip() else 'nothing'}", "no_calls")


def _call(transcript: ProbeTranscript) -> Finding:
    calls = transcript.calls(0, carried_out=True)
    if not calls:
        return _no_call(transcript, ("get_weather",))
    return _ok(f"{'' if transcript.native_calls else 'as text: '}{calls[0].name}({calls[0].arguments[:80]})")


def _call_ids(transcript: ProbeTranscript) -> Finding:
    if (skipped := _without_native_calls(transcript)) is not None:
        return skipped
    ids = [identity for reply in transcript.replies for identity in reply.call_ids]
    line = ", ".join(identity or "none" for identity in ids[:3])
    if not all(ids):
        return _quirk(line, "no_call_ids")
    return _ok(line) if len(set(ids)) == len(ids) else _quirk(line, "repeats_call_ids")


def _call_streaming(transcript: ProbeTranscript) -> Finding:
    if (skipped := _without_native_calls(transcript)) is not None:
        return skipped
    most = max(reply.argument_pieces for reply in transcript.replies)
    return _ok(f"{most} pieces") if most > 1 else _quirk("the whole call at once", "no_call_streaming")


def _without_native_calls(transcript: ProbeTranscript) -> Finding | None:
    if not transcript.native_calls:
        return Finding("skipped", "calls came as text" if transcript.calls() else "no call")
    return Finding("skipped", "no server") if transcript.replies[0].objects is None else None


def _argument(name: str, allowed: tuple[str, ...] = ()) -> Callable[[ProbeTranscript], Finding]:
    """Return the check of a required argument, which has one of the ``allowed`` values, if there are any."""

    def check(transcript: ProbeTranscript) -> Finding:
        calls = [call for call in transcript.calls(0) if call.name == "get_weather"]
        if not calls:
            return Finding("skipped", "no call")
        values = [arguments_of(call).get(name) for call in calls]
        good = [bool(value) and (not allowed or value in allowed) for value in values]
        line = f"{name}: {', '.join('none' if value is None else str(value)[:40] for value in values)}"
        if all(good):
            return _ok(line)
        quirk = "ignores_required_arguments" if None in values else "ignores_enums"
        return _quirk(line, quirk) if any(good) else _failed(line, quirk)

    return check


def _optional(transcript: ProbeTranscript) -> Finding:
    calls = [call for call in transcript.calls(0, carried_out=True) if call.name == "get_weather"]
    if not calls:
        return Finding("skipped", "no call")
    day = arguments_of(calls[0]).get("day")
    return _ok("left out") if day is None else _quirk(f"day: {str(day)[:40]}", "fills_optional_arguments")


def _result(transcript: ProbeTranscript) -> Finding:
    if not transcript.calls(0, carried_out=True):
        return Finding("skipped", "no call")
    text = transcript.ends[0].text if transcript.ends and transcript.ends[0].recovered else ""
    used = "hail" in text.lower() or "37" in text
    return _ok(quoted(text)) if used else _failed(f"said {quoted(text)}", "ignores_results")


def _second_turn(transcript: ProbeTranscript) -> Finding:
    if not transcript.calls(0, carried_out=True):
        return Finding("skipped", "no call in the first turn")
    calls = transcript.calls(1, carried_out=True)
    return _ok(f"{len(calls)} more") if calls else _failed(f"no call; said {said(transcript)}", "calls_only_once")


def _parallel(transcript: ProbeTranscript) -> Finding:
    calls = transcript.calls(carried_out=True)
    if not calls:
        return _no_call(transcript, ("get_weather",))
    most = transcript.most_at_once()
    if most > 1:
        return _ok(f"{most} calls in one message")
    return _quirk(f"one call a message, {len(calls)} in all", "no_parallel_calls")


def _nested(transcript: ProbeTranscript) -> Finding:
    calls = [call for call in transcript.calls() if call.name == "place_order"]
    if not calls:
        return _no_call(transcript, ("place_order",))
    line = json.dumps(arguments_of(calls[0]), ensure_ascii=False)[:100]
    if calls[0].status == "ok":
        return _ok(line)
    handled = any(call.status == "ok" for call in calls)
    return Finding("quirk" if handled else "failed", line, ("flattens_nested_arguments",))


def _unicode(transcript: ProbeTranscript) -> Finding:
    calls = [call for call in transcript.calls() if call.name == "place_order"]
    if not calls:
        return Finding("skipped", "no call")
    written = str([arguments_of(call) for call in calls])
    lost = [each for each in ("🦊", "緑茶", "Köln") if each not in written]
    return _quirk(f"without {', '.join(lost)}", "breaks_unicode") if lost else _ok("🦊, 緑茶 and Köln are whole")


def _no_parameters(transcript: ProbeTranscript) -> Finding:
    calls = [call for call in transcript.calls() if call.name == "door-code"]
    if not calls:
        return _no_call(transcript, ("door-code", "door_code"))
    line = f"door-code({calls[0].arguments[:60]})"
    if calls[0].status == "ok":
        return _ok(line)
    handled = any(call.status == "ok" for call in calls)
    return Finding("quirk" if handled else "failed", line, ("invents_arguments",))


def _tool_name(transcript: ProbeTranscript) -> Finding:
    names = [call.name for reply in transcript.replies if reply.answer for call in reply.answer.tool_calls]
    if not names:
        return Finding("skipped", "calls came as text" if transcript.calls() else "no call")
    changed = [name for name in names if name != "door-code"]
    handled = any(call.status == "ok" for call in transcript.calls())
    if not changed:
        return _ok(names[0])
    return Finding("quirk" if handled else "failed", changed[0][:60], ("changes_tool_names",))


def _tool_error(transcript: ProbeTranscript) -> Finding:
    if not transcript.calls():
        return _no_call(transcript, ("read_meter",))
    return _ok(said(transcript)) if transcript.text else _failed("no answer after the error", "stuck_on_tool_errors")


def _no_call_needed(transcript: ProbeTranscript) -> Finding:
    if calls := transcript.calls():
        return _quirk(f"called {calls[0].name}({calls[0].arguments[:60]})", "calls_needlessly")
    return _answered(transcript)


def _tool_choice(transcript: ProbeTranscript) -> Finding:
    if calls := transcript.calls():
        return _quirk(f"called {calls[0].name} all the same", "ignores_tool_choice")
    return _answered(transcript)


def _handoff(transcript: ProbeTranscript) -> Finding:
    handed = [each.event for each in transcript.outcomes if isinstance(each.event, HandedOver)]
    if not handed:
        return _no_call_of_handoff(transcript)
    line = f"{handed[0].source} → {handed[0].target}: {said(transcript)}"
    return _ok(line) if transcript.text else _failed("no answer after it")


def _no_call_of_handoff(transcript: ProbeTranscript) -> Finding:
    found = _no_call(transcript, ("transfer_to_billing",))
    return found if "no_calls" not in found.quirks else _failed(found.seen, "no_handoffs")


PROBES = (
    Probe("answer", "a plain answer", "plain", _answer),
    Probe("stop_reason", "says why it stops", "plain", _stop_reason),
    Probe("usage", "reports usage", "plain", _usage),
    Probe("reasoning", "keeps thoughts apart", "plain", _reasoning),
    Probe("streaming", "streams", "count", _streaming),
    Probe("system", "follows the system message", "system", _system),
    Probe("call", "calls a tool", "weather", _call),
    Probe("call_ids", "ids of calls", "weather", _call_ids),
    Probe("call_streaming", "streams calls", "weather", _call_streaming),
    Probe("required_argument", "a required argument", "weather", _argument("city")),
    Probe("enum_argument", "one of two values", "weather", _argument("unit", ("celsius", "fahrenheit"))),
    Probe("optional_argument", "an optional argument", "weather", _optional),
    Probe("result", "uses the result", "weather", _result),
    Probe("second_turn", "calls in a second turn", "weather", _second_turn),
    Probe("parallel", "two calls at once", "two", _parallel),
    Probe("nested", "nested arguments", "order", _nested),
    Probe("unicode", "emoji and CJK in arguments", "order", _unicode),
    Probe("no_parameters", "a tool without parameters", "door", _no_parameters),
    Probe("tool_name", "a hyphen in a tool's name", "door", _tool_name),
    Probe("tool_error", "goes on after an error", "error", _tool_error),
    Probe("no_call_needed", "no call where none is needed", "sum", _no_call_needed),
    Probe("handoff", "hands over", "handoff", _handoff),
    Probe("tool_choice", "tool_choice none", "choice", _tool_choice),
    Probe("long_context", "reads a long context", "long", _long_context),
)
"""All probes but ``clean``, which looks at all the exchanges together; in the order of the exchanges."""
