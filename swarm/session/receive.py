"""Receive the waiting messages of a session, and let agents react to those that wake them."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from swarmchat.swarm.conversation.conversation import Conversation
from swarmchat.swarm.conversation.events import Event, HandedOver
from swarmchat.swarm.session.changes import navigate, navigation_to
from swarmchat.swarm.session.operator_calls import carry_out
from swarmchat.swarm.turn.loop import run_turn
from swarmchat.swarm.turn.mail import take_mail, to_react_to


async def receive(conversation: Conversation) -> AsyncGenerator[Event, None]:
    """Yield the messages that arrive, and the events of turns that they start; see ``Session.receive``."""
    for late in await carry_out(conversation, left=True):
        yield late
    while True:
        for received in await take_mail(conversation, one_wake=True):
            yield received
        for result in await carry_out(conversation, left=False):
            yield result
        mail = to_react_to(conversation.journal.log.records)
        if mail is None or await conversation.primitives.find_ban():
            return
        if mail.agent in conversation.swarm.names and mail.agent != conversation.agent.name:
            source = conversation.agent.name
            navigation = await navigate(conversation, navigation_to(conversation, mail.agent))
            yield HandedOver(source, navigation.active, navigation.stack)
        async with aclosing(run_turn(conversation, mail)) as events:
            with conversation.trace.turn(conversation.agent.name, conversation.info):
                async for event in events:
                    yield event
