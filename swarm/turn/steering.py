"""User messages to a running turn, which are sent with its next request."""

from swarmchat.swarm.conversation.conversation import Conversation
from swarmchat.swarm.conversation.events import Steered
from swarmchat.swarm.tools.context import Denied
from swarmchat.swarm.turn.recorder import TurnRecorder
from swarmchat.swarm.turn.run_hooks import run_hooks


async def add_steering(conversation: Conversation, recorder: TurnRecorder) -> list[Steered]:
    """Record the messages that wait for the next request; return them.

    One that a hook or a policy refuses is not sent along: as a message of its own it is refused in its own turn.
    """
    steered = []
    steering = conversation.steering
    while steering.waiting:
        entered = steering.waiting.popleft()
        text = await run_hooks(conversation, "before_turn", value=entered)
        if isinstance(text, Denied) or any(
            [await policy.rejects_input(text) for policy in conversation.swarm.policies]
        ):
            steering.refused.append(entered)
            continue
        message = {"role": "user", "content": text}
        fields = {"entered": entered} if text != entered else {}
        record = recorder.add("steer", message=message, tokens=conversation.count(message), **fields)
        recorder.kept_by_flush.append(record.seq)
        steered.append(Steered(text))
    return steered
