"""Policies at both ends of a turn: before the model sees the message, and before the user sees the answer."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from swarmchat.swarm.conversation.conversation import Conversation
from swarmchat.swarm.conversation.events import Refused
from swarmchat.swarm.models.base import Answer
from swarmchat.swarm.persistence.records import timestamp
from swarmchat.swarm.tools.context import Denied

if TYPE_CHECKING:
    from swarmchat.swarm.primitives.policy import Policy
    from swarmchat.swarm.turn.recorder import TurnRecorder


async def refuse_input(conversation: Conversation, recorder: "TurnRecorder", text: str) -> Refused | None:
    """Return the refusal of ``text`` if the client is banned or a policy rejects it; ``None`` if it may be sent.

    The policy's message becomes the answer. The text is kept in the log, and no agent ever sees it.
    """
    policies = conversation.swarm.policies
    client = conversation.info.client
    if earlier := await conversation.primitives.find_ban():
        # A replay must know that no policy checked the text.
        policy = next(policy for policy in policies if policy.name == earlier.policy)
        refused = _refuse(recorder, policy, "input", text, banned=True, before=True)
        return replace(refused, until=earlier.until)
    for policy in policies:
        if await policy.rejects_input(text):
            # What a task says is the text of a model: the client is not banned for it.
            ban, bans = None, policy.ban and conversation.task is None
            if bans:
                since = timestamp(conversation.journal.now())
                ban = await conversation.primitives.policy(policy.name).ban(client, text[:200], since, policy.ban_for)
            refused = _refuse(recorder, policy, "input", text, banned=bans)
            return refused if ban is None else replace(refused, until=ban.until)
    return None


async def refuse_output(conversation: Conversation, recorder: "TurnRecorder") -> Refused | None:
    """Return the refusal of the answer if a policy rejects it, and replace it by the policy's message.

    The rejected answer is kept in the log, and neither the user nor an agent sees it again.
    """
    for policy in conversation.swarm.policies:
        if await policy.rejects_output(recorder.answer.text):
            rejected = recorder.answer
            refused = _refuse(recorder, policy, "output", rejected.text, banned=False)
            recorder.answer = replace(rejected, text=policy.message, reasoning="", tool_calls=(), finish="refused")
            return refused
    return None


def refuse_by_hook(recorder: "TurnRecorder", text: str, denied: Denied) -> Refused:
    """Record that a hook refused ``text`` of the user; its reason becomes the answer."""
    about = {"direction": "input", "text": text, "banned": False, "reply": denied.reason}
    recorder.add("policy", policy="hook", hook=True, **about)
    recorder.answer = Answer(denied.reason, finish="refused")
    return Refused("hook", "input", False, denied.reason)


def _refuse(
    recorder: "TurnRecorder", policy: "Policy", direction: str, text: str, *, banned: bool, before: bool = False
) -> Refused:
    # For a rejected answer, the reply is a separate record.
    further: dict[str, Any] = {"reply": policy.message} if direction == "input" else {}
    if recorder.answer.tool_calls:
        further |= {"bad": recorder.answer.to_message(), "finish": recorder.answer.finish}
    if before:
        further["before"] = True
    elif banned:
        further["ban_for"] = policy.ban_for
    recorder.add("policy", policy=policy.name, direction=direction, text=text, banned=banned, **further)
    recorder.answer = Answer(policy.message, finish="refused")
    return Refused(policy.name, direction, banned, policy.message)
