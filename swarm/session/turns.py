"""Start a turn from what a program passes to ``Session.run_turn``."""

from collections.abc import AsyncGenerator
from typing import Any

from swarmchat.swarm.conversation.conversation import Conversation
from swarmchat.swarm.conversation.events import Event
from swarmchat.swarm.turn.loop import run_turn
from swarmchat.swarm.turn.question import Asked, read_question, wanted_type


def start_turn(conversation: Conversation, message: Asked, output: Any) -> AsyncGenerator[Event, None]:
    """Return the events of a turn; see ``Session.run_turn``. Raises DefinitionError and ImageError at once."""
    question = read_question(message)
    turn = run_turn(conversation, question, wanted_type(output))
    if not conversation.settings.auto_compact:
        return turn
    from swarmchat.swarm.session.auto_compaction import with_room

    return with_room(conversation, question, turn)
