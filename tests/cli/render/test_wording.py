"""The remark on each kind of event."""

import pytest
from swarmchat.cli.render.wording import remark_on
from swarmchat.swarm.conversation.events import (
    HandedOver,
    ReasoningDelta,
    Refused,
    Rescued,
    Retrying,
    Rotated,
    Summarized,
    TextDelta,
    ToolFinished,
    ToolStarted,
    TurnEnded,
    Warned,
)


def call(status: str = "ok", result: str = "3", *, name: str = "add", seconds: float = 0.0) -> ToolFinished:
    return ToolFinished(name, '{"a": 1}', status, result, "desk", seconds)


def rescued(cause: str, step: str, detail: str = "") -> Rescued:
    return Rescued(cause, step, 1, detail, "desk")


def end(text: str = "done", finish: str = "stop") -> TurnEnded:
    return TurnEnded(1, text, finish, 10, None)


@pytest.mark.parametrize(
    ("event", "remark"),
    [
        (TextDelta("hi", "desk"), ""),
        (ReasoningDelta("hm", "desk"), ""),
        (ToolStarted("add", "{}", "desk"), ""),
        (Retrying(2, 0.53, "no connection"), "no connection; attempt 2 in 0.5 s"),
        (Retrying(3, 30.0, "rate limited"), "rate limited; attempt 3 in 30 s"),
        (
            Rotated(4, 31_000, 21_000),
            "context: the 4 oldest messages are no longer sent (31,000 to 21,000 tokens); the session keeps them",
        ),
        (
            Rotated(None, None, 21_000),
            "context: the oldest messages are no longer sent (now 21,000 tokens); the session keeps them",
        ),
        (
            Summarized(6, 651, 215),
            "context: 6 older messages are sent as a summary (651 to 215 tokens); the session keeps them",
        ),
        (call(), 'desk · add({"a": 1})  ok: 3'),
        (call(seconds=1.26), 'desk · add({"a": 1})  ok, 1.3 s: 3'),
        (call("error", "Error: too big"), 'desk · add({"a": 1})  error: too big'),
        (call("denied", "Denied: do not"), 'desk · add({"a": 1})  denied'),
        (call("denied", "Denied: this call was not allowed: use 6"), 'desk · add({"a": 1})  denied: use 6'),
        (call(result="long " * 100), f'desk · add({{"a": 1}})  ok, 500 characters: {"long " * 16}'[:-1] + "…"),
        (call("error", "Error: no", name="transfer_to_till"), 'desk · transfer_to_till({"a": 1})  error: no'),
        (HandedOver("desk", "till", ()), "desk → till"),
        (Refused("polite", "input", True, "No."), "policy polite refused your message; you are banned"),
        (
            Refused("polite", "input", True, "No.", "2026-01-02T03:04:05.000Z"),
            "policy polite refused your message; you are banned until 2026-01-02 03:04 UTC",
        ),
        (Refused("polite", "output", False, "No."), "policy polite refused the answer"),
        (
            rescued("unknown_tool", "feedback", "'ad'"),
            "rescue: the model called an unknown tool ('ad'); told the model",
        ),
        (rescued("bad_arguments", "repair", "'a': 1"), "rescue: repaired ('a': 1)"),
        (rescued("control_tokens", "repair", "<|im_end|>"), "rescue: removed control tokens"),
        (rescued("empty", "apologise"), "rescue: the model answered with nothing; apologise answered"),
        (
            rescued("handoff_loop", "flush"),
            "rescue: the agents hand over in a circle; asked again on a clean slate: "
            "desk no longer sees the conversation before it",
        ),
        (Warned("odd"), "warning: odd"),
        (end(finish="length"), "the answer was cut off: the model reached its limit of tokens"),
        (end(finish="content_filter"), "the answer was cut off by the provider's content filter"),
        (end(" \n"), "the model answered with nothing: ask again, or ask differently"),
        (end(), ""),
    ],
)
def test_remark(event, remark):
    assert remark_on(event, chat=True) == remark


def test_without_a_prompt_a_denied_call_names_the_option():
    assert remark_on(call("denied"), chat=False).endswith("denied (--approve auto allows it)")
