"""Tool calls by operators: they arrive as messages from outside, and the client's process carries them out."""

from swarmchat.swarm.common.encoding import encode_json
from swarmchat.swarm.conversation.conversation import Conversation
from swarmchat.swarm.conversation.events import MailReceived, Warned
from swarmchat.swarm.errors import SwarmError
from swarmchat.swarm.persistence.mailbox import operator_text
from swarmchat.swarm.persistence.records import Record
from swarmchat.swarm.session.desk import operator_tool
from swarmchat.swarm.session.hand_call import call_by_hand
from swarmchat.swarm.tools.context import ArgumentsError, ToolFailure
from swarmchat.swarm.turn.mail import unseen_mail

_INTERRUPTED = "interrupted: the client's program ended meanwhile; the tool may have taken effect"


async def carry_out(conversation: Conversation, *, left: bool) -> list[MailReceived | Warned]:
    """Carry out the calls that have no result yet, in order; with ``left``, say that they were interrupted.

    A call is stored before it is carried out, so that it never happens twice.
    """
    calls = _without_result(conversation) if conversation.swarm.operators else []
    if not calls:
        return []
    await conversation.ready()
    for record in calls:
        text = _INTERRUPTED if left else await _call(conversation, record)
        batch, person = conversation.batch(), record.text("sender")
        message = {"role": "user", "content": operator_text("result", person, text)}
        about = {"id": record.text("id"), "text": text, "sender": person, "act": "result"}
        agent = record.agent or conversation.agent.name
        batch.add("mail", turn=0, agent=agent, message=message, tokens=conversation.count(message), **about)
        await conversation.commit(batch)
    return unseen_mail(conversation)


def _without_result(conversation: Conversation) -> list[Record]:
    records = [record for record in conversation.journal.log.records if record.type == "mail"]
    answered = {record.text("id") for record in records if record.data.get("act") == "result"}
    return [record for record in records if "call" in record.data and record.text("id") not in answered]


async def _call(conversation: Conversation, record: Record) -> str:
    call = record.data["call"]
    try:
        tool = operator_tool(conversation.swarm, str(call.get("name")))
        arguments = tool.read_arguments(encode_json(call.get("arguments")).decode())
        done = await call_by_hand(conversation, tool, arguments, record.agent or conversation.agent.name)
    except (SwarmError, ToolFailure, ArgumentsError) as error:
        return f"Error: {error}"
    return done.result
