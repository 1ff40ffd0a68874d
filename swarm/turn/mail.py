"""Take a session's waiting messages into its log, and find the one that an agent should react to."""

from collections.abc import Sequence
from itertools import takewhile
from typing import Any

from swarmchat.backends import Append, ExpectLength, LengthConflict, Truncate
from swarmchat.swarm.conversation.conversation import Conversation
from swarmchat.swarm.conversation.events import MailReceived, Warned
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.journal import Batch
from swarmchat.swarm.persistence.mailbox import Mail, parse_mail
from swarmchat.swarm.persistence.records import Record
from swarmchat.swarm.persistence.store import ChangeSet

_ANSWERS = frozenset({"user", "request", "error", "policy", "unsent", "reset"})
"""Types of the first records of a turn: the turn answers all earlier messages that woke an agent."""

_REACT_LATER = " Meanwhile, messages from outside have arrived, which you see above: please react to them, too."


async def take_mail(conversation: Conversation, *, one_wake: bool) -> list[MailReceived | Warned]:
    """Move the waiting messages into the log, in one commit; return them, each once.

    With ``one_wake``, those behind the first one that wakes an agent go on waiting, and all of them while an agent
    still has to react to one that a dead process left. Without it a question follows, which answers those that wake
    the active agent; the first one that wakes another agent goes on waiting, with those behind it. Raises the backend's
    errors.
    """
    unreadable: int | None = 0
    while not conversation.journal.is_new:
        # What a task could not store yet may be another message.
        async with conversation.step(storing=True):
            await conversation.store_unsaved()
            if (unreadable := await _take(conversation, one_wake)) is not None:
                break
    if not unreadable:
        return unseen_mail(conversation)
    words = ("a message", "was", "it") if unreadable == 1 else (f"{unreadable:,} messages", "were", "them")
    what, were, them = words
    lost = f"{what} from outside could not be read and {were} removed: send {them} again"
    return [Warned(lost), *unseen_mail(conversation)]


async def _take(conversation: Conversation, one_wake: bool) -> int | None:
    """Move messages into the log; return how many of them cannot be read, ``None`` if it is to be tried again."""
    info, ttl = conversation.info, conversation.settings.lifetimes.session
    mailbox = keys.session_mailbox(info.client, info.id)
    if one_wake and to_react_to(conversation.journal.log.records) is not None:
        return 0
    entries = await conversation.backend.slice(mailbox, 0)
    mails = [parse_mail(entry) for entry in entries]
    last = next((place for place, mail in enumerate(mails) if _starts_turn(conversation, mail, one_wake)), len(mails))
    end = min(len(mails), last + one_wake)
    if not end:
        return 0
    may_wake = not (one_wake and await conversation.primitives.find_ban())
    batch, changes = conversation.batch(), ChangeSet()
    for mail in filter(None, mails[:end]):
        _add_record(conversation, batch, mail, may_wake=may_wake)
    changes.write(ExpectLength(mailbox, len(entries)), Truncate(mailbox, 0))
    changes.write(Append(mailbox, tuple(entries[end:]), ttl))
    try:
        await conversation.commit(batch, changes)
    except LengthConflict:
        # Another message has arrived meanwhile.
        return None
    return mails[:end].count(None)


def to_react_to(records: Sequence[Record]) -> Record | None:
    """Return the message at the end of ``records`` that wakes an agent, if no turn has begun since."""
    for record in reversed(records):
        if record.type == "mail" and record.data.get("wake") is True:
            return record
        if record.type in _ANSWERS:
            return None
    return None


def _starts_turn(conversation: Conversation, mail: Mail | None, one_wake: bool) -> bool:
    """Whether a message starts a turn of its own, even if a question follows unless ``one_wake``, or calls a tool."""
    if mail is not None and mail.call is not None:
        return True
    if mail is None or not mail.wake or (conversation.agent.is_person and not mail.act):
        return False
    return one_wake or _recipient(conversation, mail) != conversation.agent.name


def _recipient(conversation: Conversation, mail: Mail) -> str:
    agent = mail.agent
    return agent if agent is not None and agent in conversation.swarm.names else conversation.agent.name


def _add_record(conversation: Conversation, batch: Batch, mail: Mail, *, may_wake: bool) -> None:
    """Add the record of ``mail``; nobody reacts to one for a banned client.

    While a person answers, no agent does: an agent reacts later, when the person hands back.
    """
    agent, message = _recipient(conversation, mail), mail.to_message()
    wakes = mail.wake and may_wake
    later = wakes and conversation.agent.is_person and not mail.act
    if wakes and mail.act and _has_later([*conversation.journal.log.records, *batch.records]):
        message["content"] += _REACT_LATER
    fields: dict[str, Any] = {
        "id": mail.id,
        "text": mail.text,
        "sender": mail.sender,
        "wake": wakes and not later,
        "later": later,
        "sent": mail.sent,
        "act": mail.act,
    }
    if mail.agent not in (None, agent):
        fields["for"] = mail.agent or ""
    if mail.call is not None:
        fields["call"] = mail.call
    fields = {name: value for name, value in fields.items() if value or name == "text"}
    # Of no turn, so that no undo hides it.
    batch.add("mail", turn=0, agent=agent, message=message, tokens=conversation.count(message), **fields)


def _has_later(records: Sequence[Record]) -> bool:
    """Whether a message that an agent is to react to has arrived since the conversation was handed to a person."""
    for record in reversed(records):
        if record.type == "handoff":
            return False
        if record.data.get("later") is True:
            return True
    return False


def unseen_mail(conversation: Conversation) -> list[MailReceived | Warned]:
    """Return the messages in the log that were not returned before, also those of a commit that seemed to fail."""
    log, events = conversation.journal.log, list[MailReceived | Warned]()
    new = takewhile(lambda record: record.seq >= conversation.mail_seen, reversed(log.records))
    for record in reversed([*new]):
        if record.type == "mail":
            agent, wake = record.agent or "", record.data.get("wake") is True
            act = record.text("act")
            events.append(MailReceived(record.text("text"), record.text("sender"), agent, wake, act))
            if named := record.text("for"):
                events.append(Warned(f"this message was for agent {named!r}, not in the swarm: {agent} got it"))
    conversation.mail_seen = log.next_seq
    return events
