"""The one-line notes that describe the events of a turn."""

from swarmchat.cli.terminal.sanitize import one_line
from swarmchat.swarm.conversation import events
from swarmchat.swarm.turn.tool_execution import DENIED_BECAUSE

_NAME = 60
"""Characters of a name or of arguments that are shown."""
_RESULT = 100
"""Characters of a result that is shown whole; a longer one is cut to ``_RESULT_START``."""
_RESULT_START = 80

_REPAIRED = {
    "leaked_call": "repaired a call written as text",
    "unknown_tool": "repaired the name of a call",
    "bad_arguments": "repaired",
    "control_tokens": "removed control tokens",
    "repetition": "cut off an answer that repeated itself",
    "bad_output": "took the JSON out of the answer",
}
_FAULTS = {
    "unknown_tool": "the model called an unknown tool",
    "leaked_call": "the model wrote a call that cannot be read",
    "bad_arguments": "the model made a call that cannot be carried out",
    "repeated_call": "the model made the same call again and again",
    "handoff_loop": "the agents hand over in a circle",
    "request_limit": "the model kept calling tools and did not answer",
    "repetition": "the answer is a repetition",
    "empty": "the model answered with nothing",
    "rejected": "the answer was not accepted",
    "bad_output": "the answer does not have the requested type",
}
_STEPS = {
    "feedback": "told the model",
    "recomplete": "asked again",
    "flush": "asked again on a clean slate: {agent} no longer sees the conversation before it",
    "placeholder": "gave up; ask again, or try another model",
}


def remark_on(event: events.Event, *, chat: bool) -> str:
    """Return the remark for ``event``; empty for an event that needs none.

    ``chat`` tells that a person at a prompt reads it, who can approve calls and ask for whole results.
    """
    match event:
        case events.Retrying(attempt, seconds, reason):
            return f"{reason}; attempt {attempt} in {seconds:.{0 if seconds >= 10 else 1}f} s"
        case events.Rotated(groups, before, after):
            number, tokens = (f"{groups} ", f"{before:,} to ") if groups and before else ("", "now ")
            return (
                f"context: the {number}oldest messages are no longer sent ({tokens}{after:,} tokens); "
                "the session keeps them"
            )
        case events.Summarized(messages, before, after):
            return (
                f"context: {messages} older messages are sent as a summary ({before:,} to {after:,} tokens); "
                "the session keeps them"
            )
        case events.ToolFinished():
            return _call_remark(event, chat)
        case events.TaskStarted(task, agent, text):
            return f"task {task}: {one_line(agent, _NAME)} begins: {one_line(text, _RESULT)}"
        case events.TaskEnded(task, agent, status, requests, tokens, seconds):
            count = "1 request" if requests == 1 else f"{requests} requests"
            return f"task {task}: {one_line(agent, _NAME)}  {status}, {count}, {tokens:,} tokens, {seconds:.1f} s"
        case events.TaskProgress(task, _, inner) if not isinstance(inner, events.TurnEnded):
            text = remark_on(inner, chat=chat)
            return f"task {task}: {text}" if text else ""
        case events.HandedOver(source, target):
            return f"{one_line(source, _NAME)} → {one_line(target, _NAME)}"
        case events.Refused(policy, direction, banned, until=until):
            refused = "your message" if direction == "input" else "the answer"
            return f"policy {one_line(policy, _NAME)} refused {refused}" + _ban(banned, until)
        case events.Rescued():
            return f"rescue: {_rescue(event)}"
        case events.Warned(text):
            return f"warning: {text}"
        case events.MailReceived(act=act) if act:
            return _act(event)
        case events.PersonAwaited(operator, "", can_come=False):
            return (
                f"{one_line(operator, _NAME)} cannot see this conversation, which is in the memory of this program "
                "(choose -b disk or -b redis): /back goes back"
            )
        case events.PersonAwaited(operator, "", desks):
            here = {0: "nobody is here yet", 1: "1 person is here"}.get(desks, f"{desks} people are here")
            then = "you can keep typing; /back goes back" if chat else "the answer will be in this session"
            return f"you wait for {one_line(operator, _NAME)} ({here}): {then}"
        case events.TurnEnded(finish="person"):
            return ""
        case events.TurnEnded(finish="length"):
            return "the answer was cut off: the model reached its limit of tokens"
        case events.TurnEnded(finish="content_filter"):
            return "the answer was cut off by the provider's content filter"
        case events.TurnEnded(text=text) if not text.strip():
            return "the model answered with nothing: ask again, or ask differently"
    return ""


def _act(event: events.MailReceived) -> str:
    """Describe an operator's action for readers of the conversation."""
    person, text, agent = (one_line(each, _NAME) for each in (event.sender, event.text, event.agent))
    match event.act:
        case "joined":
            return f"{person}, a person, is here"
        case "left":
            return f"{person} has left ({text.rstrip('.')})" if text else f"{person} has left; somebody else comes"
        case "back":
            return f"{person} hands over to {agent}"
        case "closed":
            return f"{one_line(event.text, 200)}; {agent} takes over"
        case "called":
            return f"{person} calls {one_line(event.text, _RESULT)}"
        case "result":
            return f"{person} · result: {one_line(event.text, _RESULT)}"
    return ""


def _ban(banned: bool, until: str | None) -> str:
    if not banned:
        return ""
    return "; you are banned" + (f" until {until[:16].replace('T', ' ')} UTC" if until else "")


def _call_remark(event: events.ToolFinished, chat: bool) -> str:
    agent, tool, arguments = (one_line(text, _NAME) for text in (event.agent, event.name, event.arguments))
    call = f"{agent} · {tool}({arguments})  {event.status}"
    if event.result.startswith(DENIED_BECAUSE):
        return f"{call}: {one_line(event.result.removeprefix(DENIED_BECAUSE), _RESULT)}"
    if event.status == "denied":
        # The result is addressed to the model.
        return call if chat else f"{call} (--approve auto allows it)"
    result = event.result.removeprefix("Error: ")
    long = len(result) > _RESULT
    size = f", {len(result):,} characters" if long and chat else ""
    duration = f", {event.seconds:.1f} s" if event.seconds >= 0.1 else ""
    return f"{call}{size}{duration}: {one_line(result, _RESULT_START if long else _RESULT)}"


def _rescue(event: events.Rescued) -> str:
    # A control token is not even named: keeping it off the screen is the point.
    detail = f" ({one_line(event.detail, 100)})" if event.detail and event.cause != "control_tokens" else ""
    if event.step == "repair":
        return f"{_REPAIRED.get(event.cause, event.cause)}{detail}"
    step = _STEPS.get(event.step, f"{event.step} answered").format(agent=one_line(event.agent, _NAME))
    return f"{_FAULTS.get(event.cause, event.cause)}{detail}; {step}"
