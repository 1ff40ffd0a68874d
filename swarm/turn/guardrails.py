"""Policies at the two ends of a turn: before the model hears the user, and before the user hears the model."""

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from swarmchat.swarm.conversation.conversation import Conversation
from swarmchat.swarm.conversation.events import Refused
from swarmchat.swarm.models.base import Answer
from swarmchat.swarm.persistence.records import timestamp

if TYPE_CHECKING:
    from swarmchat.swarm.primitives.policy import Policy
    from swarmchat.swarm.turn.recorder import TurnRecorder


async def refuse_input(conversation: Conversation, records: "TurnRecorder", text: str) -> Refused | None:
    """Answer for the agents if the client is banned or may not write ``text``; return how, None if all is well.

    The text is kept in the log, and no agent ever sees it.
    """
    policies = conversation.swarm.policies
    client = conversation.info.client
    bans = await asyncio.gather(*(conversation.primitives.policy(policy.name).find(client) for policy in policies))
    for policy, ban in zip(policies, bans, strict=True):
        if ban is not None:
            # The rule has nothing to do with it: a replay must know.
            return _refuse(records, policy, "input", text, banned=True, before=True)
    for policy in policies:
        if await policy.rejects_input(text):
            if policy.ban:
                await _ban(conversation, policy, text)
            return _refuse(records, policy, "input", text, banned=policy.ban)
    return None


async def refuse_output(conversation: Conversation, records: "TurnRecorder") -> Refused | None:
    """Replace the answer by a policy's message if it may not be given; return how, None if all is well.

    What was rejected is kept in the log, and neither the user nor an agent sees it again.
    """
    for policy in conversation.swarm.policies:
        if await policy.rejects_output(records.answer.text):
            rejected = records.answer
            refused = _refuse(records, policy, "output", rejected.text, banned=False)
            records.answer = replace(rejected, text=policy.message, reasoning="", tool_calls=(), finish="refused")
            return refused
    return None


async def _ban(conversation: Conversation, policy: "Policy", text: str) -> None:
    since = timestamp(conversation.journal.now())
    await conversation.primitives.policy(policy.name).ban(conversation.info.client, text[:200], since, policy.ban_for)


def _refuse(
    records: "TurnRecorder", policy: "Policy", direction: str, text: str, *, banned: bool, before: bool = False
) -> Refused:
    earlier = {"before": True} if before else {}
    records.add("policy", policy=policy.name, direction=direction, text=text, banned=banned, **earlier)
    records.answer = Answer(policy.message, finish="refused")
    return Refused(policy.name, direction, banned, policy.message)
